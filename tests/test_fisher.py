"""Fisher information against a plain loop and a closed form; the quadratic penalty against the sum it stands for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from narrowing import narrow
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

import hyperlearn as hl
from hyperlearn.fisher import SampleLoss


def network(seed: int = 0) -> hl.nets.MLP:
    torch.manual_seed(seed)
    return hl.nets.MLP(6, [5, 4], 3)


def samples(n: int = 23, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 2, 3, generator=generator), torch.randint(3, (n,), generator=generator)


def plain_loop(
    net: nn.Module, images: torch.Tensor, labels: torch.Tensor, loss: SampleLoss = cross_entropy
) -> hl.Params:
    """One backward pass a sample, as one would write it down."""
    total = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    for image, label in zip(images, labels, strict=True):
        net.zero_grad()
        loss(net(image[None]), label[None]).backward()
        for name, p in net.named_parameters():
            if p.grad is not None:
                total[name] += p.grad**2 / len(images)
    return total


def assert_same(found: hl.Params, expected: hl.Params, **tolerance: Any) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **tolerance)


@pytest.mark.parametrize("form", ["auto", "per-sample", "outer"])
@pytest.mark.parametrize("batch_size", [None, 1, 5, 100])
def test_fisher_equals_a_plain_loop(batch_size: int | None, form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if batch_size is not None:
        monkeypatch.setattr("hyperlearn.fisher._at_once", lambda outer, device: batch_size)
    net, (images, labels) = network(), samples()
    params = dict(net.named_parameters())
    found = hl.fisher_information(net, params, images, labels, form=form)
    assert_same(found, plain_loop(net, images, labels), rtol=1e-5, atol=1e-8)
    assert not any(value.requires_grad for value in found.values())


def test_fisher_of_a_linear_softmax_model_has_a_closed_form() -> None:
    # The gradient by the weight is (softmax(z) - onehot(y)) x^T, so F = mean (p - y)^2 (x^2)^T.
    net, (images, labels) = nn.Linear(6, 3), samples()
    x = images.flatten(1)
    with torch.no_grad():
        apart = net(x).softmax(1) - nn.functional.one_hot(labels, 3)
    expected = {"weight": apart.square().T @ x.square() / len(x), "bias": apart.square().mean(0)}
    assert_same(hl.fisher_information(net, dict(net.named_parameters()), x, labels), expected, rtol=1e-5, atol=1e-8)


def test_fisher_is_not_the_square_of_the_mean_gradient() -> None:
    net, (images, labels) = network(), samples()
    params = dict(net.named_parameters())
    net.zero_grad()
    cross_entropy(net(images), labels).backward()
    for name, value in hl.fisher_information(net, params, images, labels).items():
        squared = narrow(torch.Tensor, params[name].grad).square()
        assert (value >= 0.999 * squared).all()  # Jensen
        assert value.sum() > 1.5 * squared.sum()


def test_fisher_takes_the_parameters_given_and_leaves_the_target_alone() -> None:
    net, other, (images, labels) = network(0), network(1), samples()
    before = {name: p.clone() for name, p in net.state_dict().items()}
    found = hl.fisher_information(net, dict(other.named_parameters()), images, labels)
    assert_same(found, plain_loop(other, images, labels), rtol=1e-5, atol=1e-8)
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], p) for name, p in net.state_dict().items())


@pytest.mark.parametrize("form", ["per-sample", "outer"])
def test_fisher_of_one_head_of_several(form: Any) -> None:
    net, (images, labels) = network(), samples()

    def head(logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits[:, 1:], label)

    labels = labels.clamp(max=1)
    found = hl.fisher_information(net, dict(net.named_parameters()), images, labels, loss=head, form=form)
    assert_same(found, plain_loop(net, images, labels, head), rtol=1e-5, atol=1e-8)
    assert found["layers.2.bias"][0] == 0  # the other head's


def test_fisher_of_a_convolutional_target_with_batch_norm_and_buffers_of_its_own() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    images, labels = torch.rand(9, 1, 4, 4), torch.arange(9) % 3
    params = dict(net.named_parameters())
    other = {"1.running_mean": torch.tensor([0.3, -0.2]), "1.running_var": torch.tensor([2.0, 0.5])}
    norm.eval()  # and the rest in training mode, which has to come back
    modes = [part.training for part in net.modules()]
    found = hl.fisher_information(net, params | other, images, labels)
    assert [part.training for part in net.modules()] == modes
    assert narrow(torch.Tensor, norm.running_mean).eq(0).all()
    net.load_state_dict(other, strict=False)
    assert_same(found, plain_loop(net.eval(), images, labels), rtol=1e-4, atol=1e-8)


def test_fisher_of_a_target_that_cannot_be_batched() -> None:
    """One sample after the other, for a recurrent layer."""

    class Rows(nn.GRU):
        def forward(self, images: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            states: torch.Tensor = super().forward(images)[1][0]
            return states

    torch.manual_seed(0)
    target, (images, labels) = Rows(3, 4, batch_first=True), samples(6)
    found = hl.fisher_information(target, dict(target.named_parameters()), images, labels)
    assert_same(found, plain_loop(target, images, labels))


def test_fisher_of_parameters_that_share_a_gradient_or_have_none() -> None:
    class Biases(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.unused = (nn.Parameter(torch.zeros(3)) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)[:, :3] + self.one + self.two

    net, (images, labels) = Biases(), samples()
    found = hl.fisher_information(net, dict(net.named_parameters()), images, labels)
    assert_same(found, plain_loop(net, images, labels), rtol=1e-5, atol=1e-8)
    assert found["one"].min() > 0
    assert found["unused"].eq(0).all()


def test_fisher_of_generated_parameters_on_bytes() -> None:
    target = hl.nets.MLP(6, [5, 4], 3)
    params = hl.ChunkedHypernet(target, tasks=2, chunk_size=20, task_dim=3, chunk_dim=3)(0)
    images, labels = samples()
    as_bytes = (images * 255).to(torch.uint8)
    found = hl.fisher_information(target, params, as_bytes, labels)
    assert_same(found, hl.fisher_information(target, params, as_bytes.float() / 255, labels))


def test_fisher_refuses_what_does_not_fit() -> None:
    net, (images, labels) = network(), samples()
    params = dict(net.named_parameters())
    with pytest.raises(hl.InputError, match=r"missing \['layers.0.bias'\]"):
        hl.fisher_information(net, {n: p for n, p in params.items() if n != "layers.0.bias"}, images, labels)
    with pytest.raises(hl.InputError, match=r"layers.0.weight has shape \(6, 5\), expected \(5, 6\)"):
        hl.fisher_information(net, params | {"layers.0.weight": torch.zeros(6, 5)}, images, labels)
    with pytest.raises(hl.InputError, match="of several"):
        hl.fisher_information(net, {name: torch.stack([p, p]) for name, p in params.items()}, images, labels)
    with pytest.raises(hl.InputError, match="labels from 0 to 3, but the target has logits 0 to 2"):
        hl.fisher_information(net, params, images, labels + labels.eq(2))
    with pytest.raises(hl.InputError, match="as many labels as images"):
        hl.fisher_information(net, params, images, labels[1:])
    with pytest.raises(hl.InputError, match="at least one"):
        hl.fisher_information(net, params, images[:0], labels[:0])
    with pytest.raises(hl.InputError, match="NaN or infinite"):
        hl.fisher_information(net, params, images * float("nan"), labels)
    with pytest.raises(hl.InputError, match="no form 'fast'"):
        hl.fisher_information(net, params, images, labels, form="fast")  # type: ignore[arg-type]
    with pytest.raises(hl.InputError, match="the outer form needs"):
        hl.fisher_information(nn.Linear(6, 3), dict(nn.Linear(6, 3).named_parameters()), images, labels, form="outer")


def random_terms(penalty: hl.QuadraticPenalty, tasks: int, seed: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights over 12 orders of magnitude, some 0, around anchors that drift as a network's parameters do."""
    generator = torch.Generator().manual_seed(seed)
    anchor = penalty.flat()
    terms = []
    for _ in range(tasks):
        n = len(anchor)
        weight = 10 ** (-12 * torch.rand(n, generator=generator)) * torch.rand(n, generator=generator).gt(0.2)
        anchor = anchor + 0.01 * torch.randn(n, generator=generator)
        terms.append((weight, anchor))
    return terms


