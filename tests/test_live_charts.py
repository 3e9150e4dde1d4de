"""The figures with a chart: what their JavaScript computes, run in node, is what numpy and PyTorch compute."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from test_live import figure_of, node, started_with
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import hyperlearn as hl
from hyperlearn.live.numbers import unpack

SHARED = ("common.js", "chart.js")


def turned(steep: float, flat: float, degrees: float) -> Tensor:
    """A curvature matrix, the definition of chapter 3."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    return turn @ torch.tensor([steep, flat], dtype=torch.float64).diag() @ turn.T


def valleys_at(cases: list[tuple[float, float]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    settings, _ = started_with(figure_of("03_classic_remedies", "valleys"))
    script = """return given.cases.map(([strength, angle]) => {
          const first = valley(given.curvatures, angle);
          const [one, two] = given.bottoms;
          const ends = [[first[0], first[2]], [1, 1]].map((importance) =>
            tied(given.second, two, importance, one, strength));
          const best = lowest(first, one, given.second, two);
          const loss = (place) => height(first, one, place) + height(given.second, two, place);
          return { ends, best, losses: [...ends, best].map(loss) };
        });"""
    return settings, node(script, *SHARED, "valleys.js", given={**settings, "cases": cases})


def test_training_ends_in_the_page_where_a_descent_ends() -> None:
    """At twenty strengths and tilts; the descent is PyTorch's, on the losses themselves."""
    generator = torch.Generator().manual_seed(0)
    strengths = (10 ** (4 * torch.rand(20, generator=generator) - 3)).tolist()
    cases = list(zip(strengths, (180 * torch.rand(20, generator=generator) - 90).tolist(), strict=True))
    settings, found = valleys_at(cases)
    one, two = torch.tensor(settings["bottoms"], dtype=torch.float64)
    a, b, c = settings["second"]
    second = torch.tensor([[a, b], [b, c]], dtype=torch.float64)
    steep, flat = settings["curvatures"]
    for (strength, angle), shown in zip(cases, found, strict=True):
        first = turned(steep, flat, angle)

        def loss(place: Tensor, matrix: Tensor, bottom: Tensor) -> Tensor:
            return (place - bottom) @ matrix @ (place - bottom) / 2

        ends = []
        for penalty in (strength * first.diagonal().diag(), strength * torch.eye(2, dtype=torch.float64), first):
            place = two.clone().requires_grad_()
            optimizer = torch.optim.LBFGS([place], max_iter=100, line_search_fn="strong_wolfe", tolerance_change=1e-14)

            def closure(place: Tensor = place, penalty: Tensor = penalty) -> Tensor:
                place.grad = None
                total = loss(place, second, two) + loss(place, penalty, one)
                total.backward()
                return total

            optimizer.step(closure)
            ends.append(place.detach())
        torch.testing.assert_close(
            torch.tensor([*shown["ends"], shown["best"]], dtype=torch.float64), torch.stack(ends), rtol=0, atol=1e-5
        )
        losses = torch.stack([loss(end, first, one) + loss(end, second, two) for end in ends])
        torch.testing.assert_close(torch.tensor(shown["losses"], dtype=torch.float64), losses, rtol=0, atol=1e-5)


def test_the_map_of_a_valley_along_the_axes_is_exact() -> None:
    _, (along, tilted) = valleys_at([(1.0, 0.0), (1.0, 50.0)])
    assert along["ends"][0] == pytest.approx(along["best"])
    assert np.linalg.norm(np.subtract(tilted["ends"][0], tilted["best"])) > 0.1
    said = node("return given.map(verdict);", *SHARED, "valleys.js", given=[[0, 1], [0.25, 0.5]])
    assert said[0].startswith("EWC ends at the best place for both tasks")
    assert "0.25 more than at the best place; with equal weights it is 0.5 more" in said[1]


def test_an_ellipse_is_where_the_loss_has_its_height() -> None:
    script = "return given.map((matrix) => ellipse(matrix, 0.7));"
    matrices = [turned(8, 0.3, 50), turned(1.5, 0.8, -20), turned(3, 1, 0)]
    given = [[m[0, 0].item(), m[0, 1].item(), m[1, 1].item()] for m in matrices]
    for matrix, found in zip(matrices, node(script, *SHARED, "valleys.js", given=given), strict=True):
        angle = np.deg2rad(found["angle"])
        ends = [found["radii"][0] * np.array([np.cos(angle), np.sin(angle)])]
        ends.append(found["radii"][1] * np.array([-np.sin(angle), np.cos(angle)]))
        assert [end @ matrix.numpy() @ end / 2 for end in ends] == pytest.approx([0.7, 0.7])


@pytest.mark.parametrize("changes", [{"curvatures": (8, 0)}, {"second": np.array([[1.0, 2.0], [2.0, 1.0]])}])
def test_what_is_no_valley_is_refused(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "bottoms": [(0, 0), (1, 1)],
        "curvatures": (2, 1),
        "second": np.eye(2),
        "caption": "A caption.",
    }
    assert hl.live.TwoValleys(**good)._repr_html_() == hl.live.TwoValleys(**good)._repr_html_()
    with pytest.raises(hl.InputError):
        hl.live.TwoValleys(**(good | changes))


def test_axes_go_from_values_to_pixels_and_back() -> None:
    script = """const even = axis({ from: -1, to: 3 }, 10, 50);
        const log = axis({ from: 0.01, to: 100, log: true }, 100, 0);
        return [even.at(0), even.value(20), log.at(1), log.value(25), [0, 3.14159, 0.0712, 475202, -2.5].map(short)];"""
    *found, texts = node(script, *SHARED)
    assert found == pytest.approx([20, 0, 50, 10])
    assert texts == ["0", "3.14", "0.0712", "475,202", "−2.5"]


COMPRESSION = ("05_chunks_and_the_output_regulariser", "compression")
TARGETS = {
    475_202: hl.nets.MLP(784, [400, 400], 2),
    465_290: hl.nets.ResNet((3, 32, 32), 32, 10),
}


def test_the_page_counts_what_the_modules_have() -> None:
    """At twenty points: both targets, both hypernetworks, and sizes of all kinds."""
    settings, _ = started_with(figure_of(*COMPRESSION))
    sizes = [sum(target["layers"]) for target in settings["targets"]]
    assert sizes == list(TARGETS)
    assert [kind["kind"] for kind in settings["kinds"]] == ["chunked", "lstm"]
    random, cases = np.random.default_rng(0), []
    for number in range(20):
        size = sizes[number % 2]
        chunk = size if number == 19 else int(np.exp(random.uniform(np.log(50), np.log(size))))
        cases.append(
            {
                "kind": ("chunked", "lstm")[number // 2 % 2],
                "size": size,
                "chunk": chunk,
                **{name: int(random.integers(2, 129)) for name in ("width", "task", "address")},
            }
        )
    script = "return given.cases.map((one) => total(parts(one, one.size, given.tasks)));"
    counted = node(script, *SHARED, "compression.js", given={**settings, "cases": cases})
    for case, count in zip(cases, counted, strict=True):
        target = TARGETS[case["size"]]
        sizes_ = {"chunk_size": case["chunk"], "task_dim": case["task"], "chunk_dim": case["address"]}
        with torch.device("meta"):
            hypernet: torch.nn.Module = (
                hl.ChunkedHypernet(target, settings["tasks"], hidden=[case["width"]] * 2, **sizes_)
                if case["kind"] == "chunked"
                else hl.LSTMHypernet(target, settings["tasks"], hidden_size=case["width"], **sizes_)
            )
        assert count == hl.count(hypernet, trainable=True), case
        assert count / case["size"] == hl.compression_ratio(hypernet, target)


@pytest.mark.parametrize("changes", [{"targets": {}}, {"chunk_size": 10}, {"chunk_size": 1_000}])
def test_a_ratio_of_nothing_is_refused(changes: dict[str, Any]) -> None:
    good: dict[str, Any] = {"targets": {"a": hl.nets.MLP(16, [20], 2)}, "tasks": 3, "caption": "A.", "chunk_size": 100}
    assert hl.live.CompressionRatio(**good)._repr_html_() == hl.live.CompressionRatio(**good)._repr_html_()
    with pytest.raises(hl.InputError):
        hl.live.CompressionRatio(**(good | changes))


def trained(net: torch.nn.Sequential, at: Tensor, values: Tensor, weights: Tensor) -> torch.nn.Sequential:
    """400 steps of PyTorch's Adam, on a copy."""
    net = deepcopy(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(400):
        optimizer.zero_grad()
        (weights * (net(at) - values) ** 2).sum().backward()
        optimizer.step()
    return net


def test_the_pinned_curve_is_trained_in_the_page_as_by_pytorch() -> None:
    """The three curves at twenty embeddings, for the places of the chapter and for others."""
    settings, text = started_with(figure_of("05_chunks_and_the_output_regulariser", "pins"))
    stored = unpack(text)
    net = torch.nn.Sequential(torch.nn.Linear(1, 30), torch.nn.Tanh(), torch.nn.Linear(30, 1))
    net.load_state_dict(stored)
    net.double()
    cases = [
        {"places": settings["places"], "beta": settings["beta"]},
        {"places": [[-1.3, 0.4], [0.7, 1.8], [1.2, -1.5]], "beta": 0.02},
        {"places": [[-2.9, -2.0], [2.5, -1.0], [0.1, 2.0]], "beta": 60.0},
    ]
    line = torch.linspace(-3, 3, 20, dtype=torch.float64)[:, None]
    script = """const numbers = await unpack(given.text);
        return given.cases.map(({ places, beta }) => {
          const curves = Object.values(learn(startOf(numbers), places, beta, given.training));
          return { lines: curves.map((params) => given.line.map(([at]) => curve(params, at))),
                   moved: moved(curves[0], curves[2]) };
        });"""
    given = {**settings, "text": text, "cases": cases, "line": line.tolist()}
    for case, found in zip(cases, node(script, *SHARED, "pins.js", given=given), strict=True):
        at, values = torch.tensor(case["places"], dtype=torch.float64).split(1, dim=1)
        one = torch.ones(3, 1, dtype=torch.float64)
        before = trained(net, at[:2], values[:2], one[:2])
        alone = trained(before, at[2:], values[2:], one[2:])
        held = torch.cat([before(at[:2]).detach(), values[2:]])
        pinned = trained(before, at, held, torch.cat([one[:2] * case["beta"] / 2, one[2:]]))
        ours = torch.stack([curve(line)[:, 0].detach() for curve in (before, alone, pinned)])
        torch.testing.assert_close(torch.tensor(found["lines"], dtype=torch.float64), ours, rtol=0, atol=1e-4)
        pairs = zip(before.parameters(), pinned.parameters(), strict=True)
        assert found["moved"] == pytest.approx(torch.cat([(b - a).flatten() for a, b in pairs]).norm().item(), abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"net": torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))},
        {"net": torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))},
        {"places": [(0.0, 1.0)]},
    ],
    ids=["activation", "inputs", "one task"],
)
def test_a_curve_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    good: dict[str, Any] = {"net": net, "places": [(0.0, 1.0), (1.0, 0.0)], "caption": "A caption."}
    assert hl.live.PinnedCurve(**good)._repr_html_() == hl.live.PinnedCurve(**good)._repr_html_()
    with pytest.raises(hl.InputError):
        hl.live.PinnedCurve(**(good | changes))


