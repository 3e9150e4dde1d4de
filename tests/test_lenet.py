"""The convolutional target of the study on Split MNIST."""

import pytest
import torch

import hyperlearn as hl


def test_sizes_are_those_of_the_study() -> None:
    net = hl.nets.parse("lenet")((28, 28), 2)
    assert hl.count(net) == 427_072
    assert net(torch.rand(3, 28, 28)).shape == (3, 2)


def test_colours_are_taken_as_they_are() -> None:
    assert hl.nets.LeNet((3, 32, 32), 10)(torch.rand(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize("shape", [(8, 8), (784,), (1, 12, 28)])
def test_images_that_are_too_small_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(hl.InputError, match="at least 16 x 16 pixels"):
        hl.nets.LeNet(shape, 2)


def test_a_hypernetwork_learns_to_write_it() -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(64, 16, 16), torch.arange(64) % 2
    images[labels == 1, :8] += 1
    net = hl.nets.LeNet((16, 16), 2)
    hypernet = hl.ChunkedHypernet(net, 1, chunk_size=5_000, task_dim=8, chunk_dim=8, hidden=[10])
    optimizer = torch.optim.Adam(hypernet.parameters(), lr=1e-3)
    for _ in range(20):
        logits = torch.func.functional_call(net, hypernet(0), (images,))
        loss = torch.nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (logits.argmax(1) == labels).float().mean() > 0.9
