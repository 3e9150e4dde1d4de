"""The records that come with the package: all of them, whole, wherever it is installed."""

import gzip
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from loading import load

from hyperlearn import InputError, cli, records, results
from hyperlearn.files import cache_folder

ROOT = Path(__file__).parents[1]
RECORDS = {"one/a-cl1-seed0.json": "{}\n", "two/deeper/b.json": '{"é": 1}\n'}
WHOLE = gzip.compress(json.dumps(RECORDS).encode(), mtime=0)  # no clock: tests are named by it


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "package" / records.PACKED
    path.parent.mkdir()
    path.write_bytes(WHOLE)
    return path


def read(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()}


def setup_py(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr("setuptools.setup", lambda **_: None)
    return load(ROOT / "setup.py")


def test_in_a_checkout_they_are_its_results() -> None:
    assert records.folder() == ROOT / "results"


def test_all_records_of_the_checkout_are_packed_and_come_out_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = setup_py(monkeypatch).pack()
    texts = json.loads(gzip.decompress(made))
    runs = {name: text for name, text in texts.items() if not name.startswith("networks/")}
    assert len(gzip.compress(json.dumps(runs).encode())) < 400_000
    assert len(made) < 900_000  # with the one network that a chapter shows
    (tmp_path / records.PACKED).write_bytes(made)
    there = {name: text for name, text in read(ROOT / "results").items() if not name.startswith("scratch/")}
    assert read(records.unpack(tmp_path / records.PACKED, tmp_path / "cache")) == {
        name: text for name, text in there.items() if name.endswith(".json")
    }


def test_what_a_run_leaves_while_it_works_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = setup_py(monkeypatch)
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    for name in ("one/a.json", "scratch/one/b.json", "one/c.json.tmp", "one/d.pt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert json.loads(gzip.decompress(module.pack())) == {"one/a.json": "{}"}


def test_they_are_unpacked_once(packed: Path, tmp_path: Path) -> None:
    place = records.unpack(packed, tmp_path / "cache")
    assert read(place) == RECORDS
    first = {path: path.stat().st_ino for path in place.rglob("*")}
    assert records.unpack(packed, tmp_path / "cache") == place
    assert {path: path.stat().st_ino for path in place.rglob("*")} == first
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [place.name]  # nothing is left beside it


def test_another_version_has_a_folder_of_its_own(packed: Path, tmp_path: Path) -> None:
    old = records.unpack(packed, tmp_path / "cache")
    packed.write_bytes(gzip.compress(b'{"one/new.json": "{}"}'))
    assert read(records.unpack(packed, tmp_path / "cache")) == {"one/new.json": "{}"}
    assert read(old) == RECORDS


@pytest.mark.parametrize("harm", ["a file is gone", "a file is cut", "a file is added", "all is gone", "a plain file"])
def test_a_cache_that_is_not_whole_is_made_anew(packed: Path, tmp_path: Path, harm: str) -> None:
    place = records.unpack(packed, tmp_path / "cache")
    one = place / "one" / "a-cl1-seed0.json"
    if harm == "a file is gone":
        one.unlink()
    elif harm == "a file is cut":
        one.write_text("{")
    elif harm == "a file is added":
        shutil.copy(one, place / "one" / "a-cl1-seed1.json")
    else:
        shutil.rmtree(place)
        if harm == "a plain file":
            place.write_text("")
    assert read(records.unpack(packed, tmp_path / "cache")) == RECORDS


def test_two_processes_that_unpack_at_once_both_find_all(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes
    nested: list[Path] = []

    def another_is_faster(path: Path, content: bytes) -> int:
        if not nested:
            nested.append(path)
            nested.append(records.unpack(packed, tmp_path / "cache"))
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", another_is_faster)
    assert read(records.unpack(packed, tmp_path / "cache")) == read(nested[1]) == RECORDS


@pytest.mark.parametrize(
    "content", [None, b"", b"no gzip", gzip.compress(b"{", mtime=0), WHOLE[:-9], WHOLE[:20] + b"\xff" * 9 + WHOLE[29:]]
)
def test_a_package_without_whole_records_says_so(packed: Path, tmp_path: Path, content: bytes | None) -> None:
    packed.unlink()
    if content is not None:
        packed.write_bytes(content)
    with pytest.raises(InputError, match=r"^(this installation has no|the records of this).*records\.json\.gz"):
        records.unpack(packed, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written_is_named(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot unpack the records into .*file.cache.* XDG_CACHE_HOME"):
        records.unpack(packed, tmp_path / "file" / "cache")


def test_a_user_without_a_home_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(InputError, match="XDG_CACHE_HOME"):
        cache_folder()


def test_a_table_takes_the_results_that_are_here_else_those_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["table", "1", "--json"]) == 0
    elsewhere = capsys.readouterr()
    assert "records that came with hyperlearn" in elsewhere.err
    assert cli.main(["table", "1", "--json", "--results", str(ROOT / "results")]) == 0
    named = capsys.readouterr()
    assert named.err == ""
    assert named.out == elsewhere.out

    results.write(results.read(ROOT / "results" / "split-mnist" / "hnet-cl1-seed0.json"), tmp_path / "results")
    assert cli.main(["table", "1", "--json"]) == 0
    here = capsys.readouterr()
    assert here.err == ""
    assert sum(cell["n"] for cell in json.loads(here.out)) == 1
