"""The figures that compute: their JavaScript, run in node, has the numbers of PyTorch."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from loading import load
from narrowing import narrow
from torch import Tensor, nn
from torch.func import functional_call

import hyperlearn as hl
from hyperlearn.data import Batch
from hyperlearn.live import numbers
from hyperlearn.live.numbers import unpack

ROOT = Path(__file__).parents[1]
FIGURES = [
    ("04_a_network_that_writes_a_network", "plane", ()),
    ("09_which_task", "drawing", ("lstm", "sketch")),
    ("15_knowing_what_one_does_not_know", "redrawing", ("lstm", "sketch")),
    ("03_classic_remedies", "valleys", ("chart",)),
    ("05_chunks_and_the_output_regulariser", "compression", ("chart",)),
    ("05_chunks_and_the_output_regulariser", "pins", ("chart",)),
    ("13_remembering_at_constant_cost", "costs", ("chart",)),
]
BOOK, LIVE = ROOT / "book", ROOT / "hyperlearn" / "live"


def node(script: str, *files: str, given: Any = None) -> Any:
    """What the last expression of a script gives, as JSON; in front of it stand files of the package."""
    program = shutil.which("node")
    if not program:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no node")
    texts = [(LIVE / name).read_text(encoding="utf-8") for name in files]
    code = "\n".join([*texts, f"(async (given) => {{ {script} }})"])
    run = (
        "const [code, given] = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        "(0, eval)(code)(given).then((result) => console.log(JSON.stringify(result)));"
    )
    done = subprocess.run([program, "-e", run], input=json.dumps([code, given]), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def figure_of(chapter: str, kind: str) -> str:
    """The figure as a chapter stores it."""
    cells = nbformat.read(BOOK / f"{chapter}.ipynb", as_version=4).cells
    texts = [output.get("data", {}).get("text/html", "") for cell in cells for output in cell.get("outputs", [])]
    (text,) = [text for text in texts if f'data-hyperlearn-live="{kind}"' in text]
    return text


def started_with(html: str) -> tuple[dict[str, Any], str]:
    """The settings and the numbers that a figure hands to its script."""
    (found,) = re.findall(r'^start\(document\.getElementById\("[\w-]+"\), \w+, (\{.*\}), "([^"]*)"\);$', html, re.M)
    return json.loads(found[0]), found[1]


def test_numbers_arrive_in_the_page_as_they_left() -> None:
    torch.manual_seed(0)
    exact = {"bytes": torch.arange(6, dtype=torch.uint8).view(3, 2), "odd": torch.ones(1, dtype=torch.uint8)}
    exact["floats"] = torch.randn(2, 3)
    rounded = {"matrix": 3 * torch.randn(5, 4), "vector": torch.randn(7), "nothing": torch.zeros(3, 2)}
    text = numbers.pack(exact, rounded)
    script = """const found = await unpack(given);
        return Object.entries(found).map(([name, { shape, values }]) => [name, shape, [...values]]);"""
    arrived = {name: torch.tensor(values).view(shape) for name, shape, values in node(script, "common.js", given=text)}
    expected = unpack(text)
    assert list(arrived) == list(expected) == [*exact, *rounded]
    for name, values in expected.items():
        torch.testing.assert_close(arrived[name].float(), values.float(), rtol=0, atol=0)
    for name, values in exact.items():
        assert torch.equal(expected[name], values)
    for name, values in rounded.items():
        half = values.view(len(values), -1).abs().amax(0) / 127 / 2
        assert ((expected[name] - values).view(len(values), -1).abs() <= half * 1.0001).all()


def test_a_module_is_rounded_to_what_the_page_has() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 50)
    before = layer.weight.detach().clone()
    hl.live.round_(layer)
    stored = unpack(numbers.pack({}, dict(layer.named_parameters())))
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(stored[name], parameter.detach(), rtol=1e-6, atol=0)
    assert 0 < (before - layer.weight).abs().max() < before.abs().max() / 127


@pytest.mark.parametrize(("chapter", "kind", "parts"), FIGURES)
def test_a_stored_figure_has_the_script_of_today(chapter: str, kind: str, parts: tuple[str, ...]) -> None:
    html = figure_of(chapter, kind)
    for file in [file for part in ("common", *parts, kind) for file in LIVE.glob(f"{part}.*s")]:
        assert file.read_text(encoding="utf-8") in html, f"{file.name} changed: run the chapter"
    assert len(html) < (100_000 if "chart" in parts else 2_000_000)


TWENTY = 4 * torch.rand(20, 2, generator=torch.Generator().manual_seed(0)) - 2


def test_the_network_that_chapter_4_trained_has_the_same_logits_in_the_page() -> None:
    settings, text = started_with(figure_of("04_a_network_that_writes_a_network", "plane"))
    stored = unpack(text)
    script = """const numbers = await unpack(given.text);
        const images = testImages(numbers).slice(0, 10);
        return given.points.map((point) => {
          const layers = unflatten(write(numbers, point), given.shapes);
          return images.map((image) => [...perceptron(layers, image)]);
        });"""
    given = {"text": text, "points": TWENTY.tolist(), "shapes": settings["shapes"]}
    theirs = torch.tensor(node(script, "common.js", "plane.js", given=given))

    target = hl.nets.MLP(settings["side"] ** 2, [settings["shapes"][0][0]], 2)
    width = len(stored["hidden.bias"])
    net = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, hl.count(target)))
    kept = {f"0.{end}": stored[f"hidden.{end}"] for end in ("weight", "bias")}
    net.load_state_dict(kept | {f"2.{end}": stored[f"head.{end}"] for end in ("weight", "bias")})
    images = stored["images"][:10].float() / 255
    with torch.no_grad():
        params = [hl.ParamLayout.of(target).unflatten(net(point)) for point in TWENTY]
        ours = torch.stack([functional_call(target, one, (images,)) for one in params])
    assert theirs.shape == (20, 10, 2)
    assert ours.std() > 1  # the logits tell something
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-3)


def test_the_stored_network_is_small_and_reads_its_own_digits() -> None:
    settings, text = started_with(figure_of("04_a_network_that_writes_a_network", "plane"))
    assert len(text) <= 300_000
    script = """const numbers = await unpack(given.text);
        const tests = testImages(numbers);
        return given.names.map((_, task) => {
          const embedding = numbers.embeddings.values.subarray(2 * task, 2 * task + 2);
          const layers = unflatten(write(numbers, embedding), given.shapes);
          const answers = tests.map((image) => perceptron(layers, image)).map(([no, yes]) => (yes > no ? 1 : 0));
          return answers.map((answer, i) => answer === numbers.labels.values[i]);
        });"""
    right = torch.tensor(node(script, "common.js", "plane.js", given={**settings, "text": text}))  # [network, image]
    tasks = len(settings["names"])
    accuracy = right.float().view(tasks, tasks, -1).mean(-1)
    assert (accuracy.diagonal() > 0.9).all()
    assert accuracy[~torch.eye(tasks, dtype=torch.bool)].mean() < 0.8


def test_countries_are_interpolated() -> None:
    script = """const maps = { shape: [2, 2, 3], values: [100, 50, 0, 100, 50, 0, 0, 50, 100, 0, 50, 100] };
        return [[0, 0], [0.25, 1], [1, 0.5], [0.9, 0]].map(([x, y]) => countryAt(maps, x, y));"""
    found = node(script, "common.js", "plane.js")
    assert [place["task"] for place in found] == [0, 0, 1, 1]
    assert [place["accuracy"] for place in found] == pytest.approx([100, 75, 100, 90])


def test_the_statement_says_which_network_was_written() -> None:
    names = ["0 or 1", "2 or 3", "4 or 5"]
    script = "return given.cases.map((accuracies) => statement(given.names, accuracies));"
    cases = [[0.2, 0.95, 0.5], [0.9, 0.89, 1.0], [0.5, 0.5, 0.5]]
    assert node(script, "common.js", "plane.js", given={"names": names, "cases": cases}) == [
        "Written here: a network for 2 or 3.",
        "Written here: a network for 0 or 1, and for 4 or 5.",
        "Written here: a network that does none of these tasks well.",
    ]


def small_plane(**changes: Any) -> hl.live.EmbeddingPlane:
    torch.manual_seed(0)
    target = hl.nets.MLP(16, [4], 2)
    images, labels = torch.rand(3, 4, 4), torch.tensor([0, 1, 1])
    given: dict[str, Any] = {
        "net": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, hl.count(target))),
        "embeddings": torch.randn(2, 2),
        "target": target,
        "tests": [Batch(images, labels, torch.zeros(3))] * 2,
        "classes": [("0", "1"), ("2", "3")],
        "maps": torch.full((2, 3, 3), 50.0),
        "reach": 2.0,
        "caption": "A caption.",
    }
    return hl.live.EmbeddingPlane(**(given | changes))


def test_a_plane_is_one_piece_of_html() -> None:
    plane = small_plane()
    html = plane._repr_html_()
    assert html == small_plane()._repr_html_()
    assert html.count("<script>") == 1
    settings, text = started_with(html)
    assert settings["names"] == ["0 or 1", "2 or 3"]
    assert re.findall(r"""\b(?:src|href)=["'](?!data:)|https?:|\brequire\(""", html.replace(text, "")) == []
    assert repr(plane) == "EmbeddingPlane(2 tasks)"
    torch.testing.assert_close(unpack(text)["hidden.weight"], narrow(nn.Linear, plane.net[0]).weight.detach())


