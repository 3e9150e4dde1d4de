"""Densities as targets, and task and class by them: the equations, the learner, what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, one_hot

import hyperlearn as hl
from hyperlearn.inference import infer_by_density
from hyperlearn.methods import METHODS, GateLearner, LSTMNetGateConfig
from hyperlearn.nets import (
    MLP,
    BesideAutoencoder,
    ConditionalAutoencoder,
    Density,
    WithReconstruction,
    half_masks,
    whole_views,
)

DIGITS = hl.benchmarks.split_digits()
GATES = ["scratch-gate", "hnet-gate", "lstm-net-gate"]
SMALL: dict[str, Any] = {"target": "autoencoder-20-5", "iterations": 6, "batch_size": 16, "chunk_size": 300}


def autoencoder(shape: tuple[int, ...] = (8, 8), **options: Any) -> ConditionalAutoencoder:
    torch.manual_seed(0)
    return ConditionalAutoencoder(shape, 9, 4, 3, **options)


def drawn_by_hand(net: ConditionalAutoencoder, view: Tensor, label: int) -> Tensor:
    """The equation, for one class: [B, P]."""
    z = net.code(net.encode(view).relu())
    chosen = one_hot(torch.full((len(view),), label), 3).to(z)
    return net.decode(torch.cat([z, chosen], 1)).relu() @ net.encode.weight + net.bias


# Targets


def test_logits_are_half_the_squared_errors() -> None:
    net, images = autoencoder(copies=0).eval(), torch.rand(5, 8, 8)
    for label in range(3):
        drawn = drawn_by_hand(net, images.flatten(1), label)
        expected = -0.5 * (drawn - images.flatten(1)).square().sum(1)
        torch.testing.assert_close(net(images)[:, label], expected)
        torch.testing.assert_close(net.reconstruct(images)[:, label].flatten(1), drawn)


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8)])
def test_errors_of_pooled_images_are_those_of_pixels_less_a_constant(shape: tuple[int, ...]) -> None:
    """So that they can be compared between networks as if all had drawn the pixels."""
    nets = [autoencoder(shape, pooled=True, copies=0).eval() for _ in range(2)]
    nn.init.normal_(nets[1].bias)
    images = torch.rand(5, *shape)
    by_pixels = [-0.5 * (net.reconstruct(images) - images[:, None]).square().flatten(2).sum(2) for net in nets]
    constant = by_pixels[0] - nets[0](images)
    torch.testing.assert_close(by_pixels[1] - nets[1](images), constant)
    torch.testing.assert_close(constant, constant[:, :1].expand_as(constant))
    assert torch.equal(nets[0].view(images), 2 * avg_pool2d(images, 2).flatten(1))


@pytest.mark.parametrize("shape", [(9, 8), (7,), (3, 8, 5)])
def test_images_that_cannot_be_pooled_stay_as_they_are(shape: tuple[int, ...]) -> None:
    net = autoencoder(shape, pooled=True)
    assert not net.pooled
    assert net(torch.rand(2, *shape)).shape == (2, 3)
    assert net.reconstruct(torch.rand(2, *shape)).shape == (2, 3, *shape)


def test_copies_are_halves_and_their_complements() -> None:
    net, images = autoencoder(copies=2).eval(), torch.rand(5, 8, 8)
    with whole_views(net):
        whole = net(images)
    assert net.copies == 2
    view, kept = images.flatten(1), half_masks(2, 64)
    assert 0.3 < kept.mean() < 0.7
    parts = [
        torch.stack([-0.5 * (drawn_by_hand(net, view * mask, y) - view).square().sum(1) for y in range(3)], 1)
        for mask in (*kept, *(1 - kept))
    ]
    torch.testing.assert_close(net(images), (whole + torch.stack(parts).mean(0)) / 2)


def test_pixels_are_left_out_in_training_alone() -> None:
    images = torch.rand(5, 8, 8)
    for drop, alike in ((0.0, True), (0.7, False)):
        net = autoencoder(drop=drop, copies=0)
        assert torch.equal(net.train()(images), net.eval()(images)) == alike
    net = autoencoder(drop=1.0)
    nn.init.zeros_(net.encode.bias)
    seen: list[Tensor] = []
    net.encode.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net(torch.ones(4000, 8, 8))
    share = 1 - seen[0].mean(1)  # of U(0, 1)
    assert abs(share.mean() - 0.5) < 0.02
    assert abs(share.std() - 12**-0.5) < 0.03


def test_beside_a_classifier_the_label_is_the_classifiers() -> None:
    torch.manual_seed(0)
    net = BesideAutoencoder(MLP(64, [9], 3), (8, 8), [7, 2], view=20)
    images = torch.rand(5, 8, 8)
    logits = net(images)
    torch.testing.assert_close(logits.softmax(1), net.classifier(images).softmax(1))
    assert net.projection is not None
    view = images.flatten(1) @ net.projection
    error = (net.autoencoder(view) - view).square().sum(1)
    torch.testing.assert_close(logits.logsumexp(1), -0.5 * error)  # of a classifier the sum over classes is 1
    torch.testing.assert_close(net.projection.T @ net.projection, 64 / 20 * torch.eye(20), rtol=0, atol=1e-5)
    again = BesideAutoencoder(MLP(64, [9], 3), (8, 8), [7, 2], view=20).projection
    assert again is not None
    assert torch.equal(net.projection, again)
    assert BesideAutoencoder(MLP(64, [9], 3), (8, 8), [7, 2]).projection is None
    assert net.autoencoder.sizes == [20, 7, 2, 7, 20]


class Both(nn.Module):
    """A network of one's own: logits, and the image drawn again."""

    def __init__(self, outputs: int, conditional: bool = False) -> None:
        super().__init__()
        self.outputs, self.conditional = outputs, conditional
        self.code, self.label = nn.Linear(64, 6), nn.Linear(64, outputs)
        self.back = nn.Linear(6, 64 * (outputs if conditional else 1))

    def forward(self, images: Tensor) -> tuple[Tensor | None, Tensor]:
        x = images.flatten(1)
        drawn = self.back(self.code(x).relu())
        if self.conditional:
            return None, drawn.unflatten(1, (self.outputs, 8, 8))
        return self.label(x), drawn.unflatten(1, (8, 8))


