"""Generative replay: the autoencoder, what is replayed, and what replay is for."""

from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import training
from hyperlearn.data import Examples, draw_indices
from hyperlearn.methods import DGR, HypernetReplayLearner, Learner, Scenario
from hyperlearn.methods.hypernet_replay import HypernetReplayConfig
from hyperlearn.methods.replay import check_pixels

DIGITS = hl.benchmarks.split_digits()
HYPERNET_REPLAY = ["hnet-r", "hnet-iwr-r", "lstm-net-r", "lstm-net-iwr-r", "lstm-net-grow-r"]
REPLAY = ["dgr", "dgr-distill", *HYPERNET_REPLAY]
every_method = pytest.mark.parametrize("method", REPLAY)


def short(method: str) -> dict[str, Any]:
    made: dict[str, Any] = {"iterations": 12, "batch_size": 16, "target": "mlp-20", "latent": 5}
    made |= {"encoder_hidden": (20,), "decoder_hidden": (20,)}
    return made | ({} if method.startswith("dgr") else {"chunk_size": 200, "task_condition": 5})


def make(method: str, scenario: Scenario = "cl3", **changed: Any) -> Learner:
    torch.manual_seed(0)
    config = hl.recipes.configure(method, "split-digits", **(short(method) | changed))
    return config.learner_class(config, config.setting(DIGITS, scenario))


def learn(learner: Learner, tasks: int) -> None:
    """The first tasks, a few steps each."""
    for number in range(tasks):
        train = DIGITS.tasks[number].train
        learner.begin_task(number)
        optimizer = torch.optim.Adam(learner.trainable(), lr=2e-3)  # at 1e-2 all units of so small an encoder may die
        order = draw_indices(len(train), 16, 12, torch.Generator().manual_seed(number))
        training.fit_task(learner, optimizer, train, order)
        learner.end_task(number, train)


def test_the_loss_of_an_autoencoder_by_hand() -> None:
    """Binary cross-entropy by its definition, and the divergence from N(0, 1) by torch.distributions."""
    torch.manual_seed(0)
    logits, images = torch.randn(3, 6), torch.rand(3, 2, 3)
    mean, log_variance = torch.randn(3, 4), torch.randn(3, 4)
    p, x = logits.sigmoid(), images.flatten(1)
    cross = -(x * p.log() + (1 - x) * (1 - p).log()).sum(1)
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(mean, (log_variance / 2).exp()), normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(hl.nets.vae_loss(logits, images, mean, log_variance), (cross + divergence) / 6)


def test_codes_have_the_mean_and_variance_asked_for() -> None:
    torch.manual_seed(0)
    codes = hl.nets.draw_code(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), 2 * log(0.5)))
    assert codes.mean().item() == pytest.approx(3.0, abs=0.02)
    assert codes.std().item() == pytest.approx(0.5, abs=0.02)


def test_an_autoencoder_learns() -> None:
    torch.manual_seed(0)
    vae = hl.nets.VAE((8, 8), [100], [100], 10)
    train = DIGITS.tasks[0].train
    optimizer = torch.optim.Adam(vae.parameters(), lr=3e-3)
    order = draw_indices(len(train), 64, 200, torch.Generator().manual_seed(0))
    losses = []
    for indices in order:
        optimizer.zero_grad()
        loss = vae.loss(train[indices].images).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.65
    assert sum(losses[-10:]) / 10 < 0.45
    assert vae.sample(5).shape == (5, 8, 8)


@every_method
def test_replay_before_there_is_a_past_task(method: str) -> None:
    learner = make(method)
    assert isinstance(learner, DGR | HypernetReplayLearner)
    for ask in (learner.replay, learner.samples):
        with pytest.raises(hl.InputError, match="there is no past task to replay"):
            ask(3)
    learn(learner, 1)
    assert learner.replay(3) is not None
    assert learner.samples(3).shape[-2:] == (8, 8)


@every_method
def test_samples_are_repeatable_and_disturb_nothing(method: str) -> None:
    learner = make(method)
    assert isinstance(learner, DGR | HypernetReplayLearner)
    learn(learner, 2)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = learner.samples(4, seed=1)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(learner.samples(4, seed=1), first)
    assert not torch.equal(learner.samples(4, seed=2), first)
    assert first.shape == ((4, 8, 8) if method.startswith("dgr") else (2, 4, 8, 8))
    assert ((first >= 0) & (first <= 1)).all()


