"""Recipes: every number has a source, and the paper's rule on sizes holds."""

from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import hyperlearn as hl
from hyperlearn import nets, recipes, results
from hyperlearn.methods import METHODS, SCENARIOS, HNETConfig
from hyperlearn.methods.hypernet import HypernetConfig

RESULTS = Path(__file__).parent.parent / "results"

# (image shape, logits) of each benchmark's target; no data is needed for that
SHAPES = {
    "split-digits": ((8, 8), 2),
    "permuted-digits": ((8, 8), 10),
    "split-mnist": ((28, 28), 2),
    "permuted-mnist": ((32, 32), 10),
    "cifar-10-100": ((3, 32, 32), 10),
}
TASKS = {"split-digits": 5, "permuted-digits": 10, "split-mnist": 5, "permuted-mnist": 10, "cifar-10-100": 6}


@pytest.mark.parametrize(
    ("benchmark", "method"),
    [(b, m) for b in [*SHAPES, "split-fashion-mnist", "a reader's own"] for m in recipes.methods(b)],
)
def test_every_number_has_a_source(method: str, benchmark: str) -> None:
    found = recipes.recipe(method, benchmark)
    assert set(found.sources) == {field.name for field in fields(found.config)}
    assert set(found.sources.values()) <= set(recipes.SOURCES)


@pytest.mark.parametrize("schedule", [None, *(name for name in recipes.SCHEDULES if (RESULTS / name).exists())])
def test_the_committed_records_are_of_the_recipes(schedule: str | None) -> None:
    """The book's tables are made of them. What was trained otherwise lies in a folder of its own."""
    found = list(results.read_all(RESULTS / schedule if schedule else RESULTS))
    assert found
    assert [(r.method, r.seed, d) for r in found if (d := recipes.deviations(r, schedule))] == []


def test_every_row_of_the_table_is_somebodys() -> None:
    """It names what there is, no other row says the same of it as closely, and it is what some recipe takes."""
    used = set()
    for method, benchmark, scenario in product(METHODS, SHAPES, SCENARIOS):
        for name in {field.name for field in fields(METHODS[method])}:
            fitting = [(row.fits(method, benchmark, scenario), row) for row in recipes.rows() if row.field == name]
            ranks = [rank for rank, _ in fitting if rank]
            assert len(ranks) == len(set(ranks)), (method, benchmark, scenario, name)
            used |= {row for rank, row in fitting if rank and rank == max(ranks)}
    assert [row for row in recipes.rows() if row not in used] == []
    for row in recipes.rows():
        assert {*row.benchmark.split()} <= {*SHAPES, "all"}
        assert {*row.method.split()} <= {*METHODS, "all"}
        assert row.scenario in ("", *SCENARIOS)
        assert row.source in recipes.SOURCES


def test_the_table_can_be_read() -> None:
    """Every method's number is in the one row that names it most closely."""
    of_beta = [row for row in recipes.rows() if row.field == "beta" and row.benchmark == "split-mnist"]
    (row,) = [row for row in of_beta if "lstm-net-iwr" in row.method.split()]
    assert float(row.value) == recipes.recipe("lstm-net-iwr", "split-mnist").config.beta  # type: ignore[attr-defined]
    assert row.source == "tuned"


def hypernet_size(method: str, benchmark: str, heads: int = 1, **changed: Any) -> int:
    config = recipes.configure(method, benchmark, **changed)
    assert isinstance(config, HypernetConfig)
    shape, logits = SHAPES[benchmark]
    return hl.count(config.hypernet(nets.parse(config.target)(shape, logits * heads), TASKS[benchmark]))


@pytest.mark.parametrize("method", ["hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"])
@pytest.mark.parametrize("benchmark", SHAPES)
def test_no_hypernetwork_is_larger_than_hnet(method: str, benchmark: str) -> None:
    """Section 4.2 of the paper: as many trainable parameters as the baseline, or fewer; a growing one at a time."""
    assert hypernet_size(method, benchmark) <= hypernet_size("hnet", benchmark)


@pytest.mark.parametrize("benchmark", SHAPES)
def test_lstm_nets_chunks_are_about_as_large_as_the_rule_allows(benchmark: str) -> None:
    chunk = recipes.configure("lstm-net", benchmark).record()["chunk_size"]
    assert hypernet_size("lstm-net", benchmark, chunk_size=round(1.03 * chunk)) > hypernet_size("hnet", benchmark)


def test_sizes_are_those_of_the_reference_implementation() -> None:
    """von Oswald et al.'s trainable parameters, as their code prints them: their targets have a head for each task."""
    assert hypernet_size("hnet", "split-mnist", heads=5) == 465_672
    assert hypernet_size("hnet", "permuted-mnist", heads=10) == 2_029_939
    assert hypernet_size("hnet", "cifar-10-100", heads=6) == 457_336


def test_every_method_has_a_recipe_but_on_cifar() -> None:
    for benchmark in [*SHAPES, "a reader's own"]:
        if benchmark != "cifar-10-100":
            assert recipes.methods(benchmark) == list(METHODS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"beta": "-1"}, "beta: input should be greater than or equal to 0, got '-1'"),
        ({"beta": "much"}, "beta: input should be a valid number"),
        ({"beta": "nan"}, "beta: input should be a finite number"),
        ({"beta": "inf"}, "beta: input should be a finite number"),
        ({"chunk_size": "0"}, "chunk_size: input should be greater than or equal to 1"),
        ({"iterations": "0"}, "iterations: input should be greater than or equal to 1"),
        ({"iterations": "1.5"}, "iterations: input should be a valid integer"),
        ({"learning_rate": "0"}, "learning_rate: input should be greater than 0"),
        ({"hidden": "10,0"}, "hidden: input should be greater than or equal to 1"),
        ({"hidden": "ten"}, "hidden: input should be a valid integer"),
        ({"activation": "sine"}, "activation: input should be 'relu', 'elu' or 'tanh'"),
        ({"lookahead": "perhaps"}, "lookahead: input should be a valid boolean"),
        ({"gamma": "1"}, "hnet has no hyperparameter 'gamma'; it has target, iterations"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(hl.InputError) as caught:
        recipes.configure("hnet", "split-mnist", **changed)
    assert str(caught.value).startswith(message)


def test_text_is_read_as_the_fields_type() -> None:
    config = recipes.configure("hnet", "split-mnist", beta="1e-3", hidden="20,30", lookahead="no")
    assert isinstance(config, HNETConfig)
    assert (config.beta, config.hidden, config.lookahead) == (1e-3, (20, 30), False)
    assert recipes.configure("hnet", "split-mnist", hidden="").record()["hidden"] == ()


def test_targets_by_name() -> None:
    net = nets.parse("mlp-30-20")((8, 8), 5)
    assert [layer.out_features for layer in net.modules() if isinstance(layer, nn.Linear)] == [30, 20, 5]
    for wrong in ("mlp-", "mlp-0", "cnn", "mlp-10-x"):
        with pytest.raises(hl.InputError, match="no target network"):
            nets.parse(wrong)
