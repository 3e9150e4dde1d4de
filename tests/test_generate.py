"""What a hypernetwork generates: all of its target, some of it, on top of what is there, or adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import hyperlearn as hl
from hyperlearn.adapters import lora
from hyperlearn.inference import task_logits
from hyperlearn.methods import Parts
from hyperlearn.replicas import train_replicas
from hyperlearn.swap import check_target
from hyperlearn.training import Run

BENCHMARK = hl.benchmarks.first(hl.benchmarks.limited(hl.benchmarks.split_digits(), 20), 2)


class Net(nn.Module):
    """A body and a head, and a parameter that needs no gradient."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1, 64), requires_grad=False)
        self.body = nn.Sequential(nn.Linear(64, 9), nn.Tanh(), nn.Linear(9, 7), nn.Tanh())
        self.head = nn.Linear(7, outputs)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(images.flatten(1) * self.scale))
        return logits


def network(outputs: int = 2, seed: int = 0) -> Net:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Net(outputs)


def chunked(target: nn.Module, **options: Any) -> hl.Hypernetwork:
    sizes: dict[str, Any] = {"chunk_size": 12, "task_dim": 5, "chunk_dim": 4, "hidden": [6]}
    return hl.ChunkedHypernet(target, 3, **sizes | options)


def linear(target: nn.Module, **options: Any) -> hl.Hypernetwork:
    return hl.ChunkedHypernet(target, 3, **{"chunk_size": 12, "task_dim": 9, "chunk_dim": 9} | options)


def lstm(target: nn.Module, **options: Any) -> hl.Hypernetwork:
    return hl.LSTMHypernet(target, 3, **{"chunk_size": 12, "task_dim": 5, "chunk_dim": 4, "hidden_size": 6} | options)


def growing(target: nn.Module, further: int = 2, **options: Any) -> hl.Hypernetwork:
    sizes = {"chunk_size": 12, "task_dim": 5, "chunk_dim": 4, "hidden_size": 6}
    made = hl.GrowingLSTMHypernet(target, **sizes | options)
    for _ in range(further):
        made.add_task()
    return made


EMBEDDING = {"chunked": chunked, "linear": linear, "lstm": lstm}
HYPERNETS = EMBEDDING | {"growing": growing}
Make = Callable[..., Any]
every_hypernet = pytest.mark.parametrize("make", HYPERNETS.values(), ids=HYPERNETS)
every_embedding = pytest.mark.parametrize("make", EMBEDDING.values(), ids=EMBEDDING)
every_base = pytest.mark.parametrize("base", [None, "target"])

GENERATE: dict[str, tuple[Any, list[str]]] = {
    "trainable": (
        "trainable",
        ["body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias", "head.weight", "head.bias"],
    ),
    "head": (["head.*"], ["head.weight", "head.bias"]),
    "biases and a frozen one": (["*.bias", "scale"], ["scale", "body.0.bias", "body.2.bias", "head.bias"]),
}
every_part = pytest.mark.parametrize(("generate", "names"), GENERATE.values(), ids=GENERATE)


@torch.no_grad()
def move(hypernet: nn.Module, by: float = 0.1) -> None:
    for p in hypernet.parameters():
        p.add_(by * torch.randn_like(p))


@every_hypernet
@every_base
@every_part
def test_generates_the_named_parameters_and_keeps_the_others(
    make: Make, base: Any, generate: Any, names: list[str]
) -> None:
    target = network()
    hypernet = make(target, generate=generate, base=base)
    move(hypernet)
    own = dict(target.named_parameters())
    assert list(hypernet.layout.names) == names
    assert hypernet.layout.numel == sum(own[name].numel() for name in names)
    for params in (hypernet(1), {name: p[0] for name, p in hypernet.params([1, 2]).items()}):
        assert {name: p.shape for name, p in params.items()} == {name: p.shape for name, p in own.items()}
        assert list(params) == list(own)
        for name, p in params.items():
            assert torch.equal(p, own[name]) == (name not in names), name
    assert {name: p.numel() for name, p in hypernet.kept().items()} == {
        name: p.numel() for name, p in own.items() if name not in names
    }