@pytest.mark.parametrize("method", HYPERNET_REPLAY)
def test_each_past_task_is_drawn_from_its_own_decoder(method: str) -> None:
    """All at once is the same as one by one; the present task's training does not change it."""
    learner = make(method)
    assert isinstance(learner, HypernetReplayLearner)
    learn(learner, 2)
    torch.manual_seed(1)
    images, tasks = learner.replay(3)
    assert tasks.tolist() == [0, 0, 0, 1, 1, 1]
    torch.manual_seed(1)
    codes = torch.randn(2, 3, 5)
    for task in range(2):
        condition = nn.functional.one_hot(torch.tensor([task] * 3), 5)
        inputs = torch.cat([codes[task], condition], dim=1)
        logits: Tensor = torch.func.functional_call(learner.target, learner.hypernet(task), (inputs,))
        torch.testing.assert_close(images[3 * task : 3 * task + 3], logits.sigmoid().unflatten(1, (8, 8)))
    learner.begin_task(2)
    optimizer = torch.optim.Adam(learner.trainable(), lr=1e-2)
    train = DIGITS.tasks[2].train
    training.fit_task(learner, optimizer, train, draw_indices(len(train), 16, 5, torch.Generator()))
    torch.manual_seed(1)
    assert torch.equal(learner.replay(3)[0], images)


@pytest.mark.parametrize("method", HYPERNET_REPLAY)
@pytest.mark.parametrize("scenario", ["cl1", "cl2", "cl3"])
def test_classifier_and_autoencoder_do_not_mix(method: str, scenario: Scenario) -> None:
    """Each loss reaches its own parameters only, all of them; this is why both can be learnt in one step."""
    learner = make(method, scenario)
    assert isinstance(learner, HypernetReplayLearner)
    learn(learner, 2)
    learner.begin_task(2)
    batch = DIGITS.tasks[2].train[torch.arange(16)]
    names = {name for name, p in learner.named_parameters() if p.requires_grad}
    classifier = {name for name in names if name.startswith("classifiers.")}
    for loss, reached in (
        (learner.classifier_loss(learner.classifiers.of(scenario), batch, learner.replay(8)), classifier),
        (learner.autoencoder_loss(batch.images), names - classifier),
    ):
        learner.zero_grad()
        loss.backward()
        assert {name for name, p in learner.named_parameters() if p.grad is not None and p.grad.any()} == reached


@pytest.mark.parametrize("scenario", ["cl1", "cl2", "cl3"])
def test_a_class_not_met_has_a_logit_of_0(scenario: Scenario) -> None:
    """The classifier's loss by hand, sample by sample: what the old one says of all classes that are known by now."""
    learner = make("hnet-r", scenario)
    assert isinstance(learner, HypernetReplayLearner)
    learn(learner, 2)
    learner.begin_task(2)
    batch = DIGITS.tasks[2].train[torch.arange(16)]
    images, tasks = learner.replay(3)
    classifier = learner.classifiers.of(scenario)
    past = []
    for image, task in zip(images, tasks.tolist(), strict=True):
        new, old = classifier.net(image[None])[0], classifier.teacher(image[None])[0]
        if scenario == "cl1":
            new, old = new[2 * task : 2 * task + 2], old[2 * task : 2 * task + 2]
        if scenario == "cl3":
            new, old = new[:6], torch.cat([old[:4], torch.zeros(2)])
        past.append(-4 * ((old / 2).softmax(0) * (new / 2).log_softmax(0)).sum())
    expected = classifier.cross_entropy(batch, 3) / 2 + torch.stack(past).mean() / 2
    torch.testing.assert_close(learner.classifier_loss(classifier, batch, (images, tasks)), expected)


