"""EWC, online EWC, SI and LwF: their objectives against the equations written out, and what each is for."""

from copy import deepcopy
from statistics import mean
from typing import Any

import pytest
import torch
from narrowing import narrow
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Adam, Optimizer

import hyperlearn as hl
from hyperlearn.data import Batch
from hyperlearn.methods import SCENARIOS, Learner, Scenario
from hyperlearn.methods.ewc import EWC, OnlineEWC
from hyperlearn.methods.lwf import LwF, distillation
from hyperlearn.methods.si import SI

DIGITS = hl.benchmarks.split_digits()
MARGINS: dict[Scenario, dict[str, float]] = {
    "cl1": {"ewc": 0.03, "online-ewc": 0.03, "si": 0.03, "lwf": 0.03},
    "cl2": {"si": 0.03, "lwf": 0.1},
    "cl3": {"lwf": 0.5},
}
"""How much less than finetune a method forgets at least."""

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def make(method: str, scenario: Scenario, **changed: Any) -> Any:
    torch.manual_seed(0)
    config = hl.recipes.configure(method, "split-digits", scenario, target="mlp-20", **changed)
    return config.learner_class(config, config.setting(DIGITS, scenario))


def adam(learner: Learner) -> Optimizer:
    return Adam(learner.trainable(), lr=1e-2)


def draw(task: int, step: int = 0, size: int = 40) -> Batch:
    return DIGITS.tasks[task].train[slice(step * size, (step + 1) * size)]


def learn(learner: Learner, optimizer: Optimizer, task: int, steps: int = 5) -> None:
    """A whole task, short."""
    learner.begin_task(task)
    for step in range(steps):
        optimizer.zero_grad()
        learner.backward(draw(task, step), optimizer)
        optimizer.step()
        learner.after_step()
    learner.end_task(task, DIGITS.tasks[task].train)


def params_of(learner: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in learner.classifier.net.named_parameters()}


def weighted_distance(weights: hl.Params, learner: Any, anchor: hl.Params) -> Tensor:
    now = learner.classifier.net.named_parameters()
    return sum((weights[name] * (p - anchor[name]).square()).sum() for name, p in now)


def gradients(learner: Learner) -> list[Tensor]:
    return [p.grad.clone() for p in learner.trainable() if p.grad is not None]


# The objectives


@every_scenario
def test_ewc_is_the_sum_over_tasks_of_the_paper(scenario: Scenario) -> None:
    learner: EWC = make("ewc", scenario, strength=30.0, fisher_labels="observed")
    optimizer, terms = adam(learner), []
    for task in range(3):
        learn(learner, optimizer, task)
        net, train = learner.classifier.net, DIGITS.tasks[task].train
        total = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
        for i in range(len(train)):  # the Fisher information, one image at a time, as the training loss sees it
            net.zero_grad()
            learner.classifier.cross_entropy(train[torch.tensor([i])], seen=task + 1).backward()
            for name, p in net.named_parameters():
                total[name] += narrow(Tensor, p.grad).square() / len(train)
        terms.append((total, params_of(learner)))
    learn_some_steps(learner, optimizer, 3)
    batch = draw(3)
    task_loss = learner.classifier.cross_entropy(batch, seen=4)
    penalty = 30.0 / 2 * sum(weighted_distance(fisher, learner, anchor) for fisher, anchor in terms)
    assert penalty > 0.01 * task_loss
    torch.testing.assert_close(learner.loss(batch), task_loss + penalty, rtol=1e-5, atol=1e-6)


def learn_some_steps(learner: Learner, optimizer: Optimizer, task: int) -> None:
    for step in range(3):
        optimizer.zero_grad()
        learner.backward(draw(task, step), optimizer)
        optimizer.step()
        learner.after_step()