@every_hypernet
@every_part
def test_on_a_base_it_starts_as_the_target_and_adds_to_it(make: Make, generate: Any, names: list[str]) -> None:
    target = network()
    torch.manual_seed(1)
    on_base, alone = make(target, generate=generate, base="target"), make(target, generate=generate)
    own = dict(target.named_parameters())
    for task in range(3):
        assert all(torch.equal(p, own[name]) for name, p in on_base(task).items())
    move(alone)
    on_base.load_state_dict(alone.state_dict() | {"base_values": on_base.base_values})
    there = torch.cat([own[name].flatten() for name in names])
    torch.testing.assert_close(on_base.flat([0, 2]), there + alone.flat([0, 2]))


@every_hypernet
@every_base
@every_part
def test_its_state_has_all_that_it_writes_from(make: Make, base: Any, generate: Any, names: list[str]) -> None:
    """A hypernetwork of another network, with another base and other kept values, takes over all of them."""
    first, second = (make(network(seed=seed), generate=generate, base=base) for seed in (0, 1))
    move(first)
    assert not torch.equal(first(1)["head.bias"], second(1)["head.bias"])
    second.load_state_dict(first.state_dict())
    for task in range(3):
        assert all(map(torch.equal, first(task).values(), second(task).values()))


@every_hypernet
@every_part
def test_gradients_reach_every_parameter_through_a_base(make: Make, generate: Any, names: list[str]) -> None:
    hypernet = make(network(), generate=generate, base="target").requires_grad_()
    move(hypernet)
    hypernet.flat([0, 1, 2]).square().sum().backward()
    assert all(bool(p.grad.any()) for p in hypernet.parameters())


