"""Every chapter keeps the form that reads well in the built page and in plain Jupyter; test_colab.py is about Colab."""

import base64
import io
import itertools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from loading import load
from nbformat import NotebookNode
from PIL import Image

from hyperlearn import plots

BOOK = Path(__file__).parents[1] / "book"
COLAB = "https://colab.research.google.com/github/hyperlearn-book/hyperlearn/blob/main/book"

run = load(BOOK / "run.py")
kernels = load(BOOK / "kernels.py")

every_chapter = pytest.mark.parametrize("path", run.chapters(), ids=lambda path: path.stem)


def markdown(notebook: NotebookNode) -> list[str]:
    """The text of each Markdown cell, without its fenced code."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [re.sub(r"^(```+|~~~+)[^{\n]*\n.*?^\1\s*$", "", text, flags=re.M | re.S) for text in cells]


def images_without_alt(html: str) -> list[str]:
    return [tag for tag in re.findall(r"<img\b[^>]*>", html) if not re.search(r"""\balt=(["'])\s*\S""", tag)]


@every_chapter
def test_outputs_are_those_of_the_code_in_the_full_profile(path: Path) -> None:
    notebook = run.read(path)
    assert list(run.problems(notebook)) == []
    assert notebook.metadata.hyperlearn.profile == "full"


def code_cells(path: Path) -> list[NotebookNode]:
    """Those that a reader sees: not the one that installs on Colab."""
    cells = [cell for cell in run.read(path).cells if cell.cell_type == "code"]
    return [cell for cell in cells if "remove-input" not in cell.metadata.get("tags", [])]


def logical_lines(source: str) -> int:
    """A statement is one, however many lines it is broken into, and so is the head of a function or a loop."""
    tokens = tokenize.generate_tokens(io.StringIO(source + "\n").readline)
    return sum(token.type == tokenize.NEWLINE for token in tokens)


@every_chapter
def test_cells_are_short(path: Path) -> None:
    """What is folded may be broken into more lines than the page shows at once."""
    cells = code_cells(path)
    assert [cell.source for cell in cells if logical_lines(cell.source) > 15] == []
    shown = [cell.source for cell in cells if not {"hide-input", "hide-cell"} & set(cell.metadata.get("tags", []))]
    assert [source for source in shown if source.count("\n") >= 24] == []


@every_chapter
def test_lines_of_code_end_at_79(path: Path) -> None:
    lines = [line for cell in code_cells(path) for line in cell.source.split("\n")]
    assert [line for line in lines if len(line) > 79] == []


def test_no_two_figures_have_one_name() -> None:
    metadata = [cell.metadata for path in run.chapters() for cell in code_cells(path)]
    names = [name for each in metadata if (name := each.get("mystnb", {}).get("figure", {}).get("name"))]
    assert [name for name in names if names.count(name) > 1] == []


@every_chapter
def test_images_have_alternative_text(path: Path) -> None:
    notebook = run.read(path)
    for cell in notebook.cells:
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            if "text/html" in data:
                assert images_without_alt(data["text/html"]) == []
            elif any(kind.startswith("image/") for kind in data):
                assert cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip(), cell.source
    for text in markdown(notebook):
        assert images_without_alt(text) == []
        assert re.findall(r"!\[\s*\]\(.*?\)", text) == []


def widths(output: NotebookNode) -> Iterator[int]:
    """Of the images in an output, in pixels."""
    data = output.get("data", {})
    stored = re.findall(r"data:image/png;base64,([\w+/=]+)", data.get("text/html", ""))
    for image in [*stored, *([data["image/png"]] if "image/png" in data else [])]:
        with Image.open(io.BytesIO(base64.b64decode(image))) as opened:
            yield opened.width


@every_chapter
def test_labels_can_be_read_on_a_phone(path: Path) -> None:
    """A figure that is wider than the library's is shrunk more, and its labels with it."""
    widest = (plots.WIDTH + 0.2) * plots.STYLE["figure.dpi"]
    for cell in code_cells(path):
        assert [width for output in cell.outputs for width in widths(output) if width > widest] == [], cell.source
        assert [size for size in re.findall(r"fontsize=(\d+)", cell.source) if int(size) < 10] == [], cell.source


@pytest.mark.parametrize("path", [p for p in run.chapters() if p.stem[:2] != "07"], ids=lambda path: path.stem)
def test_a_drawing_explains_the_mechanism(path: Path) -> None:
    """In the one visual language of the book. Chapter 7 draws its pin on the loss that it is about."""
    drawn = [cell for cell in code_cells(path) if "hl.drawings." in cell.source]
    assert drawn
    for cell in drawn:
        assert "hide-input" in cell.metadata.tags
        assert cell.metadata.mystnb.figure.caption


@every_chapter
def test_a_figure_moves(path: Path) -> None:
    assert any(re.search(r"hl\.widgets\.(slider|sequence)\(|hl\.live\.[A-Z]", cell.source) for cell in code_cells(path))


@every_chapter
def test_opens_on_colab(path: Path) -> None:
    first = next(cell for cell in run.read(path).cells if cell.cell_type == "markdown")
    assert f"({COLAB}/{path.name})" in first.source


