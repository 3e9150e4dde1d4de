"""Doubt: outliers are halves of the batch's images put together wrongly, of which a network is taught to be unsure."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import Batch
from hyperlearn.doubt import loss_with_doubt, outliers, uniform_cross_entropy
from hyperlearn.replicas import train_replicas

DIGITS = hl.benchmarks.split_digits()
CLASSIFIERS = ("hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow", "basis-growth", "scratch")


def marked(n: int, shape: tuple[int, ...], classes: int = 2) -> tuple[Tensor, Tensor]:
    """Images each of whose pixels says which image it is of, and where it stood."""
    pixels = torch.arange(math.prod(shape)).reshape(shape)
    images = 1000.0 * torch.arange(n).view(-1, *[1] * len(shape)) + pixels
    return images, torch.arange(n) % classes


def halves(image: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Of the first channel, if there are any: first and second half."""
    plane = image if image.dim() == 2 else image[0]
    half = plane.shape[dim] // 2
    return plane.narrow(dim, 0, half), plane.narrow(dim, half, plane.shape[dim] - half)


@pytest.mark.parametrize("shape", [(8, 8), (3, 6, 4), (5, 7)])
def test_mixed_outliers_are_halves_of_images_of_two_classes_where_they_stood(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    images, labels = marked(40, shape)
    made = outliers(images, labels)
    assert made.shape == (20, *shape)
    for kind, dim in ((0, 0), (2, 1)):
        for image in made[5 * kind : 5 * kind + 5]:
            first, second = halves(image, dim)
            a, b = int(first.flatten()[0] // 1000), int(second.flatten()[0] // 1000)
            assert labels[a] != labels[b]
            assert torch.equal(first, halves(images[a], dim)[0])
            assert torch.equal(second, halves(images[b], dim)[1])


@pytest.mark.parametrize("shape", [(8, 8), (3, 6, 4)])
def test_swapped_outliers_are_one_image_with_its_halves_in_each_others_place(shape: tuple[int, ...]) -> None:
    images, labels = marked(40, shape)
    made = outliers(images, labels)
    for kind, dim in ((1, 0), (3, 1)):
        for image in made[5 * kind : 5 * kind + 5]:
            first, second = halves(image, dim)
            own = images[int(first.flatten()[0] // 1000)]
            assert torch.equal(first, halves(own, dim)[1])
            assert torch.equal(second, halves(own, dim)[0])


def test_in_a_batch_of_one_class_no_image_is_put_together_rightly() -> None:
    images, labels = marked(16, (4, 4), classes=1)
    for image in outliers(images, labels):
        assert not (image == images).flatten(1).all(1).any()


def test_every_image_and_every_partner_is_drawn() -> None:
    torch.manual_seed(0)
    images, labels = marked(8, (2, 2))
    pairs = {tuple((outliers(images, labels)[0][:, 0] // 1000).int().tolist()) for _ in range(1000)}
    assert pairs == {(a, b) for a in range(8) for b in range(8) if a % 2 != b % 2}


def test_the_loss_is_that_of_outlier_exposure() -> None:
    torch.manual_seed(0)
    batch, net = Batch(torch.rand(16, 4, 4), torch.arange(16) % 3, torch.zeros(16)), nn.Linear(16, 3)
    seen: list[Tensor] = []

    def logits(images: Tensor) -> Tensor:
        seen.append(images)
        out: Tensor = net(images.flatten(1))
        return out

    loss = loss_with_doubt(batch, logits, nn.functional.cross_entropy, 0.5)
    (images,) = seen
    assert torch.equal(images[:16], batch.images)
    p = net(images.flatten(1)).softmax(1)
    own = -p[:16].gather(1, batch.labels[:, None]).log().mean()
    torch.testing.assert_close(loss, own - 0.5 * (p[16:].log().sum(1) / 3).mean())
    assert loss_with_doubt(batch, logits, nn.functional.cross_entropy) == nn.functional.cross_entropy(
        logits(batch.images), batch.labels
    )


def test_no_prediction_has_less_than_the_uniform_one() -> None:
    assert uniform_cross_entropy(torch.zeros(1, 5)) == pytest.approx(math.log(5))
    assert uniform_cross_entropy(torch.randn(100, 5)) > math.log(5)


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_a_network_that_was_taught_to_doubt_is_less_sure_of_outliers(method: str) -> None:
    options: dict[str, Any] = {"target": "mlp-30", "iterations": 150, "device": "cpu"}
    if method != "scratch":
        options["chunk_size"] = 300
    if method == "basis-growth":  # it learns with small steps from a base that is sure
        options |= {"iterations": 400, "basis_size": 30, "base_network": "plain"}
    torch.manual_seed(0)
    found = {}
    few = hl.benchmarks.first(DIGITS, 2)
    examples = few.tasks[1].train[:]
    made = outliers(examples.images, examples.labels)
    for doubt in ("none", "0.5"):
        net = hl.fit(method, few, doubt=doubt, **options).export(1)
        found[doubt] = hl.inference.entropy(net(made)).mean()
    assert found["0.5"] > found["none"] + 0.1


def test_old_records_have_no_doubt_and_new_ones_say_it() -> None:
    assert "doubt" not in hl.recipes.configure("hnet", "split-mnist").record()
    assert hl.recipes.configure("hnet", "split-mnist", doubt="0.5").record()["doubt"] == 0.5


def test_what_cannot_be_doubted_is_refused() -> None:
    def flattened(part: hl.data.Examples) -> hl.data.Examples:
        return hl.data.Examples(part[:].images.flatten(1), part.labels, part.tasks)

    flat = hl.benchmarks.Benchmark(
        "flat",
        tuple(
            hl.benchmarks.Task(flattened(task.train), flattened(task.validation), flattened(task.test), task.classes)
            for task in DIGITS.tasks[:2]
        ),
    )
    with pytest.raises(hl.InputError, match=r"halves of images together, .*; these have shape \(64,\)"):
        hl.run("hnet", flat, doubt=0.5, iterations=1, target="mlp-20", chunk_size=300)
    with pytest.raises(hl.InputError, match="doubt needs classes"):
        hl.run("hnet", hl.benchmarks.polynomials(), doubt=0.5, iterations=1, target="mlp-10", chunk_size=20)
    with pytest.raises(hl.InputError, match="outliers of doubt are drawn at random"):
        train_replicas(hl.recipes.specify("lstm-net-grow", DIGITS, doubt=0.5, iterations=1), [0, 1])