@every_embedding
@every_part
def test_the_gram_form_is_the_direct_form_with_a_base_and_without(make: Make, generate: Any, names: list[str]) -> None:
    penalties: dict[str, list[Tensor]] = {"on base": [], "alone": []}
    for base, found in zip(("target", None), penalties.values(), strict=True):
        hypernet = make(network(), generate=generate, base=base)
        torch.manual_seed(0)
        with torch.no_grad():  # the same weights, whatever it is added to
            for p in hypernet.parameters():
                p.copy_(0.3 * torch.randn_like(p))
        three = [hl.OutputRegularizer(hypernet, 0.1, form) for form in ("gram", "direct")]
        weighted = hl.ImportanceWeightedRegularizer(hypernet, 0.1, exact=True)
        for task in range(2):
            for penalty in three:
                penalty.remember(task)
            weighted.remember(task, torch.ones(hypernet.layout.numel))
            move(hypernet)
        found += [penalty() for penalty in (*three, weighted)]
        weights = [p for p in hypernet.parameters() if p is not hypernet.task_embeddings]
        gradients = [torch.autograd.grad(value, weights) for value in found]
        for other in gradients[1:]:
            for got, expected in zip(gradients[0], other, strict=True):
                torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)
    on_base, alone = penalties.values()
    assert min(on_base) > 0
    for value in on_base[1:] + alone:
        torch.testing.assert_close(value, on_base[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", ["net", "mlp"])
@pytest.mark.parametrize("form", ["auto", "per-sample"])
def test_fisher_of_some_parameters_is_that_of_all_restricted(kind: str, form: Any) -> None:
    torch.manual_seed(0)
    target = network() if kind == "net" else hl.nets.MLP(64, [9, 7], 2)
    patterns = ["head.*", "body.0.bias"] if kind == "net" else ["layers.2.*", "layers.0.bias"]
    images, labels = torch.rand(11, 64), torch.randint(2, (11,))
    params = dict(target.named_parameters())
    whole = hl.fisher_information(target, params, images, labels, form=form)
    some = hl.fisher_information(target, params, images, labels, form=form, names=patterns)
    assert set(some) == set(hl.ParamLayout.of(target, patterns).names) < set(whole)
    for name, value in some.items():
        torch.testing.assert_close(value, whole[name])
    # What has no importance may be left out; the target's own values are taken then.
    named = {name: params[name] for name in some}
    again = hl.fisher_information(target, named, images, labels, form=form, names=patterns)
    assert all(torch.equal(again[name], value) for name, value in some.items())


def test_fisher_of_a_frozen_parameter_is_that_of_one_that_is_not() -> None:
    frozen, free = network(), network()
    frozen.requires_grad_(False)
    images, labels = torch.rand(5, 64), torch.randint(2, (5,))
    names = ["head.*"]
    found, expected = (
        hl.fisher_information(net, dict(net.named_parameters()), images, labels, names=names) for net in (frozen, free)
    )
    assert expected["head.weight"].any()
    assert torch.equal(found["head.weight"], expected["head.weight"])


@every_hypernet
@every_base
@pytest.mark.parametrize("hidden", [[40], [100, 30]])
def test_without_a_chunk_size_the_paper_s_rule_chooses(make: Make, base: Any, hidden: list[int]) -> None:
    """One value more in a chunk, or a few, and more would be trained than is generated."""
    target, alone = hl.nets.MLP(64, hidden, 10), {"further": 0} if make is growing else {}  # a growing one at a time
    hypernet = make(target, chunk_size=None, base=base, **alone)
    chosen = len(hypernet.heads[0] if make is growing else hypernet.head.weight)
    assert hl.compression_ratio(hypernet, target) <= 1
    assert hypernet.flat(0).shape == (1, hl.count(target))
    for larger in [*range(chosen + 1, chosen + 20), 2 * chosen, hl.count(target)]:
        assert hl.count(make(target, chunk_size=larger, **alone)) > hl.count(target)


def test_a_rule_that_no_chunk_size_keeps_is_said() -> None:
    for kind in (hl.LSTMHypernet, hl.ChunkedHypernet):
        with pytest.raises(hl.InputError, match="no chunk size keeps the hypernetwork as small as the 671 parameters"):
            kind(network(), 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"generate": ["head.*", "haed.*"]}, r"no parameter of Net matches 'haed.\*'; there are scale, body.0.weight"),
        ({"generate": "head.*"}, r"a list of patterns such as \[\"head.\*\"\] is needed, not 'head.\*'"),
        ({"generate": []}, r"a list of patterns such as \[\"head.\*\"\] is needed, not \[\]"),
        ({"base": "zero"}, "no base 'zero'; there are 'target' and None"),
        ({"generate": ["head.*"], "chunk_size": 17}, "from 1 to the 16 generated parameters, got 17"),
    ],
)
@every_hypernet
def test_what_cannot_be_generated_is_refused(make: Make, options: dict[str, Any], said: str) -> None:
    with pytest.raises(hl.InputError, match=said):
        make(network(), **options)


def test_a_hypernetwork_says_what_it_generates() -> None:
    hypernet = chunked(network(), generate=["head.*"], base="target")
    assert "tasks=3, generates 16 of 735 parameters, on the target's own values" in repr(hypernet)
    assert "tasks=3, generates 671 of 735 parameters\n" in repr(lstm(network()))


# Learners

SMALL: dict[str, Any] = {"iterations": 6, "batch_size": 16, "chunk_size": 12, "task_dim": 4, "chunk_dim": 4}
LEARNERS = ["hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow"]


def hypernet_of(run: Run) -> Any:
    return run.learner.get_submodule("hypernet")


def learnt(method: str, target: Any, folder: Path | None = None, **changed: Any) -> Run:
    config = hl.recipes.configure(method, BENCHMARK.name, **SMALL | changed)
    run = Run(hl.RunSpec(config, BENCHMARK, device="cpu", parts=Parts(target=target)))
    with run.random.current():
        run.go(folder)
    return run