@every_chapter
def test_run_times_stand_on_their_page_alone(path: Path) -> None:
    """A number in the chapter's head would grow old; the page of the run times is made from records."""
    first = next(cell for cell in run.read(path).cells if cell.cell_type == "markdown")
    (line,) = re.findall(r"^\*\*Run time\*\*.*?(?=\n\n|\Z)", first.source, re.M | re.S)
    assert re.findall(r"\d+ ?(?:s|seconds?|min|minutes?|hours?)\b", line) == []


@every_chapter
def test_a_chapter_is_read_in_40_minutes(path: Path) -> None:
    """At 200 words a minute, where a formula is a word, and 30 logical lines of code; figures and thinking on top."""
    notebook = run.read(path)
    words = sum(len(re.sub(r"\$[^$]+\$", "x", text).split()) for text in markdown(notebook))
    lines = sum(logical_lines(cell.source) for cell in code_cells(path))
    assert words / 200 + lines / 30 < 40


def works(text: str) -> set[str]:
    """What a text or a bibliography names by its number at arXiv, its DOI or its page in the proceedings."""
    text = text.replace("%28", "(").replace("%29", ")")
    kinds = (r"arxiv\.org/abs/([\d.]+\d)", r"\b(10\.\d{4,}/[\w.()/-]+\w)", r"proceedings\.mlr\.press/(v\d+/\w+)")
    return {work for kind in kinds for work in re.findall(kind, text)}


@every_chapter
def test_every_work_it_links_to_is_in_the_bibliography(path: Path) -> None:
    linked = works("\n".join(markdown(run.read(path))))
    assert linked
    assert linked <= works((BOOK / "references.bib").read_text())


@every_chapter
def test_headings_are_one_title_then_sections_in_order(path: Path) -> None:
    levels = [len(marks) for text in markdown(run.read(path)) for marks in re.findall(r"^(#+) ", text, re.M)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level <= before + 1 for before, level in itertools.pairwise(levels))


@every_chapter
def test_the_title_has_the_chapter_s_number(path: Path) -> None:
    title = markdown(run.read(path))[0].splitlines()[0]
    assert title.startswith(f"# {int(path.stem[:2])}. ")


def chapters_without_a_link(text: str, own: int) -> list[str]:
    """What names another chapter and does not lead there. Chapters of other people's books have their title beside."""
    stems = {int(path.stem[:2]): path.stem for path in run.chapters()}
    text = re.sub(r"`[^`]*`|^#+ .*$", "", text, flags=re.M)
    wrong = [
        link
        for link, number, address in re.findall(r"(\[(?:[Cc]hapter )?(\d+)\]\(([^)]*)\))", text)
        if Path(address).stem != stems.get(int(number))
    ]
    bare = re.findall(r"\b[Cc]hapters?\s+\d+(?! on cancellation)", re.sub(r"\[[^\]]*\]\([^)]*\)", "", text))
    return wrong + [name for name in bare if int(re.findall(r"\d+", name)[0]) != own]


@every_chapter
def test_a_chapter_that_is_named_is_a_link(path: Path) -> None:
    found = [chapters_without_a_link(text, int(path.stem[:2])) for text in markdown(run.read(path))]
    assert list(itertools.chain(*found)) == []


def test_chapters_without_a_link_are_found() -> None:
    page = "https://a.org/05_chunks_and_the_output_regulariser.html"
    assert chapters_without_a_link(f"In [chapter 5]({page}), and chapters [5]({page}) to [5]({page})", 1) == []
    assert chapters_without_a_link(f"In [chapter 4]({page}); see chapter\n3", 1) == [
        f"[chapter 4]({page})",
        "chapter\n3",
    ]


@pytest.mark.parametrize("path", [p for p in run.chapters() if p.stem[:2] != "12"], ids=lambda path: path.stem)
def test_exercises_have_solutions_that_are_hidden_at_first(path: Path) -> None:
    cells = run.read(path).cells
    (start,) = [number for number, cell in enumerate(cells) if re.search(r"^## Exercises$", cell.source, re.M)]
    text = "\n".join(cell.source for cell in cells[start:] if cell.cell_type == "markdown").partition("## Exercises")[2]
    _, *exercises = re.split(r"^\*\*\d+\. ", text, flags=re.M)
    assert 3 <= len(exercises) <= 6
    assert [exercise for exercise in exercises if exercise.count("<details><summary>Solution</summary>") != 1] == []
    tags = [set(cell.metadata.get("tags", [])) for cell in cells[start:] if cell.cell_type == "code"]
    assert all("hide-cell" in tag for tag in tags)  # what a solution prints is part of it


def moving_figures() -> Iterator[tuple[str, str]]:
    for path in run.chapters():
        for cell in run.read(path).cells:
            for output in cell.get("outputs", []):
                if "data-hyperlearn-slider" in (text := output.get("data", {}).get("text/html", "")):
                    yield path.stem, text


