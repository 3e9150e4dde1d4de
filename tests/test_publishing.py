"""Where the book is published stands in _config.yml, and all other places agree with it."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
ADDRESS = CONFIG["repository"]["url"]
OWNER, NAME = ADDRESS.removeprefix("https://github.com/").split("/")

NAMES_IT = ["CITATION.cff", "pyproject.toml", "book/intro.md", *sorted((ROOT / "book").glob("*.ipynb"))]
# Addresses of other people's repositories are named by the chapters too, as works that they cite.
OURS = rf"(?:github\.com|colab\.research\.google\.com/github)/([\w.-]+/{NAME})\b"


@pytest.mark.parametrize("path", NAMES_IT, ids=lambda path: Path(path).name)
def test_every_link_and_install_line_names_the_repository(path: str | Path) -> None:
    found = re.findall(OURS, (ROOT / path).read_text())
    assert found
    assert {address.removesuffix(".git") for address in found} == {f"{OWNER}/{NAME}"}


def test_pages_are_published_under_the_repository() -> None:
    options = CONFIG["sphinx"]["config"]
    assert options["ogp_site_url"] == f"https://{OWNER}.github.io/{NAME}/"


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