@pytest.mark.parametrize(
    "changes",
    [
        {"net": nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 78))},
        {"net": nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 78))},
        {"net": nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 77))},
        {"maps": torch.zeros(3, 3, 3)},
        {"tests": [Batch(torch.rand(n, 4, 4), torch.arange(n) % 2, torch.zeros(n)) for n in (2, 3)]},
        {"tests": [Batch(torch.rand(2, 4, 4), torch.ones(2, dtype=torch.int64), torch.zeros(2))] * 2},
    ],
    ids=["activation", "inputs", "outputs", "maps", "unequal", "one label"],
)
def test_a_plane_of_other_shapes_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(hl.InputError):
        small_plane(**changes)


def stored_hypernet(stored: dict[str, Tensor], target: nn.Module) -> hl.LSTMHypernet:
    """The hypernetwork that a figure stores, as the library has it."""
    tasks, task_dim = stored["task_embeddings"].shape
    hypernet = hl.LSTMHypernet(
        target,
        tasks,
        chunk_size=len(stored["head.weight"]),
        task_dim=task_dim,
        chunk_dim=stored["chunk_embeddings"].shape[1],
        hidden_size=stored["head.weight"].shape[1],
    )
    hypernet.load_state_dict(stored)
    return hypernet


def test_the_networks_that_the_page_writes_in_chapter_9_have_the_same_logits() -> None:
    settings, text = started_with(figure_of("09_which_task", "drawing"))
    stored = unpack(text)
    hidden = [shape[0] for shape in settings["shapes"][::2]][:-1]
    target = hl.nets.MLP(settings["side"] ** 2, hidden, 2)
    images = stored.pop("images").float() / 255
    digits = stored.pop("labels").tolist()
    hypernet = stored_hypernet(stored, target)
    with torch.no_grad():
        ours = hl.inference.task_logits(target, hypernet.params(range(hypernet.tasks)), images)
    script = """const numbers = await unpack(given.text);
        const size = given.side ** 2;
        const images = given.digits.map((_, i) => numbers.images.values.subarray(i * size, (i + 1) * size));
        return given.names.map((_, task) => {
          const layers = unflatten(writeTask(numbers, task, given.count), given.shapes);
          return images.map((image) => [...perceptron(layers, Float32Array.from(image, (value) => value / 255))]);
        });"""
    given = {**settings, "text": text, "digits": digits, "count": hl.count(target)}
    theirs = torch.tensor(node(script, "common.js", "lstm.js", given=given))
    assert theirs.shape == (5, 10, 2)
    assert digits == list(range(10))
    assert ours.std() > 1
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-3)