@pytest.mark.parametrize("tasks", [1, 2, 5, 50])
def test_quadratic_penalty_equals_the_sum_over_tasks_in_double_precision(tasks: int) -> None:
    net = hl.nets.MLP(64, [100, 100], 10)
    penalty = hl.QuadraticPenalty(net)
    terms = random_terms(penalty, tasks)
    for weight, anchor in terms:
        penalty.add(weight, anchor)
    with torch.no_grad():  # near the last anchor, where a penalty is when the next task has begun
        nn.utils.vector_to_parameters(terms[-1][1] + 1e-3 * torch.randn(len(terms[0][1])), net.parameters())
    theta = penalty.flat().double()
    scale = 1e9 / 2
    expected = scale * sum((w.double() * (theta - a.double()).square()).sum() for w, a in terms)
    gradient = 2 * scale * torch.stack([w.double() * (theta - a.double()) for w, a in terms]).sum(0)
    value = scale * penalty()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0.0)
    value.backward()
    found = torch.cat([narrow(torch.Tensor, p.grad).flatten() for p in net.parameters()]).double()
    size = 2 * scale * sum(w.double() * (theta - a.double()).abs() for w, a in terms)  # what may cancel between tasks
    # The center is a number in single precision: each task that was added may have put it off by half an ulp, and the
    # weights, rounded too, by another.
    ulps = 2 * scale * sum(w.double() for w, _ in terms) * theta.abs() * torch.finfo(torch.float32).eps
    assert ((found - gradient).abs() <= (1 + tasks) * ulps + 1e-6 * size).all()
    torch.testing.assert_close(found, gradient, rtol=1e-6, atol=1e-6 * gradient.abs().max().item())