@pytest.mark.parametrize("conditional", [False, True])
def test_any_target_with_a_reconstruction_can_be_inferred_by_it(conditional: bool) -> None:
    images, net = torch.rand(4, 8, 8), Both(3, conditional)
    logits, drawn = net(images)
    found = WithReconstruction(net)(images)
    errors = (drawn - (images[:, None] if conditional else images)).square().flatten(-2).sum(-1)
    expected = -0.5 * (errors if conditional else errors[:, None])
    torch.testing.assert_close(found, expected if logits is None else expected + logits.log_softmax(1))

    def target(outputs: int) -> nn.Module:
        return WithReconstruction(Both(outputs, conditional))

    gate = hl.fit("lstm-net-gate", DIGITS, target=target, chunk_size=100, iterations=20, device="cpu")
    assert gate.learner.sizes("cl1").target == hl.count(Both(2, conditional))  # nothing was put beside it
    plain = hl.fit("hnet", DIGITS, target=target, infer=infer_by_density, chunk_size=100, iterations=5, device="cpu")
    assert plain.result.config["infer"] == "hyperlearn.inference.infer_by_density"


def test_tokens_have_no_reconstruction() -> None:
    for net in (autoencoder(), BesideAutoencoder(nn.Flatten(), (8, 8), [2])):
        with pytest.raises(hl.InputError, match="a reconstruction is of floats"):
            net(torch.ones(2, 8, 8, dtype=torch.int64))


def test_targets_by_name() -> None:
    net = hl.nets.parse("autoencoder-30-5-pooled")((8, 8), 2)
    assert isinstance(net, ConditionalAutoencoder)
    assert (net.encode.in_features, net.encode.out_features, net.code.out_features) == (16, 30, 5)
    assert not hl.nets.parse("autoencoder-30-5")((8, 8), 2).pooled
    for wrong in ("autoencoder", "autoencoder-5", "autoencoder-0-5", "autoencoder-5-5-5", "autoencoder-5-5-pool"):
        with pytest.raises(hl.InputError, match="no target network"):
            hl.nets.parse(wrong)


# The rule


def test_the_task_of_the_highest_density_is_taken() -> None:
    torch.manual_seed(0)
    logits, images = 5 * torch.randn(4, 200, 3) - 40, torch.rand(200, 8, 8)
    densities = torch.tensor([[sum(torch.exp(each.double())) for each in task] for task in logits])
    assert torch.equal(infer_by_density(logits, images), densities.argmax(0))
    masked = torch.cat([logits, torch.full((4, 200, 1), -torch.inf)], 2)
    assert torch.equal(infer_by_density(masked, images), infer_by_density(logits, images))