@pytest.mark.parametrize("method", HYPERNET_REPLAY)
def test_where_classifier_and_encoder_start(method: str) -> None:
    """Xavier-uniform, zero biases; a network of one's own as it was made."""
    learner = make(method, target="mlp-300", encoder_hidden=(300,))
    assert isinstance(learner, HypernetReplayLearner)
    for net in (learner.encoder.mlp, learner.classifiers.of("cl3").net, learner.classifiers.of("cl3").teacher):
        assert isinstance(net, hl.nets.MLP)
        for layer in net.layers:
            assert isinstance(layer, nn.Linear)
            bound = (6 / sum(layer.weight.shape)) ** 0.5
            assert 0.98 * bound < layer.weight.abs().max() <= bound
            assert not layer.bias.any()
    config = hl.recipes.configure(method, "split-digits")
    setting = hl.methods.Setting(2, 2, ("cl1",), lambda n: nn.Sequential(nn.Flatten(), nn.Linear(64, n)), (8, 8))
    learner = config.learner_class(config, setting)
    assert isinstance(learner, HypernetReplayLearner)
    (_, linear) = learner.classifiers.of("cl1").net.children()
    assert isinstance(linear, nn.Linear)
    assert linear.bias.all()


@every_method
@pytest.mark.parametrize("scenario", ["cl1", "cl2", "cl3"])
def test_what_is_remembered_does_not_change_while_a_task_is_learnt(method: str, scenario: Scenario) -> None:
    learner = make(method, scenario)
    learn(learner, 2)
    kept = {name: p.clone() for name, p in learner.named_parameters() if not p.requires_grad}
    assert any(".teacher." in name for name in kept)
    learner.begin_task(2)
    optimizer = torch.optim.Adam(learner.trainable(), lr=1e-2)
    train = DIGITS.tasks[2].train
    training.fit_task(learner, optimizer, train, draw_indices(len(train), 16, 5, torch.Generator()))
    for name, p in learner.named_parameters():
        assert name not in kept or torch.equal(p, kept[name])
    learner.end_task(2, train)
    assert isinstance(learner, DGR | HypernetReplayLearner)
    classifier = learner.classifiers.of(scenario)
    for new, old in zip(classifier.net.parameters(), classifier.teacher.parameters(), strict=True):
        assert torch.equal(new, old)


@every_method
def test_one_training_serves_all_scenarios(method: str) -> None:
    """What a classifier becomes does not depend on which others are trained beside it."""
    settings = short(method) | {"iterations": 4}
    together = hl.fit(method, DIGITS, **settings).results
    assert list(together) == ["cl1", "cl2", "cl3"]
    for scenario, result in together.items():
        alone = hl.run(method, DIGITS, scenario, **settings)
        assert result.accuracy_matrix == alone.accuracy_matrix
        assert result.untrained_accuracy == alone.untrained_accuracy
        assert result.parameters == alone.parameters
    assert together["cl1"].accuracy_matrix != together["cl2"].accuracy_matrix


def test_distilled_replay_of_an_unchanged_classifier_has_no_gradient_in_cl2() -> None:
    """The least of the distillation loss is where the classifier says what it said before."""
    learner = make("dgr-distill", "cl2")
    assert isinstance(learner, DGR)
    learn(learner, 1)
    learner.zero_grad()
    classifier, images = learner.classifiers.of("cl2"), learner.replay(8)
    learner.remembered(classifier, classifier.net(images), images).backward()
    assert all(p.grad is not None and p.grad.abs().max() < 1e-6 for p in classifier.net.parameters())


@pytest.mark.parametrize("method", ["dgr", "dgr-distill"])
def test_weights_of_present_and_past(method: str) -> None:
    """1/t and 1 - 1/t in task t = 3, from the parts of the loss."""
    learner = make(method)
    assert isinstance(learner, DGR)
    learn(learner, 2)
    batch = DIGITS.tasks[2].train[torch.arange(16)]
    torch.manual_seed(7)
    loss = learner.loss(batch)
    torch.manual_seed(7)
    classifier, images = learner.classifiers.of("cl3"), learner.replay(16)
    losses = learner.generator.loss(torch.cat([batch.images, images]))  # one draw of codes, as in the loss
    present = classifier.cross_entropy(batch, 3) + losses[:16].mean()
    past = learner.remembered(classifier, classifier.net(images), images) + losses[16:].mean()
    torch.testing.assert_close(loss, present / 3 + past * 2 / 3)