def test_quadratic_penalty_adds_the_gradient_of_its_value() -> None:
    net, (images, labels) = network(), samples()
    net.layers[1].bias.requires_grad_(False)
    penalty = hl.QuadraticPenalty(net)
    for weight, anchor in random_terms(penalty, 3):
        penalty.add(weight, anchor)
    (cross_entropy(net(images), labels) + 10.0 * penalty()).backward()
    expected = {name: p.grad for name, p in net.named_parameters()}
    net.zero_grad()
    cross_entropy(net(images), labels).backward()
    task = [(p.grad, p.grad.clone()) for p in net.parameters() if p.grad is not None]
    penalty.add_gradient(10.0)
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, expected[name])
    assert all(torch.equal(tensor, copy) for tensor, copy in task)  # synaptic intelligence needs them later


def test_quadratic_penalty_of_one_term_is_exact() -> None:
    net = network()
    penalty = hl.QuadraticPenalty(net)
    assert penalty().item() == 0
    anchor = penalty.flat() + 1 / 3
    penalty.add(torch.full_like(anchor, 0.1), anchor)
    assert torch.equal(penalty.center, anchor)
    penalty.replace(torch.ones_like(anchor), penalty.flat())
    assert penalty().item() == 0
    with pytest.raises(hl.InputError, match="weight: shape"):
        penalty.add(torch.ones(2, len(anchor)), anchor)


def hooked(net: hl.nets.MLP) -> None:
    net.register_forward_pre_hook(lambda module, args: ((args[0] - 1) * 3,))


def hooked_inside(net: hl.nets.MLP) -> None:
    net.layers[1].register_forward_hook(lambda module, args, out: out.clamp(max=0.1))


def backward_hooked(net: hl.nets.MLP) -> None:
    net.layers[0].register_full_backward_hook(lambda module, given, returned: given)


def pruned(net: hl.nets.MLP) -> None:
    prune.random_unstructured(net.layers[0], "weight", 0.5)


def parametrized(net: hl.nets.MLP) -> None:
    nn.utils.parametrizations.weight_norm(net.layers[0])


def with_another_layer(net: hl.nets.MLP) -> None:
    net.layers[1] = nn.Sequential(nn.Linear(5, 4), nn.Tanh())


def with_another_forward(net: hl.nets.MLP) -> None:
    forward = net.forward
    net.forward = lambda images: 2 * forward(images)  # type: ignore[method-assign]


CHANGES = [hooked, hooked_inside, backward_hooked, pruned, parametrized, with_another_layer, with_another_forward]


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("change", CHANGES)
def test_an_mlp_that_was_changed_has_the_fisher_of_what_it_computes(change: Callable[[hl.nets.MLP], None]) -> None:
    torch.manual_seed(0)
    net, (images, labels) = hl.nets.MLP(6, [5, 4], 3), samples()
    change(net)
    found = hl.fisher_information(net, dict(net.named_parameters()), images, labels)
    assert_same(found, plain_loop(net, images, labels), rtol=1e-4, atol=1e-8)
    with pytest.raises(hl.InputError, match="the outer form needs"):
        hl.fisher_information(net, dict(net.named_parameters()), images, labels, form="outer")
