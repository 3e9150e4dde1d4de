"""Every chapter reads well on Colab, which knows Markdown, mathematics and a few HTML tags, and has no other file.

It runs there too, with the built package and nothing of the checkout. All chapters take minutes, so that test runs
where it is asked for: `make colab`, or `pytest -m colab tests/test_colab.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from loading import load
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
run = load(ROOT / "book" / "run.py")

every_chapter = pytest.mark.parametrize("path", run.chapters(), ids=lambda path: path.stem)

# GitHub's Markdown with $ and $$, as Colab's and Jupyter's renderers read it.
COLAB = MarkdownIt("commonmark").enable(["table", "strikethrough"]).use(dollarmath_plugin, double_inline=True)

SHOWS_RAW = {
    "a directive": r"^\s*(?:`{3,}|~{3,}|:{3,})",
    "a role": r"\{[\w:.-]+\}",
    "a target": r"^\([\w-]+\)=\s*$",
    "a footnote": r"\[\^[\w-]+\]",
    "a comment": r"^%",
    "a dollar sign without its partner": r"\$",
    "mathematics outside of dollar signs": r"\\(?:begin|end|frac|sum|Theta|[\[\]()])",
    "a substitution": r"\{\{",
}
HTML = {"details", "summary", "img", "br", "sub", "sup"}  # shown by Colab, Jupyter and GitHub alike


def problems(markdown: str) -> list[str]:
    """What a reader on Colab would see raw, miss, or be led astray by, in the text of one cell."""
    found: list[str] = []
    open_tags: list[str] = []
    for block in COLAB.parse(markdown):
        if block.type == "fence" and not re.fullmatch(r"[\w+-]*", block.info.strip()):
            found.append(f"a directive: {block.info}")
        for token in [block, *(block.children or [])]:
            if token.type in {"html_block", "html_inline"}:
                for closes, tag in re.findall(r"<(/?)([a-zA-Z][\w-]*)[^>]*>", token.content):
                    if tag.lower() not in HTML:
                        found.append(f"HTML: <{tag}>")
                    elif closes and (not open_tags or open_tags.pop() != tag):
                        found.append(f"HTML: </{tag}> closes nothing")
                    elif not closes and tag not in {"img", "br"}:
                        open_tags.append(tag)
                sources = re.findall(r"""\bsrc=["']([^"']*)""", token.content)
                found += [f"an image in another file: {s}" for s in sources if not s.startswith(("https:", "data:"))]
                # Within an HTML block, up to the next empty line, Markdown is not read.
                if re.search(r"\*\*|\]\(|`|\$", re.sub(r"<[^>]*>", "", token.content)):
                    found.append(f"Markdown within HTML: {token.content.strip()}")
            elif token.type == "text":
                for what, pattern in SHOWS_RAW.items():
                    found += [f"{what}: {token.content.strip()}"] if re.search(pattern, token.content, re.M) else []
            elif token.type == "link_open" and not str(token.attrs["href"]).startswith("https:"):
                found.append(f"a link to another file: {token.attrs['href']}")
            elif token.type == "image" and not str(token.attrs["src"]).startswith(("https:", "data:")):
                found.append(f"an image in another file: {token.attrs['src']}")
    return found + [f"HTML: <{tag}> is left open" for tag in open_tags]


@every_chapter
def test_text_shows_on_colab(path: Path) -> None:
    for cell in run.read(path).cells:
        if cell.cell_type == "markdown":
            assert problems(cell.source) == []


@every_chapter
def test_outputs_show_on_colab(path: Path) -> None:
    for cell in run.read(path).cells:
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            assert problems(data.get("text/markdown", "")) == []
            sources = re.findall(r"""\b(?:src|href)=["'](?!data:|https:|#)([^"']*)""", data.get("text/html", ""))
            assert sources == []


@every_chapter
def test_the_first_cell_alone_installs_and_leaves_torch_as_it_is(path: Path) -> None:
    cells = [cell.source for cell in run.read(path).cells if cell.cell_type == "code"]
    first, *others = [[line for line in source.splitlines() if re.search(r"\bpip\b|^\s*!", line)] for source in cells]
    (install,) = first
    assert re.fullmatch(r" +%pip install -q git\+https://[\w./-]+", install)  # no -U, no pin, no second package
    assert not any(others)


# What a wheel is made from.
SOURCES = [
    "hyperlearn",
    "results",
    "setup.py",
    "pyproject.toml",
    "requirements.txt",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
]


def command(*words: str, folder: Path, **environment: str) -> str:
    """What a command prints; its errors where it fails."""
    done = subprocess.run(words, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; what the package needs is borrowed from the environment of the tests."""
    here = tmp_path_factory.mktemp("installed")
    (here / "source").mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, here / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-deps", "--no-index"]
    command(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", str(here), "./source", folder=here)
    command(sys.executable, "-m", "venv", "--without-pip", "environment", folder=here)
    (wheel,) = here.glob("*.whl")
    python = here / "environment" / "bin" / "python"
    command(*pip, "--python", str(python), "install", *offline, str(wheel), folder=here)
    # A folder that a .pth file names comes last, and its own .pth files, such as an editable install's, are not read.
    own = command(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=here).strip()
    borrowed = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    Path(own, "borrowed.pth").write_text("\n".join(borrowed))
    return here / "environment"


def on_colab(environment: Path, *words: str, folder: Path) -> str:
    """What a command of the environment prints, for a user with an empty home folder and no network."""
    home = environment.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HYPERLEARN_DATA", "XDG_CACHE_HOME")}
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    user = {"HOME": str(home), "HYPERLEARN_PROFILE": "quick", "PYTHONHASHSEED": "0"}
    program = environment / "bin" / words[0]
    done = subprocess.run(
        [program, *words[1:]], cwd=folder, env={**kept, **nowhere, **user}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_an_installed_package_has_the_records(installed: Path, tmp_path: Path) -> None:
    from_the_checkout = command(
        sys.executable, "-m", "hyperlearn.cli", "table", "1", "--json", folder=ROOT, PYTHONPATH=str(ROOT)
    )
    for _ in range(2):  # the first time they are unpacked
        assert on_colab(installed, "hyperlearn", "table", "1", "--json", folder=tmp_path) == from_the_checkout
    assert all(cell["n"] for cell in json.loads(from_the_checkout) if cell["benchmark"] == "split-mnist")
    assert list(tmp_path.iterdir()) == []


RUN = """
import sys
import nbformat
from nbclient import NotebookClient

sys.path.append(sys.argv[2])
from kernels import without_ports

notebook = nbformat.read(sys.argv[1], as_version=4)
notebook.cells.append(nbformat.v4.new_code_cell("import hyperlearn; print(hyperlearn.__file__)"))
NotebookClient(notebook, timeout=600, kernel_name="python3", config=without_ports()).execute()
print(nbformat.writes(notebook))
"""
WRITE_OR_FETCH = {"11", "12", "14"}  # or did: these run twice, for what the first time leaves
MISSING = re.compile(r"not run|no records")


def missing(cell: NotebookNode) -> list[list[str]]:
    return [MISSING.findall(json.dumps(output)) for output in cell.get("outputs", []) if MISSING.search(str(output))]


@pytest.mark.colab
@every_chapter
def test_a_chapter_runs_alone_where_the_package_is_installed(path: Path, installed: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path)
    for _ in range(2 if path.stem[:2] in WRITE_OR_FETCH else 1):
        words = ["python", "-c", RUN, path.name, str(ROOT / "book")]
        ran = nbformat.reads(on_colab(installed, *words, folder=tmp_path), as_version=4)
        run.clean(ran)  # as what is stored: a progress bar is none of a chapter's outputs
        *cells, last = ran.cells
        assert Path(last.outputs[0].text.strip()).is_relative_to(installed)
        assert [
            problem for cell in cells for out in cell.get("outputs", []) for problem in run.output_problems(out)
        ] == []
        # What the stored outputs have from records is there on Colab too.
        for cell, stored in zip(cells, run.read(path).cells, strict=True):
            assert missing(cell) == missing(stored), cell.source
        assert list(tmp_path.iterdir()) == [tmp_path / path.name]


def test_what_it_installs_are_floors() -> None:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    assert [line for line in lines if line and not re.fullmatch(r"[\w-]+(\[\w+\])?>=[\d.]+", line)] == []


@pytest.mark.parametrize(
    ("markdown", "problem"),
    [
        ("```{note}\nlook\n```", "a directive"),
        (":::{note}\nlook\n:::", "a directive"),
        ("see {numref}`figure`", "a role"),
        ("(here)=\n# Title", "a target"),
        ("it costs $x", "a dollar sign without its partner"),
        ("| a | b |\n| --- | --- |\n| $|x|$ | 1 |", "a dollar sign without its partner"),
        (r"\begin{align} x \end{align}", "mathematics outside of dollar signs"),
        ("<figure>look</figure>", "HTML: <figure>"),
        ("<details><summary>Solution</summary>\n\nx", "HTML: <details> is left open"),
        ("<details><summary>Solution</summary>\n**x**\n</details>", "Markdown within HTML"),
        ("[chapter 2](02_three_scenarios.ipynb)", "a link to another file"),
        ("![a picture](figures/readme.png)", "an image in another file"),
        ("<img src='figures/readme.png'>", "an image in another file"),
    ],
)
def test_what_colab_would_not_show_is_found(markdown: str, problem: str) -> None:
    assert problem in " ".join(problems(markdown))


def test_what_colab_shows_is_left_alone() -> None:
    text = (
        "# Title\n\nIn $\\sum_{t<T} x_t$ and *words*, [a paper](https://a.org), `{code}`.\n\n$$x_{1}\n= 2$$\n\n"
        "| $x$ | y |\n| --- | --- |\n| $\\lvert x \\rvert$ | 1 |\n\n```python\nf'{x}' # $\n```\n\n"
        "<details><summary>Solution</summary>\n\n**x** is $y$.\n\n</details>"
    )
    assert problems(text) == []