def test_figures_move_without_kernel_and_network_and_with_the_keyboard() -> None:
    figures = list(moving_figures())
    assert len(figures) >= 5
    for chapter, text in figures:
        (slider,) = re.findall(r"<input\b[^>]*>", text)  # a native one: arrow keys, Home and End move it
        assert 'type="range"' in slider, chapter
        assert re.search(r'aria-label="[^"]+"', slider), chapter
        assert images_without_alt(text) == []
        assert "<figcaption>" in text, chapter
        assert re.findall(r"""https?:|\brequire\(|\bsrc=["'](?!data:)""", text) == [], chapter


def test_enough_cells_have_their_output_checked() -> None:
    tags = [cell.metadata.get("tags", []) for path in run.chapters() for cell in run.read(path).cells]
    assert sum("nbval-check-output" in tag for tag in tags) >= 25


def typed_results(text: str) -> list[str]:
    """Figures in prose that read like a result: with a decimal point, a per cent sign or a spread."""
    text = re.sub(r"`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|https?://\S+", " ", text, flags=re.S)
    return re.findall(r"\d[\d,]*\.\d+|\d+ ?%|\d+ ±|± ?\d+", text)


@pytest.mark.parametrize("path", [p for p in run.chapters() if p.stem[:2] in ("11", "12")], ids=lambda path: path.stem)
def test_results_are_computed_and_not_typed(path: Path) -> None:
    assert [hit for text in markdown(run.read(path)) for hit in typed_results(text)] == []


def test_typed_results_are_found() -> None:
    assert typed_results("It reaches 99.7 there, 85 % here, and 3 ± 1.") == ["99.7", "85 %", "3 ±"]
    assert typed_results("five tasks of 2,000 steps (see [x, 2022](https://a.org/1.2)), `0.5`, $m \\pm 2.5$") == []


def chapter(folder: Path, *sources: str) -> Path:
    path = folder / "chapter.ipynb"
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": ["kept"], "trusted": True}) for source in sources]
    run.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_run_stores_outputs_and_their_code_and_no_traces(tmp_path: Path) -> None:
    path = chapter(tmp_path, "import os\nos.environ['HYPERLEARN_PROFILE']", "print('a')\nprint('b')")
    run.execute(path, "quick")
    first = run.read(path)
    assert list(run.problems(first)) == []
    assert first.cells[0].outputs[0].data["text/plain"] == "'quick'"
    assert [output.text for output in first.cells[1].outputs] == ["a\nb\n"]
    assert first.cells[0].metadata == {"tags": ["kept"]}
    assert set(first.metadata) == {"hyperlearn", "kernelspec", "language_info"}

    run.execute(path, "quick")
    second = run.read(path)
    for notebook in (first, second):
        notebook.metadata.hyperlearn.pop("seconds")
    assert first == second

    second.cells[1].source = "print('a')  # again\nprint('b')"
    assert list(run.problems(second)) == []
    second.cells[1].source = "print('c')"
    assert "run the chapter" in next(run.problems(second))


def sha256(*sources: str) -> str:
    return run.code_sha256(nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources))))


def test_layout_makes_no_output_stale() -> None:
    text = ["def f(a):\n    'Twice.'\n    return 2 * a  # so", "if f(3):\n    %pip --version\nf('x' 'y')"]
    broken = ["def f(a):\n    return (\n        2 * a\n    )", "if f(3):\n    %pip --version", "f(\n    'xy'\n)"]
    assert sha256(*text) == sha256(*broken)
    for source in ["f('x', 'y')", "f('xy');", "f('xy')\nNone"]:
        assert sha256(text[0], *broken[1:2], source) != sha256(*text)
    shows = ["a = 1\na", "b = 2"]
    assert sha256(*shows) != sha256("\n".join(shows))  # the first shows a, and the second does not


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import warnings\nwarnings.warn('look')", "look"),
        ("1 / 0", "ZeroDivisionError"),
        ("object()", "memory address"),
    ],
)
def test_run_refuses_what_a_reader_should_not_see(tmp_path: Path, source: str, message: str) -> None:
    path = chapter(tmp_path, source)
    before = path.read_bytes()
    with pytest.raises((ValueError, run.CellExecutionError), match=message):
        run.execute(path, "quick")
    assert [file.name for file in tmp_path.iterdir()] == ["chapter.ipynb"]
    assert path.read_bytes() == before


def test_two_kernels_share_no_port_and_leave_no_file(tmp_path: Path) -> None:
    managers = [KernelManager(kernel_name="python3", config=kernels.without_ports()) for _ in range(2)]
    for manager in managers:
        manager.start_kernel(cwd=str(tmp_path))
    try:
        information = [manager.get_connection_info() for manager in managers]
        assert [each["transport"] for each in information] == ["ipc", "ipc"]
        assert information[0]["ip"] != information[1]["ip"]
        for manager in managers:
            client = manager.blocking_client()
            client.start_channels()
            client.wait_for_ready(timeout=60)
            client.stop_channels()
    finally:
        for manager in managers:
            manager.shutdown_kernel(now=True)
    assert [file for each in information for file in Path(each["ip"]).parent.glob(Path(each["ip"]).stem + "*")] == []
