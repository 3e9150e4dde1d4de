"""Write what README and front page say of the records: five sentences, a picture, a table; or check what they say.

python book/readme.py            writes all of it
python book/readme.py --check    writes nothing; exit status 1 where a page does not say what the records say
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import hyperlearn as hl
from hyperlearn.plots import method_name
from hyperlearn.tables import Cell, Comparison

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "book" / "figures" / "claims.png"
BEGIN, END = "<!-- {}: written by book/readme.py -->\n", "<!-- end of {} -->\n"
SHOWN = ("hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow")
BENCHMARKS = ("split-mnist", "permuted-mnist")
INFERRED = ("cl2", "cl3")
ALT = (
    "The paper's claims of the form A over B in six panels, Split MNIST and Permuted MNIST in three scenarios: a "
    "tick at the paper's difference, a mark with an interval at ours, whose look says whether the claim holds"
)
WIDTH = 520  # of the picture on a page, in pixels; the file has more of them for finer screens
CAPTION = (
    "Ticks: the difference of the paper's means, in points. Marks: ours over common seeds, with its 95% interval.\n"
    "The verdict is by a paired t test, corrected for all claims of one table (Holm). In CL1 the task is given,\n"
    "in CL2 and CL3 it is inferred.\n"
)

Claims = dict[tuple[str, str, str, str], Comparison]


def claims(records: Sequence[hl.Result]) -> Claims:
    """All claims by benchmark, better, worse and scenario."""
    found = [c for name in BENCHMARKS for number in hl.tables.CLAIMS for c in hl.tables.claims(number, name, records)]
    return {(c.benchmark, c.better, c.worse, c.scenario): c for c in found}


def measured(found: Sequence[Comparison]) -> str:
    """Differences and their verdicts: ``+7.5 points in CL2 and +12.8 in CL3 (undecided, n = 5)``."""
    verdicts = [c.verdict + (f", n = {c.n}" if c.n > 1 else "") for c in found]
    same = len(set(verdicts)) == 1
    parts = []
    for c, verdict, unit in zip(found, verdicts, (" points", "", ""), strict=False):
        figure = "no figure" if c.difference is None else f"{c.difference:+.1f}{unit}"
        parts.append(f"{figure} in {c.scenario.upper()}" + ("" if same else f" ({verdict})"))
    return " and ".join(parts) + (f" ({verdicts[0]})" if same else "")


def papers(found: Sequence[Comparison]) -> str:
    return " and ".join(f"{c.paper:+.1f}" for c in found)


def sentences(records: Sequence[hl.Result]) -> str:
    """What the records say of the paper's claims where the task has to be inferred; five items of a list."""
    cells = [cell for number in (1, 2, 3) for cell in hl.tables.table(number, records)]
    verdicts, by_name = Counter(cell.verdict for cell in cells), claims(records)

    def of(better: str, worse: str) -> list[Comparison]:
        return [by_name["split-mnist", better, worse, scenario] for scenario in INFERRED]

    plain, hnet, growth = of("lstm-net", "hnet"), of("hnet-iwr", "hnet"), of("lstm-net-grow", "lstm-net")
    replay = [c for pair in hl.tables.CLAIMS[2]["replay helps"] for c in of(*pair)]
    gained = sorted(c.difference for c in replay if c.difference is not None)
    several = sum(cell.n > 1 for cell in cells)
    holding = sum(c.verdict == "holds" for c in replay)
    items = (
        f"Of the {len(cells)} cells of the paper's tables {len(cells) - verdicts['not run']} are measured, "
        f"{several} of them with two runs or more: {verdicts['agrees']} agree with the paper, "
        f"{verdicts['above']} are above it, {verdicts['below']} below, and {verdicts['inconclusive']} inconclusive.",
        f"*A dependency between chunks.* On Split MNIST the lead of LSTM_NET over HNET is {measured(plain)}; the paper "
        f"has {papers(plain)}.",
        f"*Importance weights.* On Split MNIST they give HNET {measured(hnet)}; the paper has {papers(hnet)}.",
        f"*Growth.* On Split MNIST its lead over LSTM_NET is {measured(growth)}; the paper has {papers(growth)}.",
        f"*Replay.* On Split MNIST {holding} of the {len(replay)} claims that it helps in CL2 and CL3 hold, with gains "
        f"from {gained[0]:+.1f} to {gained[-1]:+.1f} points.",
    )
    return "".join(
        textwrap.fill(f"- {item}", 118, subsequent_indent="  ", break_on_hyphens=False) + "\n" for item in items
    )


def table(records: Sequence[hl.Result]) -> str:
    """Paper and measured side by side, in per cent, with interval, gap and verdict."""
    cells = {(c.method, c.scenario): c for c in hl.tables.table(1, records) if c.benchmark == "split-mnist"}

    def said(cell: Cell) -> str:
        if cell.mean is None:
            return "not run"
        bounds = "" if cell.interval is None else " [{:.2f}, {:.2f}]".format(*cell.interval)
        return f"{cell.mean:.2f}{bounds}, n = {cell.n}<br>{cell.gap:+.2f}, {cell.verdict}"

    lines = ["| Split MNIST, average accuracy, % | CL1 | CL2 | CL3 |", "| --- | --- | --- | --- |"]
    for method in SHOWN:
        row = [cells[method, scenario] for scenario in hl.methods.SCENARIOS]
        theirs = " | ".join(f"{c.paper_mean:.2f} ± {c.paper_std:.2f}" for c in row)
        lines.append(f"| {method_name(method)}, paper | {theirs} |")
        lines.append(f"| {method_name(method)}, here | {' | '.join(map(said, row))} |")
    return "\n".join(lines) + "\n"


def pages(records: Sequence[hl.Result]) -> dict[Path, dict[str, str]]:
    """The parts of each page by their name in the page's marks."""
    readme, front = ROOT / "README.md", ROOT / "book" / "intro.md"
    below = f"{CAPTION}\n{sentences(records)}"
    on_github = f'<img src="book/figures/claims.png" alt="{ALT}" width="{WIDTH}">\n\n'
    in_book = f"```{{image}} figures/claims.png\n:alt: {ALT}\n:width: {WIDTH}px\n```\n\n"
    return {
        readme: {"claims": on_github + below, "results": table(records)},
        front: {"claims": in_book + below},
    }


def filled(text: str, parts: dict[str, str]) -> str:
    for name, part in parts.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = text.partition(begin)
        text = before + begin + "\n" + part + "\n" + end + rest.partition(end)[2]
    return text


def main() -> int:
    records = [r for r in hl.results.read_all(ROOT / "results") if not hl.recipes.deviations(r, None)]
    new = {path: (path.read_text(), filled(path.read_text(), parts)) for path, parts in pages(records).items()}
    stale = [path for path, (there, wanted) in new.items() if there != wanted]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} does not say what the records say; run python book/readme.py")
        return int(bool(stale))
    for path, (_, wanted) in new.items():
        path.write_text(wanted)
    PICTURE.parent.mkdir(exist_ok=True)
    figure = hl.plots.claims(claims(records).values())
    figure.savefig(PICTURE, dpi=150, metadata={"Software": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