def test_densities_that_round_to_zero_are_compared() -> None:
    logits = torch.tensor([[[-2000.0, -3000.0]], [[-1500.0, -9000.0]]])
    assert logits.exp().eq(0).all()
    assert infer_by_density(logits, torch.zeros(1, 2)).tolist() == [1]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_densities_that_are_none_are_refused(value: float) -> None:
    logits = torch.zeros(2, 3, 2)
    logits[1, 2, 0] = value
    with pytest.raises(hl.InputError, match="task 1 gives logits that are NaN"):
        infer_by_density(logits, torch.zeros(3, 2))


# The learner


def learner(**changed: Any) -> GateLearner:
    config = hl.recipes.configure("lstm-net-gate", "split-digits", **SMALL | {"drop": 0.0} | changed)
    torch.manual_seed(0)
    made = config.learner_class(config, config.setting(DIGITS, "cl3"))
    assert isinstance(made, GateLearner)
    return made.train()


def test_the_loss_is_the_sum_of_its_three_terms() -> None:
    made = learner(generative=0.3, discriminative=0.7, contrast=0.9)
    batch = DIGITS.tasks[1].train[:10]

    def errors(task: int) -> Tensor:
        net = autoencoder_of(made, task).eval()
        with whole_views(net):
            return -2 * net(batch.images)

    made.begin_task(0)
    own = errors(0)
    drawn = own.gather(1, batch.labels[:, None])[:, 0]
    terms = 0.3 * drawn / 2 + 0.7 * nn.functional.cross_entropy(-own / 2, batch.labels, reduction="none")
    torch.testing.assert_close(made.task_loss(batch), terms.mean())
    made.end_task(0, DIGITS.tasks[0].train)
    made.begin_task(1)
    own, old = errors(1), errors(0)
    drawn = own.gather(1, batch.labels[:, None])[:, 0]
    terms = 0.3 * drawn / 2 + 0.7 * nn.functional.cross_entropy(-own / 2, batch.labels, reduction="none")
    terms = terms + 0.9 * (1 + (0.5 * (drawn - old.amin(1))).exp()).log()
    torch.testing.assert_close(made.task_loss(batch), terms.mean())


def autoencoder_of(made: GateLearner, task: int) -> ConditionalAutoencoder:
    net = made.export(task)
    assert isinstance(net, ConditionalAutoencoder)
    return net


def test_old_networks_get_no_gradient_from_the_contrast() -> None:
    """Of the embeddings the present one alone moves; without the contrast nothing else changes but its own weights."""
    made = learner()
    for task in range(2):
        made.begin_task(task)
        made.end_task(task, DIGITS.tasks[task].train)
    made.begin_task(2)
    made.task_loss(DIGITS.tasks[2].train[:10]).backward()
    (rows,) = made.hypernet.task_rows
    assert rows.grad is not None
    assert rows.grad.abs().sum(1).gt(0).tolist() == [False, False, True, False, False]
    assert made.target.training
    assert autoencoder_of(made, 0).copies == 3


def test_the_mask_and_copies_are_the_configurations() -> None:
    made = learner(drop=0.4, copies=1)
    assert isinstance(made.target, ConditionalAutoencoder)
    assert (made.target.drop, made.target.copies) == (0.4, 1)
    assert autoencoder_of(made, 0).copies == 1


def test_a_classifier_gets_an_autoencoder_beside_it() -> None:
    made = learner(target="mlp-20", autoencoder=(6, 3))
    assert isinstance(made.target, BesideAutoencoder)
    assert made.target.autoencoder.sizes == [64, 6, 3, 6, 64]
    own = ConditionalAutoencoder((8, 8), 9, 4, 2, drop=0.1, copies=5)
    config = hl.recipes.configure("lstm-net-gate", "split-digits", chunk_size=50)
    kept = config.target_maker((8, 8), hl.methods.Parts(target=own))(2)
    assert isinstance(kept, ConditionalAutoencoder)
    assert (kept.drop, kept.copies) == (0.1, 5)  # a target of one's own is left as it is


