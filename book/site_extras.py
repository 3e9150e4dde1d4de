"""What the site gets while it is built: figures of the chapters on other pages, the table of the run times, each page's
description, numbers of the figures, links that stay inside, and folded code in one row.

Sphinx loads this file as an extension, by `_config.yml`.
"""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import syntax
from docutils import nodes

BOOK = Path(__file__).resolve().parent
TIMES = BOOK.parent / "results" / "book"
PROFILES = ("quick", "full")
LIVE = re.compile(r"<!-- live figure: (?P<chapter>\w+), (?P<kind>\w+) -->")
MOVING = re.compile(r"<figure\b[^>]*\bdata-hyperlearn-(?:slider|live)\b.*?<figcaption>", re.S)
FIRST = "04_a_network_that_writes_a_network"
TABLE, MACHINES = "<!-- run times -->", "<!-- machines -->"


def duration(seconds: float) -> str:
    """As many digits as a measured time is good for.

    >>> [duration(seconds) for seconds in (7.7, 31.4, 59.8, 93, 1450.7, 7300)]
    ['8 s', '31 s', '1 min', '1 min 33 s', '24 min', '2 h 2 min']
    """
    seconds = round(seconds)
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 600:
        return f"{seconds // 60} min" + (f" {seconds % 60} s" if seconds % 60 else "")
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def records(chapter: Path) -> dict[str, dict[str, Any]]:
    """By profile, and only those of the code that the chapter has now."""
    code = [cell for cell in json.loads(chapter.read_text())["cells"] if cell["cell_type"] == "code"]
    sha256 = syntax.code_sha256("".join(cell["source"]) for cell in code)
    paths = {profile: TIMES / profile / f"{chapter.stem}.json" for profile in PROFILES}
    found = {profile: json.loads(path.read_text()) for profile, path in paths.items() if path.is_file()}
    return {profile: record for profile, record in found.items() if record["code_sha256"] == sha256}


def title(chapter: Path) -> str:
    source = "".join(json.loads(chapter.read_text())["cells"][0]["source"])
    found = re.search(r"^# (?:\d+\. )?(.+)$", source, re.M)
    assert found, f"{chapter.name} does not begin with its title"
    return found[1]


def shown(record: dict[str, Any] | None) -> str:
    """The processor's time, which other work does not change; with a GPU, which has a time of its own, the clock's."""
    if record is None:
        return "–"
    if record["environment"]["gpu"] == "none":
        return duration(record["processor_seconds"])
    return f"{duration(record['seconds'])} (GPU)"


def table(chapters: list[Path]) -> str:
    lines = ["| | chapter | quick | full |", "| --- | --- | --- | --- |"]
    for chapter in chapters:
        found = records(chapter)
        row = [str(int(chapter.stem[:2])), f"[{title(chapter)}]({chapter.name})"]
        lines.append(f"| {' | '.join(row + [shown(found.get(profile)) for profile in PROFILES])} |")
    return "\n".join(lines)


def machines(chapters: list[Path]) -> str:
    """Where the runs ran, one line for each kind of machine and set of versions."""
    found = {
        (profile, *(record["environment"][key] for key in ("processor", "threads", "gpu", "python", "torch")))
        for chapter in chapters
        for profile, record in records(chapter).items()
    }
    return "\n".join(
        f"- *{profile}*: {processor}, threads: {threads}, GPU: {gpu}; Python {python}, PyTorch {torch}"
        for profile, processor, threads, gpu, python, torch in sorted(found, reverse=True)
    )


def page(text: str) -> str:
    chapters = sorted(BOOK.glob("*.ipynb"))
    return text.replace(TABLE, table(chapters)).replace(MACHINES, machines(chapters))


def live(chapter: Path, kind: str) -> str:
    """The figure that computes, as a block of Markdown."""
    return f"`````{{raw}} html\n{stored(chapter, kind)}\n`````"


