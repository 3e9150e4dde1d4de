"""Where the book is published stands in _config.yml, and all other places agree with it; what is built is whole."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from docutils.core import publish_doctree
from loading import load
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


run, site_extras = load(ROOT / "book" / "run.py"), load(ROOT / "book" / "site_extras.py")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = CONFIG["repository"]["url"]
OWNER, NAME = ADDRESS.removeprefix("https://github.com/").split("/")

NAMES_IT = ["CITATION.cff", "pyproject.toml", "book/intro.md", *sorted((ROOT / "book").glob("*.ipynb"))]
# Addresses of other people's repositories are named by the chapters too, as works that they cite.
OURS = rf"(?:github\.com|colab\.research\.google\.com/github)/([\w.-]+/{NAME})\b"
PAGES = CONFIG["sphinx"]["config"]["ogp_site_url"]


@pytest.mark.parametrize("path", NAMES_IT, ids=lambda path: Path(path).name)
def test_every_link_and_install_line_names_the_repository(path: str | Path) -> None:
    found = re.findall(OURS, (ROOT / path).read_text())
    assert found
    assert {address.removesuffix(".git") for address in found} == {f"{OWNER}/{NAME}"}


def test_pages_are_published_under_the_repository() -> None:
    assert f"https://{OWNER}.github.io/{NAME}/" == PAGES


@pytest.mark.parametrize("path", NAMES_IT, ids=lambda path: Path(path).name)
def test_every_link_to_a_page_leads_to_a_page_that_is_published(path: str | Path) -> None:
    links = re.findall(rf"https://[\w.-]+\.github\.io/{NAME}/[\w./#-]*", (ROOT / path).read_text())
    published = {f"{PAGES}{file.relative_to(ROOT).with_suffix('.html')}" for file in (ROOT / "book").glob("*.*")}
    assert set(links) <= published


def test_a_page_is_described_by_its_first_paragraph() -> None:
    text = "A network that writes is called a *hypernetwork*, and " + "so on " * 50
    doctree = publish_doctree(
        f"Title\n=====\n\n`Open in Colab <https://colab.research.google.com/>`_\n\n{text}\n\nMore."
    )
    context: dict[str, Any] = {"meta": None, "metatags": ""}
    site_extras.describe(None, "book/chapter", "page.html", context, doctree)
    description = context["meta"]["og:description"]
    assert description.startswith("A network that writes is called a hypernetwork, and so on")
    assert description.endswith(("so on …", "so …"))
    assert f'name="description" content="{description}"' in context["metatags"]


def test_the_run_times_are_those_of_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_extras, "TIMES", tmp_path)
    cells: list[dict[str, Any]] = [
        {"cell_type": "markdown", "source": ["# 1. Title\n", "\n", "Text."]},
        {"cell_type": "code", "source": ["a = 1\n", "a"]},
    ]
    chapter = tmp_path / "01_title.ipynb"
    chapter.write_text(json.dumps({"cells": cells}))
    assert site_extras.table([chapter]).splitlines()[-1] == "| 1 | [Title](01_title.ipynb) | – | – |"
    assert site_extras.machines([chapter]) == ""

    where = {"processor": "P", "threads": 1, "gpu": "none", "python": "3.11", "torch": "2.6"}
    record = {"code_sha256": run.code_sha256(nbformat.from_dict({"cells": [dict(cells[1], source="a = 1\na")]}))}
    record |= {"seconds": 31.4, "processor_seconds": 90, "environment": where}
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "01_title.json").write_text(json.dumps(record))
    assert site_extras.table([chapter]).splitlines()[-1].endswith(" | 1 min 30 s | – |")
    assert site_extras.machines([chapter]) == "- *quick*: P, threads: 1, GPU: none; Python 3.11, PyTorch 2.6"

    cells[1]["source"] = ["a = 2"]
    chapter.write_text(json.dumps({"cells": cells}))
    assert site_extras.table([chapter]).splitlines()[-1].endswith(" | – | – |")


def jobs(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]


def test_workflows_run_the_commands_of_the_readme() -> None:
    every = {**jobs("test"), **jobs("pages")}
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in every.items()}
    assert commands == {"test": [".ci/run"], "floors": ["make floors"], "publish": ["make book"]}
    for step in (step for job in every.values() for step in job["steps"]):
        assert "run" in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_every_python_that_is_promised_is_tested() -> None:
    tested = jobs("test")["test"]["strategy"]["matrix"]["python"]
    assert tested == ["3.11", "3.12", "3.13", "3.14"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    (setup,) = [step["with"] for step in jobs("test")["floors"]["steps"] if "setup-python" in step.get("uses", "")]
    assert oldest == tested[0] == setup["python-version"]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_every_pin_can_be_had_by_every_python() -> None:
    """As far as the environment has the pinned version: what says which Pythons it is for comes with it."""
    said = {}
    for name, version in pins().items():
        with suppress(PackageNotFoundError):  # some are for Linux alone
            if (found := distribution(name)).version == version:
                said[name] = ",".join(found.metadata.get_all("Requires-Python", []))
    assert said
    refused = {
        f"{name} {pins()[name]}, Python {python}: it needs {needs}"
        for name, needs in said.items()
        for python in ("3.11.0", "3.12.0", "3.13.0", "3.14.0")
        if python not in SpecifierSet(needs)
    }
    assert refused == set()


def test_everything_that_is_installed_is_pinned() -> None:
    pinned = {canonicalize_name(name) for name in pins()}
    wanted = [*(ROOT / "requirements.txt").read_text().splitlines(), *chain(*PROJECT["optional-dependencies"].values())]
    named = {
        canonicalize_name(Requirement(line.partition("#")[0]).name) for line in wanted if line[:1] not in ("", "#")
    }
    assert named <= pinned


# What git does not know either (.gitignore), and git's own folder.
NOT_SOURCE = [
    ".git",
    ".venv*",
    "_build",
    "node_modules",
    "data",
    "checkpoints",
    "scratch",
    "*.egg-info",
    "build",
    "dist",
]
NOT_SOURCE += ["__pycache__", ".*_cache", ".hypothesis", ".ipynb_checkpoints", "*.pt", "*.part", "*.tmp", ".DS_Store"]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_source_distribution_is_the_checkout(tmp_path: Path) -> None:
    """All files, those of the tests too: so its tests run from it as they do here."""
    shutil.copytree(ROOT, tmp_path / "checkout", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    made = {"PKG-INFO", "setup.cfg"}  # in a distribution that was unpacked they are there already
    checkout = files(tmp_path / "checkout") - made
    build = "from setuptools import build_meta; build_meta.build_sdist('..')"
    done = subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "checkout", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xzf", archive, "-C", "unpacked"], cwd=tmp_path, check=True)
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    there = {name for name in files(unpacked) if not name.startswith("hyperlearn.egg-info/")}
    assert there - made == checkout


def python_of(version: str, path: Path) -> Path:
    """A stand-in that says of itself that it is Python of this version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return path


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
@pytest.mark.parametrize(("asked", "status"), [("3.11", 0), ("3.13", 2)])
def test_an_environment_of_another_python_is_not_taken_for_the_one_asked_for(
    tmp_path: Path, asked: str, status: int
) -> None:
    python_of("3.11", tmp_path / "venv" / "bin" / "python")
    other = python_of(asked, tmp_path / "other")
    words = ["make", "same-python", f"PYTHON={other}", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status
    line = f"{tmp_path / 'venv'} is of Python 3.11, and PYTHON={other} is 3.13: remove {tmp_path / 'venv'}"
    assert (line in done.stdout) == bool(status)


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_the_floors_are_constraints_that_pip_takes(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    subprocess.run(["make", "_build/floors.txt"], cwd=tmp_path, check=True, capture_output=True)
    lines = [line for line in (tmp_path / "_build" / "floors.txt").read_text().splitlines() if line]
    floors = [Requirement(line) for line in lines]
    assert all(re.fullmatch(r"==[\d.]+", str(floor.specifier)) and not floor.extras for floor in floors)
    assert {floor.name for floor in floors} >= {"torch", "dask", "numpy"}


def test_the_first_cell_of_a_chapter_installs_on_colab_only() -> None:
    for path in (ROOT / "book").glob("*.ipynb"):
        code = "".join(
            next(cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code")["source"]
        )
        assert f"%pip install -q git+{ADDRESS}" in code, path.name
        assert code.index('"google.colab" in sys.modules') < code.index("%pip"), path.name