@pytest.mark.parametrize("method", LEARNERS)
@every_base
@every_part
def test_what_is_not_generated_is_the_same_to_the_bit_after_training(
    method: str, base: Any, generate: Any, names: list[str]
) -> None:
    target = network()
    before = {name: p.clone() for name, p in target.named_parameters()}
    run = learnt(method, target, generate=generate, base=base)
    hypernet: Any = run.learner.hypernet
    assert list(hypernet.layout.names) == names
    for name, value in before.items():
        if name not in names:
            assert torch.equal(hypernet(0)[name], value), name
        else:
            assert not torch.equal(hypernet(0)[name], value), name
    assert all(torch.equal(p, before[name]) for name, p in target.named_parameters())
    if base:
        assert torch.equal(hypernet.base_values, torch.cat([before[name].flatten() for name in names]))
    result = run.result("cl1")
    assert result.config.get("generate") == (None if generate == "trainable" else tuple(generate))
    assert result.config.get("base") == base
    assert result.parameters.target == 735
    generated = sum(before[name].numel() for name in names)
    assert result.parameters.compression_ratio == hl.count(hypernet) / generated
    assert run.learner.sizes("cl1").frozen == 735 - generated


class Made:
    """Makes networks of one seed's weights."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, outputs: int) -> Net:
        return network(outputs, self.seed)


@pytest.mark.parametrize("method", ["hnet-iwr", "lstm-net", "lstm-net-grow"])
@every_part
def test_a_run_on_a_base_goes_on_from_a_checkpoint(
    method: str, generate: Any, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that stops within its second task ends as if it had not."""
    options = {"generate": generate, "base": "target"}
    whole, save = learnt(method, Made(seed=0), **options), Run.save

    class Stop(Exception):
        pass

    def stop(run: Run, file: Path) -> None:
        save(run, file)
        if run.task == 1 and run.step:
            raise Stop

    monkeypatch.setattr(hl.checkpoints, "EVERY", 3)
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", stop)
        with pytest.raises(Stop):
            learnt(method, Made(seed=0), tmp_path, **options)
    again = learnt(method, Made(seed=1), tmp_path, **options)  # all that counts is in the checkpoint
    assert again.accuracy == whole.accuracy
    for got, expected in zip(hypernet_of(again)(0).values(), hypernet_of(whole)(0).values(), strict=True):
        assert torch.equal(got, expected)


def test_a_whole_network_without_a_base_is_recorded_as_ever() -> None:
    config = hl.recipes.configure("hnet", "split-digits")
    assert {"generate", "base"}.isdisjoint(config.record())
    assert hl.recipes.configure("hnet", "split-digits", generate="trainable", base="none") == config
    by_text = hl.recipes.configure("hnet", "split-digits", generate="head.*,*.bias", base="target", chunk_size="none")
    assert by_text.record()["generate"] == ("head.*", "*.bias")
    assert by_text.record()["base"] == "target"
    assert "chunk_size" not in by_text.record()
    with pytest.raises(hl.InputError, match="base: input should be 'target'"):
        hl.recipes.configure("hnet", "split-digits", base="zero")
    result = hl.run("hnet", BENCHMARK, iterations=1, target=network, generate=["head.*"], base="target", chunk_size=9)
    assert hl.recipes.deviations(result)["generate"] == ["head.*"]


def test_patterns_are_of_the_network_s_own_names_in_any_precision() -> None:
    run = learnt("hnet", network, generate=["head.*"], precision="bfloat16")
    assert hypernet_of(run).layout.names == ("net.head.weight", "net.head.bias")


def test_a_decoder_may_be_generated_in_part_too() -> None:
    run = learnt("hnet-iwr-r", network, generate=["layers.2.*"], base="target")
    hypernet = hypernet_of(run)
    assert hypernet.layout.names == ("layers.2.weight", "layers.2.bias")
    kept = dict(run.learner.get_submodule("target").named_parameters())
    assert all(torch.equal(p, kept[name]) for name, p in hypernet.kept().items())
    frozen = 64  # in the classifier, which is the network that was given
    assert run.learner.sizes("cl1").frozen == frozen + sum(p.numel() for p in hypernet.kept().values())


@pytest.mark.parametrize("changed", [{"base": "target"}, {"generate": ["head.*"]}])
def test_several_seeds_at_once_are_refused(changed: dict[str, Any]) -> None:
    config = hl.recipes.configure("hnet", BENCHMARK.name, **SMALL | changed)
    with pytest.raises(hl.InputError, match="its target has buffers, as batch norm has, or values"):
        train_replicas(hl.RunSpec(config, BENCHMARK, device="cpu", parts=Parts(target=network)), [0, 1])