def test_a_small_lstm_hypernetwork_writes_the_same_in_the_page() -> None:
    """Its last chunk is cut, and its sizes are all different."""
    torch.manual_seed(0)
    target = nn.Linear(4, 3)
    hypernet = hl.LSTMHypernet(target, 2, chunk_size=4, task_dim=2, chunk_dim=3, hidden_size=5)
    hl.live.round_(hypernet)
    script = "const numbers = await unpack(given); return [0, 1].map((task) => [...writeTask(numbers, task, 15)]);"
    text = numbers.pack({}, dict(hypernet.named_parameters()))
    theirs = torch.tensor(node(script, "common.js", "lstm.js", given=text))
    torch.testing.assert_close(theirs, hypernet.flat([0, 1]).detach(), rtol=1e-4, atol=1e-6)


def test_the_entropy_in_the_page_is_that_of_the_library() -> None:
    torch.manual_seed(0)
    logits = torch.cat([5 * torch.randn(20, 3), torch.tensor([[0.0, 0.0, -200.0], [90.0, 0.0, 0.0], [1.0, 1.0, 1.0]])])
    script = "return given.map(entropy);"
    theirs = torch.tensor(node(script, "common.js", "drawing.js", given=logits.tolist()))
    torch.testing.assert_close(theirs, hl.inference.entropy(logits), rtol=1e-4, atol=1e-7)


