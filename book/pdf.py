"""Print the built site's pages, in the order of the contents, and join them to one PDF: `make pdf`.

Needs a Chromium, as the tests of the pages do, and no LaTeX. The API reference is left out: it is for looking things
up, and would be a third of the pages. Solutions are printed open. Of a figure that moves one state is printed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import yaml
from playwright.sync_api import Page, PdfMargins, sync_playwright
from pypdf import PdfWriter

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
PDF = ROOT / "_build" / "hyperlearn.pdf"
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text())
LEFT_OUT = {"book/api"}

# The theme's own style for paper keeps boxes that scroll, which cut long lines off.
STYLE = """@media print {
  html { font-size: 13px; }
  .bd-main .bd-content .bd-article-container { max-width: 100%; width: 100%; padding: 0; }
  #print-main-content, .prev-next-footer, .copybtn, .hide > summary, [data-hyperlearn-slider] label,
  .bd-article a[href^="https://colab.research.google.com/"] { display: none !important; }
  #jb-print-docs-body h1 { text-align: left !important; font-size: 2em !important; margin: 0 0 1em !important; }
  * { animation: none !important; } /* cells that were opened would still be fading in */
  .bd-article pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.8em; }
  .bd-article table, .bd-article .cell_output, .bd-article figure { overflow: visible; }
  .bd-article img { max-height: 105mm; width: auto; }
  .cell_input, figure, img, tr, mjx-container[display="true"] { break-inside: avoid; }
  h1, h2, h3, h4 { break-after: avoid; }
}"""

# A link to another page of the site on this machine's disk becomes one to where the site is published.
PREPARE = """([site, published]) => {
  document.querySelectorAll("details").forEach(each => each.open = true);
  document.querySelectorAll("a[href]").forEach(link => {
    if (link.href.startsWith(site) && !link.getAttribute("href").startsWith("#"))
      link.href = published + link.href.slice(site.length);
  });
  return Promise.all([...document.images].map(image => { image.loading = "eager"; return image.decode(); }));
}"""

FOOTER = (
    '<div style="font-size: 8px; width: 100%; margin: 0 16mm; display: flex; justify-content: space-between;">'
    '<span class="title"></span><span class="pageNumber"></span></div>'
)


def pages() -> list[str]:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = [chapter["file"] for part in contents["parts"] for chapter in part["chapters"]]
    return [file for file in [contents["root"], *files] if file not in LEFT_OUT]


def print_page(page: Page, name: str, path: Path) -> None:
    page.goto((SITE / f"{name}.html").as_uri(), wait_until="load")
    page.evaluate("window.MathJax && MathJax.startup.promise")
    page.add_style_tag(content=STYLE)
    page.evaluate(PREPARE, [SITE.as_uri() + "/", CONFIG["sphinx"]["config"]["ogp_site_url"]])
    margin = PdfMargins(top="16mm", bottom="18mm", left="16mm", right="16mm")
    page.pdf(
        path=path,
        format="A4",
        margin=margin,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        tagged=True,
        outline=True,
    )


def main() -> int:
    chromium = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if not chromium or not SITE.is_dir():
        print("no Chromium to print with" if not chromium else "no built site: run `make site`", file=sys.stderr)
        return 1
    book = PdfWriter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(color_scheme="light")
        page.set_default_timeout(120_000)
        for name in pages():
            path = Path(folder) / f"{Path(name).name}.pdf"
            print_page(page, name, path)
            book.append(path)
        browser.close()
    book.add_metadata({"/Title": CONFIG["title"], "/Author": CONFIG["author"]})
    book.write(PDF)
    print(f"{PDF}: {len(book.pages)} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