@pytest.mark.parametrize("method", GATES)
def test_it_finds_the_task(method: str) -> None:
    """By entropy LSTM_NET finds the task of about one image in five there, with its recipe (seed 0)."""
    made = hl.fit(method, DIGITS, device="cpu", iterations=200)
    assert made.results["cl1"].average_accuracy > 0.95
    assert made.results["cl3"].average_accuracy > 0.8
    proba = made.predict_proba(DIGITS.tasks[3].test[:].images)
    torch.testing.assert_close(proba.sum(1), torch.ones(len(proba)))
    assert torch.equal(proba.argmax(1) // 2, made.predict(DIGITS.tasks[3].test[:].images).tasks)


def test_a_rule_of_ones_own_takes_the_place_of_densities() -> None:
    def first(logits: Tensor, images: Tensor) -> Tensor:
        return torch.zeros(len(images), dtype=torch.int64)

    made = hl.fit("lstm-net-gate", DIGITS, device="cpu", infer=first, **SMALL)
    assert made.predict(DIGITS.tasks[3].test[:].images).tasks.eq(0).all()


def test_importances_are_those_of_its_own_loss() -> None:
    made = hl.fit("lstm-net-gate", hl.benchmarks.first(DIGITS, 2), device="cpu", lookahead=False,
                  regularizer=lambda hypernet: hl.ImportanceWeightedRegularizer(hypernet, 0.1),
                  **SMALL | {"drop": 0.0, "copies": 0})  # fmt: skip
    gate = made.learner
    assert isinstance(gate, GateLearner)
    train = DIGITS.tasks[1].train.take(slice(0, 3))
    found = gate.importance(1, train)["bias"]
    squares = []
    for row in range(3):
        net = autoencoder_of(gate, 1).requires_grad_()
        loss = gate.own_loss(net(train[row : row + 1].images), train.labels[row : row + 1])
        squares.append(torch.autograd.grad(loss, net.bias)[0].square())
    torch.testing.assert_close(found, torch.stack(squares).mean(0))


def test_regression_has_no_density() -> None:
    made = hl.benchmarks.polynomials()
    with pytest.raises(hl.InputError, match="a density of image and class needs classes"):
        hl.run("lstm-net-gate", made, target="mlp-5", chunk_size=20, iterations=1)


def test_seeds_cannot_be_trained_at_once() -> None:
    spec = hl.recipes.specify("lstm-net-gate", DIGITS, **SMALL)
    with pytest.raises(hl.InputError, match="cannot train several seeds at once"):
        hl.replicas.train_replicas(spec, [0, 1])


def test_the_recipes_are_as_large_as_the_book_says() -> None:
    sizes = {}
    for benchmark, shape, tasks, classes in (("split-mnist", (28, 28), 5, 2), ("permuted-mnist", (32, 32), 10, 10)):
        config = hl.recipes.configure("lstm-net-gate", benchmark)
        assert isinstance(config, LSTMNetGateConfig)
        target = config.target_maker(shape, hl.methods.Parts())(classes)
        assert isinstance(target, Density)
        sizes[benchmark] = (hl.count(target, trainable=True), hl.count(config.hypernet(target, tasks)))
    assert sizes == {"split-mnist": (77_016, 451_264), "permuted-mnist": (277_158, 709_184)}
    assert {*GATES} <= set(METHODS)


# Without a hypernetwork


def test_separate_networks_keep_what_each_task_has() -> None:
    target = MLP(6, [4], 2)
    made = hl.SeparateNetworks(target)
    start = made.layout.flatten({name: p.detach() for name, p in target.named_parameters()})
    assert torch.equal(made.flat(0)[0], start)
    with torch.no_grad():
        made.own[0] += 1
    made.begin_task(0)  # again, where a run goes on
    made.begin_task(1)
    assert torch.equal(made.flat([1, 0]), torch.stack([start, start + 1]))
    assert [p.requires_grad for p in made.own] == [False, True]
    again = hl.SeparateNetworks(MLP(6, [4], 2))
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.flat(torch.tensor([0, 1])), made.flat([0, 1]))
    assert made.stored_per_task == hl.count(target)
    with pytest.raises(hl.InputError, match="no task 2"):
        made.flat(2)


def test_separate_autoencoders_forget_nothing() -> None:
    made = hl.fit("scratch-gate", DIGITS, device="cpu", target="autoencoder-20-5", iterations=20)
    for scenario in ("cl1", "cl2", "cl3"):
        assert made.results[scenario].parameters.trainable == 5 * made.results[scenario].parameters.target
    assert made.results["cl1"].forgetting == 0
