"""The theme's script and style with two thousand icons, cut to those that the site shows: 1.5 MB less on each page.

Sphinx loads this file as an extension, by `_config.yml`.
"""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

# name: [width, height, [other names], "code", "path"], or two paths; a name with a dash stands in quotes.
ICON = re.compile(
    r"""(?:"(?P<quoted>[a-z0-9-]+)"|(?P<plain>[a-z0-9]+)):
        \[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]*",(?:"[^"]*"|\[(?:"[^"]*",?)*\])\],?""",
    re.X,
)

RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"[^"]*"\}')


def cut(script: str, used: Set[str]) -> str:
    """The script with the icons that have one of these names.

    >>> cut('{car:[5,5,["auto"],"f1","M0"],"a-b":[5,5,[],"f2",["M1","M2"]]}', {"auto"})
    '{car:[5,5,["auto"],"f1","M0"],}'
    """

    def kept(icon: re.Match[str]) -> str:
        names = {icon["quoted"] or icon["plain"], *re.findall(r'"([^"]*)"', icon["others"])}
        return icon[0] if names & used else ""

    return ICON.sub(kept, script)


def cut_style(style: str, used: Set[str]) -> str:
    """The style with the rules for icons that have one of these names.

    >>> cut_style('.fa-car:before,.fa-auto:before{content:"1"}.fa-dog:before{content:"2"}p{}', {"auto"})
    '.fa-car:before,.fa-auto:before{content:"1"}p{}'
    """
    return RULE.sub(lambda rule: rule[0] if named(rule[0]) & used else "", style)


def named(text: str) -> set[str]:
    """The names that follow `fa-` in a page or a script."""
    return set(re.findall(r"\bfa-([a-z0-9-]+)", text))


def put(app: Any, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        site = Path(app.outdir)
        icons = site / "_static" / "scripts" / "fontawesome.js"
        scripts = [path for path in icons.parent.glob("*.js") if path != icons]
        used = set().union(*(named(path.read_text(encoding="utf-8")) for path in [*site.rglob("*.html"), *scripts]))
        icons.write_text(cut(icons.read_text(encoding="utf-8"), used), encoding="utf-8")
        style = site / "_static" / "styles" / "pydata-sphinx-theme.css"
        style.write_text(cut_style(style.read_text(encoding="utf-8"), used), encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    app.connect("build-finished", put)
    return {"parallel_read_safe": True}
