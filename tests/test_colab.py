"""Every chapter reads well on Colab, which knows Markdown, mathematics and a few HTML tags, and has no other file."""

import importlib.util
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("book_run", ROOT / "book" / "run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)

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


def problems(markdown):
    """What a reader on Colab would see raw, miss, or be led astray by, in the text of one cell."""
    found, open_tags = [], []
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
def test_text_shows_on_colab(path):
    for cell in run.read(path).cells:
        if cell.cell_type == "markdown":
            assert problems(cell.source) == []


@every_chapter
def test_outputs_show_on_colab(path):
    for cell in run.read(path).cells:
        for data in (output.get("data", {}) for output in cell.get("outputs", [])):
            assert problems(data.get("text/markdown", "")) == []
            sources = re.findall(r"""\b(?:src|href)=["'](?!data:|https:|#)([^"']*)""", data.get("text/html", ""))
            assert sources == []


@every_chapter
def test_the_first_cell_alone_installs_and_leaves_torch_as_it_is(path):
    cells = [cell.source for cell in run.read(path).cells if cell.cell_type == "code"]
    first, *others = [[line for line in source.splitlines() if re.search(r"\bpip\b|^\s*!", line)] for source in cells]
    (install,) = first
    assert re.fullmatch(r" +%pip install -q git\+https://[\w./-]+", install)  # no -U, no pin, no second package
    assert not any(others)


def test_what_it_installs_are_floors():
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
def test_what_colab_would_not_show_is_found(markdown, problem):
    assert problem in " ".join(problems(markdown))


def test_what_colab_shows_is_left_alone():
    text = (
        "# Title\n\nIn $\\sum_{t<T} x_t$ and *words*, [a paper](https://a.org), `{code}`.\n\n$$x_{1}\n= 2$$\n\n"
        "| $x$ | y |\n| --- | --- |\n| $\\lvert x \\rvert$ | 1 |\n\n```python\nf'{x}' # $\n```\n\n"
        "<details><summary>Solution</summary>\n\n**x** is $y$.\n\n</details>"
    )
    assert problems(text) == []