def test_online_ewc_is_one_decaying_term() -> None:
    learner: OnlineEWC = make("online-ewc", "cl2", strength=30.0, gamma=0.7)
    optimizer = adam(learner)
    running = {name: torch.zeros_like(p) for name, p in params_of(learner).items()}
    for task in range(3):
        learn(learner, optimizer, task)
        fisher = learner.fisher(task, DIGITS.tasks[task].train)
        running = {name: 0.7 * running[name] + fisher[name] for name in running}
    anchor = params_of(learner)
    learn_some_steps(learner, optimizer, 3)
    batch = draw(3)
    expected = learner.classifier.cross_entropy(batch, 4) + 30.0 / 2 * 0.7 * weighted_distance(running, learner, anchor)
    torch.testing.assert_close(learner.loss(batch), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer_class", [Adam, SGD])
def test_si_is_the_path_integral_of_the_task_gradient(optimizer_class: type[Adam | SGD]) -> None:
    learner: SI = make("si", "cl2", strength=2.0, epsilon=0.1)
    optimizer = optimizer_class(learner.trainable(), lr=1e-2)
    importance = {name: torch.zeros_like(p) for name, p in params_of(learner).items()}
    anchor = params_of(learner)
    for task in range(3):
        path = {name: torch.zeros_like(p) for name, p in anchor.items()}
        start = params_of(learner)
        for step in range(5):
            batch, before = draw(task, step), params_of(learner)
            alone = deepcopy(learner.classifier)  # the task's loss, without the penalty
            alone.cross_entropy(batch, seen=task + 1).backward()
            optimizer.zero_grad()
            learner.backward(batch, optimizer)
            optimizer.step()
            learner.after_step()
            for name, p in alone.net.named_parameters():
                path[name] -= narrow(Tensor, p.grad) * (params_of(learner)[name] - before[name])
        learner.end_task(task, DIGITS.tasks[task].train)
        anchor = params_of(learner)
        for name in importance:
            importance[name] += path[name] / ((anchor[name] - start[name]).square() + 0.1)
    learn_some_steps(learner, optimizer, 3)
    batch = draw(3)
    distance = weighted_distance(importance, learner, anchor)
    assert distance > 0
    expected = learner.classifier.cross_entropy(batch, 4) + 2.0 * distance
    torch.testing.assert_close(learner.loss(batch), expected, rtol=1e-5, atol=1e-7)


def test_sis_path_integral_is_the_fall_of_the_loss() -> None:
    """Equation 2 of the paper: with small steps on one loss, the sum over parameters is what the loss fell by."""
    learner: SI = make("si", "cl1")
    optimizer = SGD(learner.trainable(), lr=1e-2)
    batch = draw(0, size=200)
    before = learner.loss(batch).item()
    for _ in range(100):
        optimizer.zero_grad()
        learner.backward(batch, optimizer)
        optimizer.step()
        learner.after_step()
    fell = before - learner.loss(batch).item()
    assert fell > 0.05
    assert learner.path.sum().item() == pytest.approx(fell, rel=0.01)


@pytest.mark.parametrize("method", ["ewc", "online-ewc", "si"])
@every_scenario
def test_backward_gives_the_gradient_of_the_loss(method: str, scenario: Scenario) -> None:
    learner = make(method, scenario, strength=30.0)
    optimizer = adam(learner)
    for task in range(2):
        learn(learner, optimizer, task)
    learn_some_steps(learner, optimizer, 2)
    batch = draw(2)
    optimizer.zero_grad()
    learner.loss(batch).backward()
    expected = gradients(learner)
    optimizer.zero_grad()
    learner.backward(batch, optimizer)
    for found, wanted in zip(gradients(learner), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@every_scenario
def test_lwf_is_cross_entropy_and_distillation(scenario: Scenario) -> None:
    learner: LwF = make("lwf", scenario)
    optimizer = adam(learner)
    assert torch.equal(learner.loss(draw(0)), learner.classifier.cross_entropy(draw(0), seen=1))
    learn(learner, optimizer, 0)
    learn(learner, optimizer, 1)
    old = deepcopy(learner.classifier.net)
    learn_some_steps(learner, optimizer, 2)
    batch = draw(2)

    def kept(new: Tensor, before: Tensor) -> float:
        """Cross-entropy of softened predictions, written out; classes that the old network lacks count as 0."""
        p, q = torch.exp(before / 2), torch.exp(new / 2)
        p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
        return -4 * sum(p[:, k] * q[:, k].log() for k in range(p.shape[1])).mean().item()  # type: ignore[union-attr]

    with torch.no_grad():
        new, before = learner.classifier.net(batch.images), old(batch.images)
    if scenario == "cl1":
        distilled = (kept(new[:, :2], before[:, :2]) + kept(new[:, 2:4], before[:, 2:4])) / 2
    elif scenario == "cl2":
        distilled = kept(new, before)
    else:
        distilled = kept(new[:, :6], before[:, :4])
    expected = learner.classifier.cross_entropy(batch, 3).item() / 3 + 2 / 3 * distilled
    assert learner.loss(batch).item() == pytest.approx(expected, rel=1e-5)


def test_distillation_is_least_where_nothing_changed() -> None:
    torch.manual_seed(0)
    old = torch.randn(7, 3)
    logits = old.clone().requires_grad_()
    distillation(logits, old, 2.0).backward()
    assert narrow(Tensor, logits.grad).abs().max() < 1e-6
    assert distillation(old + torch.randn(7, 3), old, 2.0) > distillation(old, old, 2.0)


def test_lwfs_old_network_is_the_one_before_the_task() -> None:
    learner: LwF = make("lwf", "cl1")
    optimizer = adam(learner)
    learn(learner, optimizer, 0)
    before = {name: p.clone() for name, p in learner.classifier.net.state_dict().items()}
    learn_some_steps(learner, optimizer, 1)
    assert all(torch.equal(p, before[name]) for name, p in learner.classifier.teacher.state_dict().items())
    assert not any(p.requires_grad for p in learner.classifier.teacher.parameters())
    assert not learner.train().classifier.teacher.training
    assert learner.sizes("cl1") == make("finetune", "cl1").sizes("cl1")


# The Fisher information of each scenario


@every_scenario
def test_predicted_labels_are_the_networks_own(scenario: Scenario) -> None:
    learner: EWC = make("ewc", scenario)
    learn(learner, adam(learner), 0)
    train = DIGITS.tasks[1].train
    batch = train[slice(None)]
    labels = learner.classifier.logits(batch.images, batch.tasks, 2).argmax(1)
    assert torch.equal(learner.predicted(train, 1), labels)
    found = learner.fisher(1, train)
    net, columns = learner.classifier.net, learner.classifier.columns(1, seen=2)
    expected = hl.fisher_information(
        net,
        dict(net.named_parameters()),
        batch.images,
        labels,
        loss=lambda z, y: cross_entropy(z[:, columns], y),
    )
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_heads_that_a_task_does_not_use_are_left_free() -> None:
    learner: EWC = make("ewc", "cl1", fisher_labels="observed")
    learn(learner, adam(learner), 0)
    weight = learner.penalty.layout.unflatten(learner.penalty.weight)["layers.1.weight"]
    assert weight[:2].max() > 0
    assert weight[2:].eq(0).all()


# What each is for


def mean_forgetting(method: str, scenario: Scenario, seeds: range) -> float:
    return mean(hl.run(method, DIGITS, scenario, seed, iterations=150).forgetting or 0.0 for seed in seeds)


@every_scenario
def test_each_method_forgets_less_than_finetune(scenario: Scenario, seeds: range) -> None:
    """Means over seeds. In CL3 only distillation does; the others collapse there in the paper too."""
    lost = mean_forgetting("finetune", scenario, seeds)
    for method, margin in MARGINS[scenario].items():
        assert mean_forgetting(method, scenario, seeds) < lost - margin, method


def test_without_a_penalty_nothing_is_left_but_finetune() -> None:
    short: dict[str, Any] = {"iterations": 20, "target": "mlp-20"}
    for scenario in SCENARIOS:
        plain = hl.run("finetune", DIGITS, scenario, **short)
        for method in ("ewc", "online-ewc", "si"):
            assert hl.run(method, DIGITS, scenario, strength=0, **short).accuracy_matrix == plain.accuracy_matrix
        for method in ("ewc", "online-ewc", "si", "lwf"):  # the first task is learnt alike by all
            assert hl.run(method, DIGITS, scenario, **short).accuracy_matrix[0] == plain.accuracy_matrix[0]


def test_memory_does_not_grow_with_tasks() -> None:
    for method in ("ewc", "online-ewc", "si", "lwf"):
        learner = make(method, "cl2")
        optimizer, sizes = adam(learner), []
        for task in range(3):
            learn(learner, optimizer, task, steps=1)
            sizes.append(sum(tensor.numel() for tensor in learner.state_dict().values() if torch.is_tensor(tensor)))
        assert len(set(sizes)) == 1
        assert learner.sizes("cl1").stored_per_task == 0


def test_recipes_differ_between_scenarios_and_runs_record_what_they_used() -> None:
    strengths = [hl.recipes.configure("ewc", "split-mnist", scenario).record()["strength"] for scenario in SCENARIOS]
    assert strengths == [1e7, 1e6, 1e8]
    for scenario in SCENARIOS:
        result = hl.run("online-ewc", DIGITS, scenario, iterations=1)
        assert result.config["gamma"] == hl.recipes.configure("online-ewc", "split-digits", scenario).record()["gamma"]
    with pytest.raises(hl.InputError, match="no scenario 'cl4'; there are cl1, cl2, cl3"):
        hl.recipes.configure("ewc", "split-mnist", "cl4")  # type: ignore[arg-type]


# Bad input


def test_a_fisher_information_that_does_not_fit_is_refused() -> None:
    for method in ("ewc", "online-ewc"):
        learner = make(method, "cl2")
        fisher = learner.fisher(0, DIGITS.tasks[0].train)
        with pytest.raises(hl.InputError, match=r"Fisher information: missing \['layers.1.bias'\]"):
            learner.remember({name: value for name, value in fisher.items() if name != "layers.1.bias"})
        with pytest.raises(hl.InputError, match=r"Fisher information: missing \[\], not expected \['more'\]"):
            learner.remember(fisher | {"more": torch.zeros(2)})
        with pytest.raises(hl.InputError, match=r"Fisher information: layers.0.weight has shape \(64, 20\)"):
            learner.remember(fisher | {"layers.0.weight": torch.zeros(64, 20)})
        with pytest.raises(hl.InputError, match="shape"):
            learner.remember({name: torch.stack([value, value]) for name, value in fisher.items()})


@pytest.mark.parametrize("method", ["ewc", "online-ewc", "si", "lwf"])
def test_training_that_diverges_says_in_which_task(method: str) -> None:
    with pytest.raises(hl.InputError, match=r"task 0"):
        hl.run(method, DIGITS, iterations=5, target="mlp-20", learning_rate=1e38)


@pytest.mark.parametrize("method", ["ewc", "si"])
@pytest.mark.parametrize("changed", [{"strength": -1}, {"strength": "nan"}])
def test_a_strength_below_zero_is_refused(method: str, changed: dict[str, Any]) -> None:
    with pytest.raises(hl.InputError, match="strength: input should be"):
        hl.recipes.configure(method, "split-digits", **changed)
    with pytest.raises(hl.InputError, match="gamma: input should be less than or equal to 1"):
        hl.recipes.configure("online-ewc", "split-digits", gamma=1.5)


def test_a_target_of_ones_own_with_batch_norm() -> None:
    def target(outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 8)),
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(144, outputs),
        )

    for method in ("ewc", "si", "lwf"):
        result = hl.run(method, DIGITS, "cl1", iterations=20, target=target)
        assert result.metrics.during_accuracy > 0.9
