"""The figures with a chart: what their JavaScript computes, run in node, is what numpy and PyTorch compute."""

from typing import Any

import numpy as np
import pytest
import torch
from test_live import figure_of, node, started_with
from torch import Tensor

import hyperlearn as hl

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
