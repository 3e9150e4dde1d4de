"""What pyproject.toml cannot say: a built package carries the records, all of ``results``, in one compressed file."""

import gzip
import json
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

RESULTS = Path(__file__).resolve().parent / "results"


def pack() -> bytes:
    """The path and the text of each record; the same records give the same bytes."""
    paths = sorted(path.relative_to(RESULTS) for path in RESULTS.rglob("*.json"))
    kept = [path for path in paths if path.parts[0] != "scratch"]  # what a run leaves there while it works
    texts = {path.as_posix(): (RESULTS / path).read_text("utf-8") for path in kept}
    return gzip.compress(json.dumps(texts).encode(), mtime=0)


class BuildWithRecords(build_py):
    """Writes the file that ``hyperlearn/records.py`` reads; an editable install reads ``results`` itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            Path(self.records()).write_bytes(pack())

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), self.records()]

    def records(self) -> str:
        return str(Path(self.build_lib, "hyperlearn", "records.json.gz"))


setup(cmdclass={"build_py": BuildWithRecords})
