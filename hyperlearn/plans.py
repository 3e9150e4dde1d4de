"""Which runs make a table, a figure or a comparison: what `hyperlearn.sweeps` trains, readable without PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import recipes, tables
from .catalog import SCENARIOS, Scenario

Variants = list[tuple[str, tuple[Scenario, ...], dict[str, Any]]]
"""Methods, each with scenarios and overrides."""


@dataclass(frozen=True)
class Plan:
    """What a sweep is made of: its usual benchmarks, and what is varied on one of them."""

    benchmarks: tuple[str, ...]
    variants: Callable[[str], Variants]


def _table(number: int) -> Plan:
    cells = [(cell.method.removesuffix("-during"), cell.scenario, cell.benchmark) for cell in tables.table(number, [])]
    found = {method: tuple(s for s in SCENARIOS if any(c[:2] == (method, s) for c in cells)) for method, *_ in cells}
    return Plan(
        tuple(dict.fromkeys(benchmark for *_, benchmark in cells)),
        lambda _: [(method, scenarios, {}) for method, scenarios in found.items()],
    )


_SMALLER_LSTM = {
    "cifar-10-100": (
        {"hidden_size": 32, "chunk_size": 1_060},
        {"hidden_size": 64, "chunk_size": 1_060},
        {"hidden_size": 96, "chunk_size": 1_590},
    )
}
"""In the place of the three smallest chunks, where the LSTM's gates would keep the ratio up."""


def _compression(benchmark: str) -> Variants:
    """Chunks from an eighth to four times the recipe's: on Split MNIST, ratios from 0.15 (HNET) or 0.4 to 3.4."""
    sizes = {method: recipes.values(method, benchmark)["chunk_size"][0] for method in ("hnet", "lstm-net")}
    factors = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)
    changes = {m: [{"chunk_size": int(size * factor)} for factor in factors] for m, size in sizes.items()}
    smaller = _SMALLER_LSTM.get(benchmark, ())
    changes["lstm-net"][: len(smaller)] = smaller
    return [(m, SCENARIOS, changes[m][i]) for i in range(len(factors)) for m in sizes]


def _beta(_: str) -> Variants:
    """Six decades around the recipe's beta; the paper's finding is a plateau above and forgetting below."""
    return [("lstm-net-iwr", SCENARIOS, {"beta": 10.0**exponent}) for exponent in range(-5, 2)]


def _lookahead(_: str) -> Variants:
    """All penalties at the weights as they are; the runs one step ahead are the recipes' own, those of the table."""
    return [(m, SCENARIOS, {"lookahead": False}) for m in ("hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr")]


SWEEPS: dict[str, Callable[[], Plan]] = {
    "table1": lambda: _table(1),
    "table2": lambda: _table(2),
    "table3": lambda: _table(3),
    "compression": lambda: Plan(("split-mnist",), _compression),
    "beta": lambda: Plan(("split-mnist",), _beta),
    "lookahead": lambda: Plan(("split-mnist",), _lookahead),
}
"""Every sweep by its name on the command line."""