@pytest.mark.parametrize(("weight", "present"), [(0.0, 1.0), (0.2, 0.8), (1.0, 0.0)])
def test_the_replay_weight_is_the_share_of_the_past(weight: float, present: float) -> None:
    """A half, as in the recipes, would not show which of the two it is."""
    parts = {}
    for share in (0.0, 0.5, weight):
        learner = make("hnet-r", replay_weight=share)
        assert isinstance(learner, HypernetReplayLearner)
        learn(learner, 1)
        (classifier,) = learner.classifiers.each()
        batch = DIGITS.tasks[1].train[:9]
        torch.manual_seed(0)
        replayed = learner.replay(9)
        parts[share] = learner.classifier_loss(classifier, batch, replayed).item()
        seen = classifier.logits(batch.images, batch.tasks, 2)
        alone = nn.functional.cross_entropy(seen, classifier.labels(batch)).item()
    assert parts[0.0] == pytest.approx(alone, rel=1e-5)
    past = 2 * parts[0.5] - alone
    assert parts[weight] == pytest.approx(present * alone + (1 - present) * past, rel=1e-4)


def test_wrong_input() -> None:
    with pytest.raises(hl.InputError, match="task_condition must be 0 or at least the number of tasks, 5"):
        make("hnet-r", task_condition=4)
    make("hnet-r", task_condition=0)
    config = hl.recipes.configure("dgr", "split-digits")
    setting = hl.methods.Setting(2, 2, ("cl1",), lambda outputs: hl.nets.MLP(64, [], outputs))
    with pytest.raises(hl.InputError, match="has to know the shape of an image"):
        config.learner_class(config, setting)
    labels = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(hl.InputError, match=r"task 3: replay needs images with values in \[0, 1\], these have -1 to 0"):
        check_pixels(Examples(torch.tensor([[-1.0], [0.0]]), labels, labels + 3))


# pixels and tasks of each benchmark; no data is needed for that
BENCHMARKS = {
    "split-digits": (64, 5),
    "permuted-digits": (64, 10),
    "split-mnist": (784, 5),
    "permuted-mnist": (1024, 10),
}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_no_generator_of_decoders_is_larger_than_hnets(benchmark: str) -> None:
    """Section 4.2 of the paper: as many trainable parameters as the baseline, or fewer; a growing one at a time."""
    pixels, tasks = BENCHMARKS[benchmark]
    sizes = {}
    for method in HYPERNET_REPLAY:
        config = hl.recipes.configure(method, benchmark)
        assert isinstance(config, HypernetReplayConfig)
        decoder = hl.nets.MLP(config.latent + config.task_condition, config.decoder_hidden, pixels)
        sizes[method] = hl.count(config.hypernet(decoder, tasks))
    assert sizes["hnet-iwr-r"] == sizes["hnet-r"]
    assert 0.95 * sizes["hnet-r"] < sizes["lstm-net-grow-r"] <= sizes["lstm-net-r"] == sizes["lstm-net-iwr-r"]
    assert sizes["lstm-net-r"] <= sizes["hnet-r"]


@pytest.mark.parametrize(
    "method",
    [m if m in ("dgr", "hnet-r", "lstm-net-grow-r") else pytest.param(m, marks=pytest.mark.whole) for m in REPLAY],
)
def test_replay_is_what_keeps_classes_apart(method: str, seeds: range) -> None:
    """On each seed, in CL3: far above a network that sees the last task only."""
    # What drifts takes longer to be of use, and so does an LSTM's decoder, which starts near zero.
    iterations = 150 if method.startswith("hnet") else 300
    for seed in seeds:
        assert hl.run(method, DIGITS, "cl3", seed, iterations=iterations).average_accuracy > 0.5
    assert hl.run("finetune", DIGITS, "cl3", 0, iterations=150).average_accuracy < 0.25


@pytest.mark.parametrize("method", ["lstm-net-r", pytest.param("lstm-net-grow-r", marks=pytest.mark.whole)])
@pytest.mark.parametrize("scenario", ["cl1", "cl2"])
def test_replay_in_the_other_scenarios(method: str, scenario: Scenario, seeds: range) -> None:
    for seed in seeds[1:]:
        result = hl.run(method, DIGITS, scenario, seed, iterations=300)
        assert result.average_accuracy > (0.97 if scenario == "cl1" else 0.85)
