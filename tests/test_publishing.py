"""Where the book is published stands in _config.yml, and all other places agree with it."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
import yaml
from docutils.core import publish_doctree

ROOT = Path(__file__).parent.parent


def load(name: str) -> ModuleType:
    """A file of the book that is run, not imported."""
    spec = importlib.util.spec_from_file_location(f"book_{name}", ROOT / "book" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


run, site_extras = load("run"), load("site_extras")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
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
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "Text."]},
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


@pytest.mark.parametrize("name", ["test", "pages"])
def test_workflows_run_the_commands_of_the_readme(name: str) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands == {"test": [".ci/run"], "pages": ["make book"]}[name]
    for step in job["steps"]:
        assert "run" in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])


def test_the_first_cell_of_a_chapter_installs_on_colab_only() -> None:
    for path in (ROOT / "book").glob("*.ipynb"):
        code = "".join(
            next(cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code")["source"]
        )
        assert f"%pip install -q git+{ADDRESS}" in code, path.name
        assert code.index('"google.colab" in sys.modules') < code.index("%pip"), path.name