def test_a_frozen_network_is_a_target_where_patterns_name_a_part() -> None:
    target = network().requires_grad_(False)
    run = learnt("hnet", target, generate=["head.*"])
    assert hypernet_of(run).layout.names == ("head.weight", "head.bias")
    with pytest.raises(hl.InputError, match="all parameters of Net are frozen"):
        learnt("hnet", target)


class Listed(Net):
    """Reads its head's bias from a list."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__(outputs)
        self.listed = [self.head.bias]

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + self.listed[0]


def test_a_part_that_is_read_from_elsewhere_is_refused_where_it_is_generated() -> None:
    images = torch.rand(4, 64)
    for target in (Listed(), Listed().requires_grad_(False)):
        before = [p.requires_grad for p in target.parameters()]
        with pytest.raises(hl.InputError, match=r"the target reads head.bias from elsewhere"):
            check_target(target, images, ["head.*"])
        check_target(target, images, ["body.*"])
        assert [p.requires_grad for p in target.parameters()] == before


def test_what_tasks_share_is_computed_once() -> None:
    """With the head alone generated, the body sees the images and no dimension of tasks."""
    target, rows = network().eval(), []
    batched = torch._C._functorch.is_batchedtensor
    target.body.register_forward_hook(lambda module, inputs, out: rows.append(batched(out)))
    hypernet = chunked(target, generate=["head.*"])
    images, tasks = torch.rand(5, 64), [0, 2]
    shared = task_logits(target, hypernet.layout.unflatten(hypernet.flat(tasks)), images, hypernet.kept())
    stacked = task_logits(target, hypernet.params(tasks), images)
    assert rows == [False, True]
    torch.testing.assert_close(shared, stacked)


# Adapters


def convnet(outputs: int = 2) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8)), nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(),
        nn.Linear(6, outputs),
    )  # fmt: skip


class Attention(nn.Module):
    """Rows of an image attend to each other."""

    def __init__(self, outputs: int = 2, **options: Any) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True, **options), nn.Linear(8, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = images.unflatten(1, (8, 8)) if images.dim() == 2 else images
        out: Tensor = self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))
        return out


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": network,
    "convolutions": convnet,
    "attention": Attention,
    "attention of three projections": lambda: Attention(kdim=8, vdim=8),
    "one layer": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 2)),
}


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_an_adapted_network_starts_as_it_was_and_only_adapters_are_trained(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    net, images = make(), torch.rand(3, 8, 8)
    before = {name: p.clone() for name, p in net.state_dict().items()}
    adapted = lora(net, rank=2)
    torch.testing.assert_close(adapted(images), net(images))
    free = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert all(name.endswith((".A", ".B")) for name in free)
    assert hl.count(adapted) - hl.count(adapted, trainable=True) == hl.count(net)
    adapted(images).square().sum().backward()
    assert {name for name, p in adapted.named_parameters() if p.grad is not None} == set(free)
    assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())
    again = lora(make(), rank=2)
    move(adapted)
    again.load_state_dict(adapted.state_dict())
    torch.testing.assert_close(again(images), adapted(images))
    assert not torch.allclose(adapted(images), net(images))


def test_the_update_is_the_product_of_its_factors() -> None:
    torch.manual_seed(0)
    net = convnet()
    adapted = lora(net, rank=2, scale=0.5)
    move(adapted)
    own = dict(adapted.named_parameters())
    for place, shape in {"1": (4, 9), "3": (6, 18), "5": (2, 6)}.items():
        a, b = own[f"{place}.parametrizations.weight.0.A"], own[f"{place}.parametrizations.weight.0.B"]
        original = own[f"{place}.parametrizations.weight.original"]
        assert (b.shape, a.shape) == ((shape[0], 2), (2, shape[1]))
        made = original + 0.5 * torch.einsum("dr,rk->dk", b, a).view_as(original)
        torch.testing.assert_close(adapted.get_submodule(place).weight, made)
    # A rank above that of the matrix is the matrix's.
    assert lora(net, rank=100).get_parameter("5.parametrizations.weight.0.A").shape == (2, 6)


def test_layers_are_chosen_by_name() -> None:
    adapted = lora(network(), rank=1, layers=["body.*"])
    trained = [name for name, p in adapted.named_parameters() if p.requires_grad]
    assert {name.split(".parametrizations")[0] for name in trained} == {"body.0", "body.2"}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"layers": ["haed"]}, "no linear or convolutional layer of Net matches 'haed'; there are body.0, body"),
        ({"layers": "head"}, "a list of patterns such as"),
        ({"rank": 0}, "has at least rank 1, got 0"),
    ]
    for wrong, said in cases:
        with pytest.raises(hl.InputError, match=said):
            lora(network(), **{"rank": 1} | wrong)
    with pytest.raises(hl.InputError, match=r"no linear or convolutional layer of Embedding matches '\*'"):
        lora(nn.Embedding(3, 2), rank=1)
    with pytest.raises(hl.InputError, match="has no shape yet"):
        lora(nn.Sequential(nn.LazyLinear(2)), rank=1)


def test_two_layers_of_one_weight_keep_it_in_common() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    adapted = lora(net, rank=1)
    first, second = (adapted.get_parameter(f"{place}.parametrizations.weight.original") for place in (0, 1))
    assert first is second
    images = torch.rand(2, 5)
    torch.testing.assert_close(adapted(images), net(images))
    hypernet = linear(adapted, base="target")
    torch.testing.assert_close(torch.func.functional_call(adapted, hypernet(0), (images,)), net(images))


@pytest.mark.parametrize("make", NETS.values(), ids=NETS)
def test_tasks_and_samples_of_an_adapted_network_run_as_a_batch(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    adapted = lora(make(), rank=2).eval()
    hypernet = linear(adapted, base="target")
    move(hypernet)
    images, labels = torch.rand(4, 8, 8), torch.randint(2, (4,))
    tasks = [0, 2]
    with torch.no_grad():
        found = task_logits(adapted, hypernet.layout.unflatten(hypernet.flat(tasks)), images, hypernet.kept())
        one_by_one = [torch.func.functional_call(adapted, hypernet(task), (images,)) for task in tasks]
    torch.testing.assert_close(found, torch.stack(one_by_one), rtol=1e-4, atol=1e-5)
    params = {name: p.detach() for name, p in hypernet(1).items()}
    fisher = hl.fisher_information(adapted, params, images, labels)
    expected = {name: torch.zeros_like(params[name]) for name in hypernet.layout.names}
    for image, label in zip(images, labels, strict=True):
        leaves = {name: params[name].clone().requires_grad_() for name in expected}
        loss = cross_entropy(torch.func.functional_call(adapted, params | leaves, (image[None],)), label[None])
        for name, g in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
            expected[name] += g.square() / len(images)
    assert list(fisher) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(fisher[name], value, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("method", [*LEARNERS, "finetune", "ewc"])
def test_adapters_are_learnt_task_by_task_over_a_backbone_that_never_changes(method: str) -> None:
    def adapted(outputs: int) -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return lora(network(outputs), rank=2)

    on_base: dict[str, Any] = {"base": "target"} if method in LEARNERS else {}
    sizes = SMALL if method in LEARNERS else {"iterations": 6}
    config = hl.recipes.configure(method, BENCHMARK.name, **sizes | on_base)
    run = Run(hl.RunSpec(config, BENCHMARK, device="cpu", parts=Parts(target=adapted)))
    with run.random.current():
        run.go(None)
    learner: Any = run.learner
    before = dict(adapted(learner.classifier.outputs if method not in LEARNERS else 2).named_parameters())
    after = learner.hypernet(1) if method in LEARNERS else dict(learner.classifier.net.named_parameters())
    assert list(after) == list(before)
    for name, p in after.items():
        assert torch.equal(p, before[name]) == (not name.endswith((".A", ".B"))), name
    sizes_ = learner.sizes(run.scenarios[0])
    assert sizes_.frozen == sum(p.numel() for p in before.values() if not p.requires_grad)
    assert sizes_.target == sum(p.numel() for p in before.values())
