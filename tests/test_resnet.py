"""The residual network for CIFAR, by itself and behind a hypernetwork."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

import hyperlearn as hl
from hyperlearn.data import Examples
from hyperlearn.nets.resnet import MEAN, STD

SHAPE = (3, 8, 8)


class Pad(nn.Module):
    """Option A of He et al. (2016) as von Oswald et al.'s code has it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.quarter = channels // 4

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.quarter, self.quarter), "constant", 0)


class Reference(nn.Module):
    """The same network of torchvision's blocks, whose convolutions have no biases."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        widths = [16, *([16] * blocks), *([32] * blocks), *([64] * blocks)]
        made = [BasicBlock(a, b, *((2, Pad(b)) if a != b else ())) for a, b in pairwise(widths)]
        self.blocks, self.head = nn.Sequential(*made), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        x = self.blocks(self.norm(self.conv(x)).relu())
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("depth", [8, 20])
def test_it_computes_what_torchvisions_blocks_do(depth: int) -> None:
    torch.manual_seed(0)
    own, reference = hl.nets.ResNet((3, 32, 32), depth, 10), Reference(depth // 6)
    assert hl.count(own) == hl.count(reference) + sum(c.out_channels for c in own.modules() if isinstance(c, nn.Conv2d))
    state = {name.replace("norm1", "bn1").replace("norm2", "bn2"): v for name, v in own.state_dict().items()}
    theirs = reference.state_dict()
    reference.load_state_dict({name: state[name] for name in theirs})
    with torch.no_grad():
        for part in own.modules():
            if isinstance(part, nn.Conv2d):
                assert part.bias is not None
                part.bias.zero_()
    images = torch.rand(5, 3, 32, 32)
    for training in (True, False):  # in training first, so that the running statistics are none of the initial ones
        torch.testing.assert_close(own.train(training)(images), reference.train(training)(images))


def test_norms() -> None:
    batch, group = (hl.nets.parse(name)(SHAPE, 10) for name in ("resnet-8", "resnet-8-group"))
    assert hl.count(batch) == hl.count(group)
    assert {name for name, _ in group.named_buffers()} == {"mean", "std"}
    images = torch.rand(4, *SHAPE)
    # Group norm takes each image by itself; batch norm, in training, does not.
    torch.testing.assert_close(group(images)[:1], group(images[:1]))
    assert not torch.allclose(batch(images)[:1], batch(images[:1]), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("resnet-32", (1, 32, 32), r"shape \(3, height, width\), got \(1, 32, 32\)"),
        ("resnet-32", (28, 28), r"shape \(3, height, width\), got \(28, 28\)"),
        ("resnet-30", SHAPE, "has 8, 14, 20, 26, 32, ... layers, not 30"),
        ("resnet-2", SHAPE, "layers, not 2"),
        ("resnet-8-layer", SHAPE, "no target network 'resnet-8-layer'"),
        ("resnet", SHAPE, "no target network 'resnet'"),
    ],
)
def test_what_there_is_not(name: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        hl.nets.parse(name)(shape, 10)
    with pytest.raises(hl.InputError, match="no norm 'layer'; there are batch and group"):
        hl.nets.ResNet(SHAPE, 8, 10, norm="layer")  # type: ignore[arg-type]


def learner(method: str, target: str, **changed: Any) -> Any:
    torch.manual_seed(0)
    config = hl.recipes.configure(method, "split-digits", target=target, chunk_size=4_000, **changed)
    make = hl.nets.parse(target)
    return config.learner_class(config, hl.methods.Setting(2, 2, ("cl1",), lambda n: make(SHAPE, n)))


def noise(task: int) -> Examples:
    """Two tasks of different brightness, so that their statistics differ."""
    generator = torch.Generator().manual_seed(task)
    images = torch.randint(100 * task, 100 * task + 50, (16, *SHAPE), generator=generator, dtype=torch.uint8)
    return Examples(images, torch.arange(16) % 2, torch.full((16,), task))


@pytest.mark.parametrize("method", ["hnet-iwr", "lstm-net-grow"])
def test_statistics_are_kept_with_the_tasks_weights(method: str) -> None:
    """A task's predictions are the same to the bit after another one was learnt, if its weights are."""
    made = learner(method, "resnet-8", **({} if method == "lstm-net-grow" else {"beta": 0.0, "lookahead": False}))
    trained = noise(0)
    for task in range(2):
        made.begin_task(task)
        optimizer = torch.optim.Adam(made.trainable(), lr=1e-3)
        for _ in range(3):
            optimizer.zero_grad()
            made.backward(noise(task)[:], optimizer)
            optimizer.step()
        made.end_task(task, noise(task))
        if task == 0:
            kept = {name: value.clone() for name, value in made.target_buffers(0).items()}
            logits = logits_of(made, 0, trained)
    for name, value in made.target_buffers(0).items():
        assert torch.equal(value, kept[name])
    assert int(kept["norm.num_batches_tracked"]) == int(made.target_buffers(1)["norm.num_batches_tracked"]) == 3
    assert not torch.equal(made.target_buffers(1)["norm.running_mean"], kept["norm.running_mean"])
    if method == "lstm-net-grow":
        assert torch.equal(logits_of(made, 0, trained), logits)
        # The other task's statistics with these weights would be another network.
        assert not torch.allclose(logits_of(made, 0, trained, buffers_of=1), logits, rtol=1e-3)


def logits_of(made: Any, task: int, examples: Examples, buffers_of: int | None = None) -> Tensor:
    buffers = made.target_buffers(task if buffers_of is None else buffers_of)
    made.eval()
    with torch.no_grad():
        out = torch.func.functional_call(made.target, made.hypernet(task) | buffers, (examples[:].images,))
    made.train()
    return out


@pytest.mark.parametrize("target", ["resnet-8", "resnet-8-group"])
def test_all_tasks_at_once_are_each_by_itself(target: str) -> None:
    """Task inference runs the tasks' networks as a batch: weights and statistics alike."""
    made = learner("hnet", target)
    made.learned = 2
    for task in range(2):  # something in the statistics
        made.learned = task
        made.loss(noise(task)[:])
    made.eval()
    with torch.no_grad():
        images = noise(0)[:].images
        state = made.hypernet.layout.unflatten(made.hypernet.flat([0, 1])) | made.target_buffers(torch.tensor([0, 1]))
        together = hl.inference.task_logits(made.target, state, images)
        for task in range(2):
            torch.testing.assert_close(together[task], logits_of(made, task, noise(0)), rtol=1e-4, atol=1e-5)
