"""The records that come with the package: every run that the book shows, made once and kept.

They lie in the folder ``results`` of the repository. An installed package carries them in one compressed file, which
``setup.py`` writes when the package is built.
"""

import gzip
import json
import os
import tempfile
import zlib
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from .errors import InputError
from .files import cache_folder

PACKED = "records.json.gz"
"""Beside this module in an installed package: the path of each record below the folder, and its text."""

_PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """The folder of the records that came with this package; nothing is ever written into it.

    In a checkout it is ``results``. Elsewhere the records are unpacked once, into the user's cache folder.

    Raises `InputError` where the package has no records, or the cache folder cannot be written.

    Example:
        >>> record = folder() / "split-mnist" / "hnet-cl1-seed0.json"
        >>> record.is_file()
        True
    """
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "results").is_dir():
        return checkout / "results"
    return unpack(_PACKAGE / PACKED, cache_folder())


def unpack(packed: Path, cache: Path) -> Path:
    """The folder below ``cache`` with the records of the file ``packed``, unpacked if they are not there whole.

    The folder is named by the file's content, so two versions of the package do not share one. It appears all at once:
    who reads while another process unpacks finds all records or no folder.

    Raises `InputError` where ``packed`` is not there or damaged, or ``cache`` cannot be written.
    """
    try:
        content = packed.read_bytes()
        texts = {name: text.encode() for name, text in json.loads(gzip.decompress(content)).items()}
    except FileNotFoundError as error:
        raise InputError(f"this installation has no records ({packed}); install hyperlearn again") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"the records of this installation cannot be read ({packed}); install it again") from error
    place = cache / f"records-{sha256(content).hexdigest()[:16]}"

    def whole() -> bool:
        sizes = {path.relative_to(place).as_posix(): path.stat().st_size for path in place.rglob("*.json")}
        return sizes == {name: len(text) for name, text in texts.items()}

    if whole():
        return place
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{place.name}.", suffix=".tmp") as aside:
            new = Path(aside, "new")
            for name, text in texts.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(text)
            with suppress(OSError):  # there is none, or another process takes it away too
                os.rename(place, Path(aside, "damaged"))
            with suppress(OSError):  # another process was first
                os.rename(new, place)
    except OSError as error:
        raise InputError(
            f"cannot unpack the records into {cache} ({error.strerror}); name a cache folder with XDG_CACHE_HOME"
        ) from error
    if not whole():
        raise InputError(f"the records in {place} are being changed by another program; remove that folder")
    return place