def test_entropies_are_readable() -> None:
    values = [0.6931, 0.0102, 0.00321, 3.4e-12, 0]
    assert node("return given.map(readable);", "common.js", "drawing.js", given=values) == [
        "0.69",
        "0.01",
        "3·10⁻³",
        "3·10⁻¹²",
        "0",
    ]


def test_entropies_stand_on_a_logarithmic_scale() -> None:
    script = "return given.map((value) => placeOf(value, -15));"
    values = [0, 1e-20, 1e-15, (1e-15 * 0.69314718) ** 0.5, 0.69314718, 1]
    places = node(script, "common.js", "drawing.js", given=values)
    assert places == pytest.approx([0, 0, 0, 0.5, 1, 1], abs=1e-6)


STROKES = [
    [[[0.1, 0.1], [0.1, 0.4]]],  # in a corner
    [[[0.1, 0.8], [0.9, 0.8], [0.9, 0.1]], [[0.5, 0.5]]],  # large, its mass to one side, and a dot
    [[[0.5, 0.5]]],  # a dot alone
]


@pytest.mark.parametrize("side", [28, 8])
def test_drawings_are_scaled_and_centred(side: int) -> None:
    script = "return given.strokes.map((strokes) => [...normalized(strokes, given.side, given.box)]);"
    given = {"strokes": STROKES, "side": side, "box": 20 if side == 28 else 8}
    drawn = torch.tensor(node(script, "common.js", "sketch.js", given=given)).view(-1, side, side)
    assert drawn.min() == 0
    assert drawn.max() <= 1
    middles = torch.arange(side) + 0.5
    for image in drawn:
        assert (image > 0.5).any()
        if side == 28:
            assert (image.sum(0) * middles).sum() / image.sum() == pytest.approx(14, abs=0.2)
            assert (image.sum(1) * middles).sum() / image.sum() == pytest.approx(14, abs=0.2)
            inked = (image > 0.5).nonzero()
            assert (inked.amax(0) - inked.amin(0)).max() <= 20
    assert drawn[0].sum(0).gt(0.5).sum() < drawn[0].sum(1).gt(0.5).sum()  # an upright stroke stays upright


def test_soft_edges_have_the_distance_from_the_line() -> None:
    script = "return [...inked([[[1.5, 2.5], [4.5, 2.5]]], 6, 1)];"
    image = torch.tensor(node(script, "common.js", "sketch.js")).view(6, 6)
    torch.testing.assert_close(image[2], torch.tensor([0.5, 1, 1, 1, 1, 0.5]))
    torch.testing.assert_close(image[:, 2], torch.tensor([0, 0.5, 1, 0.5, 0, 0]))
    assert image[1, 0] == pytest.approx(1.5 - 2**0.5, abs=1e-6)


def small_sketch(target: nn.Module) -> dict[str, Any]:
    """What every pad is given, with a hypernetwork of ``target``."""
    return {
        "hypernet": hl.LSTMHypernet(target, 2, chunk_size=20, task_dim=2, chunk_dim=3, hidden_size=4),
        "target": target,
        "examples": Batch(torch.rand(4, 4, 4), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])),
        "classes": [("0", "1"), ("2", "3")],
        "caption": "A caption.",
        "box": 4,
    }


def small_drawing(**changes: Any) -> hl.live.DrawADigit:
    torch.manual_seed(0)
    return hl.live.DrawADigit(**(small_sketch(hl.nets.MLP(16, [4], 2)) | changes))


def test_a_pad_is_one_piece_of_html() -> None:
    pad = small_drawing()
    html = pad._repr_html_()
    assert html == small_drawing()._repr_html_()
    settings, text = started_with(html)
    assert settings["classes"] == [["0", "1"], ["2", "3"]]
    assert unpack(text)["labels"].tolist() == [0, 1, 2, 3]
    assert re.findall(r"""\b(?:src|href)=["'](?!data:)|https?:|\brequire\(""", html.replace(text, "")) == []
    assert repr(pad) == "DrawADigit(2 tasks)"


@pytest.mark.parametrize(
    "changes",
    [
        {"hypernet": hl.ChunkedHypernet(nn.Linear(4, 2), 2, chunk_size=4, task_dim=2, chunk_dim=2, hidden=[3])},
        {"classes": [("0", "1")]},
        {"classes": [("0", "1"), ("2", "3", "4")]},
        {"start": 4},
    ],
    ids=["hypernet", "tasks", "labels", "start"],
)
def test_a_pad_of_other_shapes_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(hl.InputError):
        small_drawing(**changes)


