"""Write the README's table and picture from the records, or check that they are those of the records.

python book/readme.py            writes both
python book/readme.py --check    writes nothing; exit status 1 where the table is not that of the records
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import hyperlearn as hl

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PICTURE = ROOT / "book" / "figures" / "readme.png"
BEGIN, END = "<!-- results: written by book/readme.py -->\n", "<!-- end of results -->\n"
LABELS = {
    "hnet": "HNET",
    "hnet-iwr": "HNET_IWR",
    "lstm-net": "LSTM_NET",
    "lstm-net-iwr": "LSTM_NET_IWR",
    "lstm-net-grow": "LSTM_NET_GROW",
}

Runs = dict[tuple[str, str], list[hl.Result]]


def runs() -> Runs:
    """Records on Split MNIST by method and scenario."""
    found: Runs = defaultdict(list)
    for result in hl.results.read_all(ROOT / "results"):
        if result.benchmark == "split-mnist":
            found[result.method, result.scenario].append(result)
    return found


def table(found: Runs) -> str:
    """Paper and measured side by side, in per cent: mean ± standard deviation over seeds."""
    paper = {(c.method, c.scenario): c for c in hl.tables.table(1, []) if c.benchmark == "split-mnist"}
    lines = ["| Split MNIST, average accuracy, % | CL1 | CL2 | CL3 |", "| --- | --- | --- | --- |"]
    for method, label in LABELS.items():
        cells = [paper[method, scenario] for scenario in hl.methods.SCENARIOS]
        lines.append(
            f"| {label}, paper | " + " | ".join(f"{c.paper_mean:.2f} ± {c.paper_std:.2f}" for c in cells) + " |"
        )
        measured = [[100 * r.average_accuracy for r in found[method, scenario]] for scenario in hl.methods.SCENARIOS]
        shown = " | ".join(f"{mean(values):.2f} ± {stdev(values):.2f}" for values in measured)
        lines.append(f"| {label}, here (n = {len(measured[0])}) | {shown} |")
    return "\n".join(lines) + "\n"


def draw(found: Runs) -> None:
    """Accuracy in the three scenarios, paper and records, as points with error bars."""
    figure, axes = hl.plots.new(1, 3, width=7.6, height=3.4)
    paper = {(c.method, c.scenario): c for c in hl.tables.table(1, []) if c.benchmark == "split-mnist"}
    for ax, scenario in zip(axes[0], hl.methods.SCENARIOS, strict=True):
        for row, (method, color) in enumerate(zip(LABELS, hl.plots.PALETTE, strict=False)):
            values = [100 * result.average_accuracy for result in found[method, scenario]]
            ax.errorbar(mean(values), row, xerr=stdev(values), fmt="o", color=color, capsize=4)
            ax.plot(paper[method, scenario].paper_mean, row, marker="|", markersize=16, color="black")
        ax.set_title(scenario.upper())
        ax.set_yticks(range(len(LABELS)), LABELS.values() if scenario == "cl1" else [""] * len(LABELS))
        ax.set_ylim(len(LABELS) - 0.5, -0.5)
        ax.margins(x=0.2)
        ax.set_xlabel("accuracy, %")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150, metadata={"Software": None})


def main() -> int:
    found = runs()
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    new = before + BEGIN + "\n" + table(found) + "\n" + END + after
    if "--check" in sys.argv[1:]:
        if text != new:
            print("README.md: the results are not those of the records; run python book/readme.py")
        return int(text != new)
    README.write_text(new)
    draw(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