def stored(chapter: Path, kind: str) -> str:
    """The HTML of a figure that computes, as its chapter stores it."""
    cells = json.loads(chapter.read_text())["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    texts = ["".join(data.get("text/html", "")) for data in outputs]
    (text,) = [text for text in texts if f'data-hyperlearn-live="{kind}"' in text]
    return text


def preview(app: Any, error: Exception | None) -> None:
    """What a link to the book shows where it is posted: the still picture of its first figure."""
    if error is None and app.builder.format == "html":
        image = re.search(r'src="data:image/png;base64,([^"]+)"', stored(BOOK / f"{FIRST}.ipynb", "plane"))
        assert image, f"the figure of {FIRST} has no still picture"
        (Path(app.outdir) / "_static" / "preview.png").write_bytes(base64.b64decode(image[1]))


def write(app: Any, name: str, source: list[str]) -> None:
    source[0] = LIVE.sub(lambda found: live(BOOK / f"{found['chapter']}.ipynb", found["kind"]), source[0])
    if name == "book/run_times":
        source[0] = page(source[0])


def describe(app: Any, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """A page is described, where a link to it is posted, by its first paragraph, and not by the link to Colab."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else []:
        text = paragraph.astext()
        if text != "Open in Colab":
            text = html.escape(textwrap.shorten(text, 240, placeholder=" …"))
            context["meta"] = {**(context["meta"] or {}), "og:description": text}
            context["metatags"] += f'<meta name="description" content="{text}" />\n'
            return


def join_folded(app: Any, doctree: nodes.document) -> None:
    """Code that is folded and shows nothing joins the folded code after it, so that a figure has one row to open."""
    for cell in list(doctree.findall(lambda node: isinstance(node, nodes.container) and folded(node))):
        following = cell.next_node(descend=False, siblings=True)
        if len(cell) == 1 and following is not None and folded(following):
            following[0].insert(0, cell[0].children)
            cell.parent.remove(cell)


def folded(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Element) and node.get("hide_mode") == "input" and len(node) > 0


def number_figures(app: Any, doctree: nodes.document, name: str) -> None:
    """Pictures and figures that move are counted together, in each chapter from 1: "Figure 5.2"."""
    chapter = re.match(r"book/(\d+)_", name)
    if not chapter:
        return
    count = 0
    for node in list(doctree.findall(lambda node: isinstance(node, (nodes.caption, nodes.raw)))):
        number = f'<span class="caption-number">Figure {int(chapter[1])}.{count + 1} </span>'
        if isinstance(node, nodes.caption) and isinstance(node.parent, nodes.figure):
            node.insert(0, nodes.raw("", number, format="html"))
        elif isinstance(node, nodes.raw) and MOVING.search(node.astext()):
            node[:] = [nodes.Text(node.astext().replace("<figcaption>", f"<figcaption>{number}", 1))]
        else:
            continue
        count += 1


def stay_inside(app: Any, doctree: nodes.document, name: str) -> None:
    """Chapters name each other by their published addresses, which lead somewhere on Colab too; here they are pages."""
    for link in doctree.findall(nodes.reference):
        address, _, anchor = link.get("refuri", "").partition("#")
        page = address.removeprefix(app.config.ogp_site_url).removesuffix(".html")
        if address.startswith(app.config.ogp_site_url) and page in app.env.found_docs:
            link["refuri"] = app.builder.get_relative_uri(name, page) + (f"#{anchor}" if anchor else "")
            link["internal"] = True


def count_nothing_else(app: Any, config: Any) -> None:
    """Sphinx would count the pictures over the whole book; sphinx_jupyterbook_latex switches that on."""
    config.numfig = False


SILENT = ("sphinx-mathjax-offline", "sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")
"""Extensions that do not say whether pages may be read in parallel; they keep nothing of one page for another."""


def read_in_parallel(app: Any, config: Any) -> None:
    """Let pages be read by several processes."""
    for name in SILENT:
        if extension := app.extensions.get(name):
            extension.parallel_read_safe = True


def setup(app: Any) -> dict[str, bool]:
    app.connect("config-inited", count_nothing_else, priority=900)
    app.connect("config-inited", read_in_parallel)
    app.connect("source-read", write)
    app.connect("build-finished", preview)
    app.connect("doctree-read", join_folded)
    app.connect("doctree-resolved", number_figures)
    app.connect("doctree-resolved", stay_inside)
    app.connect("html-page-context", describe, priority=400)  # before sphinxext.opengraph, which takes the first words
    return {"parallel_read_safe": True}