def test_the_autoencoders_that_the_page_writes_in_chapter_15_have_the_same_densities() -> None:
    settings, text = started_with(figure_of("15_knowing_what_one_does_not_know", "redrawing"))
    stored = unpack(text)
    shapes, side = dict(settings["layout"]), settings["side"]
    hidden, code, copies = shapes["encode.weight"][0], shapes["code.bias"][0], len(stored.pop("masks"))
    target = hl.nets.ConditionalAutoencoder(
        (side, side), hidden, code, classes=2, pooled=settings["pooled"], copies=copies
    )
    images = stored.pop("images").float() / 255
    assert stored.pop("labels").tolist() == list(range(10))
    hypernet = stored_hypernet(stored, target)
    with torch.no_grad():
        ours = hl.inference.task_logits(target.eval(), hypernet.params(range(hypernet.tasks)), images)
    theirs = torch.tensor(node(DENSITIES, *REDRAWING, given={**settings, "text": text, "count": hl.count(target)}))
    assert theirs.shape == (5, 10, 2)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-3)
    known = ours.logsumexp(-1).amax(0) >= settings["threshold"]
    assert known.sum() >= 8  # of ten test digits
    assert (ours.logsumexp(-1).argmax(0) == torch.arange(10) // 2).sum() >= 8


REDRAWING = ("common.js", "lstm.js", "redrawing.js")
DENSITIES = """const numbers = await unpack(given.text);
    const images = numbers.images.values;
    const size = given.side ** 2;
    const halves = halvesOf(numbers.masks);
    return Array.from({ length: numbers.task_embeddings.shape[0] }, (_, task) => {
      const net = byName(writeTask(numbers, task, given.count), given.layout);
      return Array.from({ length: images.length / size }, (_, i) => {
        const image = Float32Array.from(images.subarray(i * size, (i + 1) * size), (value) => value / 255);
        const view = viewOf(image, given.side, given.pooled);
        return judgedBy(net, view, partsOf(view, halves), 2).densities;
      });
    });"""


def small_redrawing(pooled: bool = False, copies: int = 2, **changes: Any) -> hl.live.DrawItAgain:
    torch.manual_seed(0)
    target = hl.nets.ConditionalAutoencoder((4, 4), hidden=5, code=3, classes=2, pooled=pooled, copies=copies)
    given = small_sketch(target) | {"threshold": -3.0, "lowest": -9.0}
    with torch.no_grad():
        for parameter in given["hypernet"].parameters():
            parameter.mul_(3)  # so that the drawings differ
    hl.live.round_(given["hypernet"])
    return hl.live.DrawItAgain(**(given | changes))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("copies", [0, 2])
def test_a_small_autoencoder_has_the_same_densities_in_the_page(pooled: bool, copies: int) -> None:
    figure = small_redrawing(pooled, copies)
    settings, text = started_with(figure._repr_html_())
    given = {**settings, "text": text, "count": hl.count(figure.target)}
    theirs = torch.tensor(node(DENSITIES, *REDRAWING, given=given))
    ours = figure.logits(unpack(text)["images"].float() / 255)
    assert ours.std() > 0.01
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)
    assert figure.target.training  # as it was before


def test_a_pad_for_redrawing_is_one_piece_of_html() -> None:
    html = small_redrawing()._repr_html_()
    assert html == small_redrawing()._repr_html_()
    _, text = started_with(html)
    assert re.findall(r"""\b(?:src|href)=["'](?!data:)|https?:|\brequire\(""", html.replace(text, "")) == []
    assert repr(small_redrawing()) == "DrawItAgain(2 tasks)"
    with pytest.raises(hl.InputError, match="ConditionalAutoencoder"):
        small_redrawing(target=hl.nets.MLP(16, [4], 2))


def test_what_a_hypernetwork_leaves_to_the_target_is_no_part_of_a_page() -> None:
    target = hl.nets.MLP(16, [4], 2)
    sizes: dict[str, Any] = {"chunk_size": 5, "task_dim": 2, "chunk_dim": 3, "hidden_size": 4}
    for part in ({"generate": ["*.bias"]}, {"base": "target"}):
        with pytest.raises(hl.InputError, match="writes all"):
            small_drawing(target=target, hypernet=hl.LSTMHypernet(target, 2, **sizes, **part))


def test_the_front_page_shows_the_figure_of_chapter_4_before_any_paragraph() -> None:
    source = [(BOOK / "intro.md").read_text()]
    load(BOOK / "site_extras.py").write(None, "book/intro", source)
    title, first = source[0].split("\n\n")[:2]
    assert title.startswith("# ")
    assert first.startswith("`````{raw} html\n<figure")
    assert figure_of("04_a_network_that_writes_a_network", "plane") in source[0]