COSTS = ("13_remembering_at_constant_cost", "costs")


def bills(settings: dict[str, Any], cases: list[dict[str, Any]]) -> list[dict[str, dict[str, float]]]:
    script = """return given.cases.map(({ number, chunk, old, images }) =>
        bill({ ...given.hypernets[number], chunk }, given.target, old, images));"""
    found: list[dict[str, dict[str, float]]] = node(script, *SHARED, "costs.js", given={**settings, "cases": cases})
    return found


def multiplications(module: Callable[..., Any], *given: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        module(*given)
    return counter.get_total_flops() / 2  # a multiplication and an addition are two


def test_the_page_counts_the_multiplications_that_pytorch_counts() -> None:
    """Of the library's regularisers, at twenty points, for a small target."""
    torch.manual_seed(0)
    target, random = hl.nets.MLP(64, [20, 20], 2), np.random.default_rng(0)
    size = hl.count(target)
    for number in range(20):
        chunk = {18: size // 2, 19: size}.get(number) or int(random.integers(20, size))
        old, width, task, address = (int(value) for value in random.integers(1, 12, 4))
        given: dict[str, Any] = {"chunk_size": chunk, "task_dim": task, "chunk_dim": address}
        hypernet: hl.ChunkedHypernet | hl.LSTMHypernet = (
            hl.LSTMHypernet(target, old, hidden_size=width, **given)
            if number % 2
            else hl.ChunkedHypernet(target, old, hidden=[7, width], **given)
        )
        hypernet.stepwise = True  # as products of matrices; PyTorch does not count those of its LSTM
        figure = hl.live.CostOverTasks(target, {"a": hypernet}, pixels=64, batch_size=32, caption="A caption.")
        settings, _ = started_with(figure._repr_html_())
        (found,) = bills(settings, [{"number": 0, "chunk": chunk, "old": old, "images": 3}])
        for form in ("gram", "direct"):
            penalty = hl.OutputRegularizer(hypernet, beta=1.0, form=form)
            for remembered in range(old):
                penalty.remember(remembered)
            assert found[form]["work"] == multiplications(penalty), (number, form)
            assert found[form]["kept"] == sum(kept.numel() for kept in penalty.memory.tensors.values())
        weighted = hl.ImportanceWeightedRegularizer(hypernet, beta=1.0)
        for remembered in range(old):
            weighted.remember(remembered, torch.ones(size))
        assert found["importance"]["work"] == multiplications(weighted), number
        tensors = [*weighted.memory.tensors.values(), *weighted.fisher]
        assert found["importance"]["kept"] == sum(kept.numel() for kept in tensors)
        replayed = multiplications(target, torch.zeros(32, 64))
        assert found["buffer"] == {"kept": old * 3 * 64, "work": replayed}


def test_the_page_keeps_what_the_benchmark_counted() -> None:
    """The record of `speed/bench.py`, with up to a hundred old tasks."""
    rows = json.loads((hl.records.folder() / "bench" / "cpu" / "tasks.json").read_text())["rows"]
    ways = {"Gram": "gram", "direct": "direct", "sampled": "importance"}
    methods = ["hnet", "lstm-net"]
    settings, _ = started_with(figure_of(*COSTS))
    wanted = []
    for row in rows:
        method, _, form = row["regularizer"].partition(", ")
        plain = method.removesuffix("-iwr")
        if plain in methods and (form != "sampled" or method != plain) and form != "exact":
            wanted.append((methods.index(plain), ways[form], row))
    assert len(wanted) > 30
    cases = [
        {"number": number, "chunk": settings["hypernets"][number]["chunk"], "old": row["old_tasks"], "images": 1}
        for number, _, row in wanted
    ]
    for (_, way, row), found in zip(wanted, bills(settings, cases), strict=True):
        assert found[way]["kept"] == row["kept_values"], row


def test_the_compression_ratio_beside_the_costs_is_the_librarys() -> None:
    settings, _ = started_with(figure_of(*COSTS))
    target = hl.nets.MLP(784, [400, 400], 2)
    script = "return given.hypernets.map((one) => ratio({ ...one, chunk: 3000 }, given.target.size, 7));"
    found = node(script, *SHARED, "costs.js", given=settings)
    for method, ratio in zip(("hnet", "lstm-net"), found, strict=True):
        config: Any = hl.recipes.configure(method, "split-mnist", chunk_size=3000)
        assert ratio == pytest.approx(hl.compression_ratio(config.hypernet(target, 7), target))


def test_costs_of_other_kinds_are_refused() -> None:
    torch.manual_seed(0)
    target = hl.nets.MLP(16, [4], 2)
    hypernet = hl.ChunkedHypernet(target, 2, chunk_size=20, task_dim=2, chunk_dim=2, hidden=[3])
    good: dict[str, Any] = {
        "target": target,
        "hypernets": {"a": hypernet},
        "pixels": 16,
        "batch_size": 8,
        "caption": "A.",
    }
    assert hl.live.CostOverTasks(**good)._repr_html_() == hl.live.CostOverTasks(**good)._repr_html_()
    wrong: list[dict[str, Any]] = [
        {"hypernets": {}},
        {"hypernets": {"a": target}},
        {"target": hl.nets.ResNet((3, 8, 8), 8, 2)},
    ]
    for changes in wrong:
        with pytest.raises(hl.InputError):
            hl.live.CostOverTasks(**(good | changes))
