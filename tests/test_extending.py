"""What chapter 14 promises: a hypernetwork, a method and a benchmark of a reader's own need no registration."""

from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
import torch
from narrowing import narrow
from pydantic import ValidationError
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import Batch, Examples, concatenate

DIGITS = hl.benchmarks.split_digits()
SHORT: dict[str, Any] = {"iterations": 10, "batch_size": 16, "target": "mlp-20"}


class FiLMHypernet(hl.EmbeddingHypernet):
    """The task embedding scales and shifts what is learnt for each chunk."""

    def __init__(self, target: nn.Module, tasks: int, chunk_size: int, width: int) -> None:
        super().__init__(target, tasks, task_dim=5)
        self.chunk_embeddings = nn.Parameter(torch.randn(ceil(self.layout.numel / chunk_size), width))
        self.film = nn.Linear(5, 2 * width)
        self.head = nn.Linear(width, chunk_size)

    def features(self, embeddings: Tensor) -> Tensor:
        scale, shift = self.film(embeddings)[:, None].chunk(2, dim=-1)
        return (scale * self.chunk_embeddings + shift).relu()

    def write(self, embeddings: Tensor) -> Tensor:
        return self.head(self.features(embeddings)).flatten(1)[:, : self.layout.numel]


@hl.methods.configuration
class FilmConfig(hl.methods.OutputPenaltyConfig):
    learner_class = hl.methods.HypernetLearner
    width: hl.methods.base.Count = 7

    def hypernet(self, target: nn.Module, tasks: int) -> FiLMHypernet:
        return FiLMHypernet(target, tasks, narrow(int, self.chunk_size), self.width)


class Rehearsal(hl.methods.Finetune):
    def __init__(self, config: "RehearsalConfig", setting: hl.methods.Setting) -> None:
        super().__init__(config, setting)
        self.kept: list[Examples] = []

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        if not self.kept:
            return loss
        old = concatenate(self.kept)[:]
        return (loss + self.classifier.cross_entropy(old, seen=self.learned + 1)) / 2

    def end_task(self, task: int, train: Examples) -> None:
        self.kept.append(train.take(torch.randperm(len(train))[: self.config.kept]))  # type: ignore[attr-defined]
        super().end_task(task, train)


@hl.methods.configuration
class RehearsalConfig(hl.methods.Config):
    learner_class = Rehearsal
    kept: int = 10


def test_fields_of_an_own_configuration_are_checked() -> None:
    assert FilmConfig(width=3, beta=0.5).beta == 0.5
    for wrong in ({"width": 0}, {"width": "wide"}, {"wdith": 3}, {"beta": -1}):
        with pytest.raises(ValidationError):
            FilmConfig(**wrong)
    with pytest.raises(AttributeError):
        FilmConfig().width = 4  # type: ignore[misc]


def test_an_own_hypernetwork_with_one_head_gets_the_gram_form() -> None:
    torch.manual_seed(0)
    hypernet = FiLMHypernet(nn.Linear(6, 4), tasks=3, chunk_size=8, width=7)  # the last chunk is cut
    penalties = [hl.OutputRegularizer(hypernet, 0.1, form=form) for form in ("auto", "gram", "direct")]
    for penalty in penalties:
        penalty.remember(0)
        penalty.remember(1)
    with torch.no_grad():
        for p in hypernet.parameters():
            p.add_(0.1 * torch.randn_like(p))
    auto, gram, direct = (penalty() for penalty in penalties)
    assert auto == gram
    torch.testing.assert_close(gram, direct)


class Shifted(hl.ChunkedHypernet):
    """Has one head, and writes something else than the head does."""

    def write(self, embeddings: torch.Tensor) -> torch.Tensor:
        return 0.1 * super().write(embeddings) + 1


def test_an_own_hypernetwork_that_changes_what_its_head_writes() -> None:
    hypernet = Shifted(nn.Linear(6, 4), tasks=2, chunk_size=8, task_dim=3, chunk_dim=3)
    auto, direct = hl.OutputRegularizer(hypernet, 1.0), hl.OutputRegularizer(hypernet, 1.0, "direct")
    weighted = hl.ImportanceWeightedRegularizer(hypernet, 1.0)
    auto.remember(0)
    direct.remember(0)
    weighted.remember(0, torch.ones(28))
    assert weighted() == auto() == 0  # nothing has moved
    with torch.no_grad():
        hypernet.head.bias.add_(1)
    assert auto() == direct()
    torch.testing.assert_close(auto().detach(), torch.tensor(28 * 0.1**2))
    torch.testing.assert_close(weighted().detach(), auto().detach())
    with pytest.raises(hl.InputError, match="the Gram form needs a hypernetwork with one linear head, not Shifted"):
        hl.OutputRegularizer(hypernet, 1.0, "gram")


class Table(hl.Hypernetwork):
    """A network for each task, written down: none of the library's hypernetworks, and it needs no regularizer."""

    def __init__(self, target: nn.Module, tasks: int) -> None:
        super().__init__(target, tasks)
        self.table = nn.Parameter(0.1 * torch.randn(tasks, self.layout.numel))

    @property
    def stored_per_task(self) -> int:
        return self.layout.numel

    def flat(self, tasks: Any) -> Tensor:
        return self.table[self.index(tasks)]


@hl.methods.configuration
class TableConfig(hl.methods.HypernetConfig):
    learner_class = hl.methods.HypernetLearner

    def hypernet(self, target: nn.Module, tasks: int) -> Table:
        return Table(target, tasks)

    def regularizer(self, hypernet: hl.Hypernetwork) -> None:
        return None


@hl.methods.configuration
class HeldTableConfig(TableConfig):
    def regularizer(self, hypernet: hl.Hypernetwork) -> Any:
        return hl.OutputRegularizer(hypernet, 0.1)  # type: ignore[arg-type]


def test_a_hypernetwork_without_embeddings() -> None:
    made = hl.fit(TableConfig(**SHORT), DIGITS).results
    assert made["cl1"].parameters.stored_per_task == made["cl1"].parameters.target
    assert made["cl1"].metrics.forgetting == 0
    with pytest.raises(hl.InputError, match="a regularizer holds what an EmbeddingHypernet writes, and Table is none"):
        hl.fit(HeldTableConfig(**SHORT), DIGITS)


def test_a_growing_hypernetwork_needs_no_regularizer_and_gets_none() -> None:
    growing: Any = hl.GrowingLSTMHypernet(nn.Linear(6, 4), chunk_size=8, task_dim=3, chunk_dim=3, hidden_size=2)
    for kind in (hl.OutputRegularizer, hl.ImportanceWeightedRegularizer):
        with pytest.raises(hl.InputError, match="an EmbeddingHypernet writes, and GrowingLSTMHypernet is none"):
            kind(growing, 1.0)


def test_own_methods_run_as_they_are() -> None:
    results = hl.fit(FilmConfig(**SHORT, chunk_size=100), DIGITS, seed=1).results
    assert set(results) == {"cl1", "cl2", "cl3"}
    assert results["cl1"].config["width"] == 7
    result = hl.run(RehearsalConfig(**SHORT), DIGITS, "cl3", seed=1)
    assert result.same_measurement(hl.run(RehearsalConfig(**SHORT), DIGITS, "cl3", seed=1))
    assert hl.tables.compare("film", "rehearsal", "split-digits", "cl3", [results["cl3"], result]).n == 1


def test_some_of_the_examples_stay_examples() -> None:
    train = DIGITS.tasks[1].train
    images = narrow(Tensor, train.images)
    first = train.take(slice(0, 3))
    assert len(first) == 3
    assert first.images.dtype == torch.uint8
    assert torch.equal(narrow(Tensor, first.images), images[:3])
    assert len(train.take(slice(0))) == 0


class Corrected(hl.ChunkedHypernet):
    """What its head writes, and a correction that starts at zero."""

    def __init__(self, target: nn.Module) -> None:
        super().__init__(target, tasks=3, chunk_size=8, task_dim=3, chunk_dim=3)
        self.correction = nn.Parameter(torch.zeros(hl.count(target)))

    def write(self, embeddings: torch.Tensor) -> torch.Tensor:
        return super().write(embeddings) + self.correction


class Hooked(hl.ChunkedHypernet):
    """Its head's outputs pass a hook, which the weights do not show."""

    def __init__(self, target: nn.Module) -> None:
        super().__init__(target, tasks=3, chunk_size=8, task_dim=3, chunk_dim=3)
        self.head.register_forward_hook(lambda module, inputs, outputs: outputs.tanh())


class Gated(hl.ChunkedHypernet):
    """Writes by one head until a gate opens."""

    gate: Tensor

    def __init__(self, target: nn.Module) -> None:
        super().__init__(target, tasks=3, chunk_size=8, task_dim=3, chunk_dim=3)
        self.register_buffer("gate", torch.zeros(()))

    def write(self, embeddings: torch.Tensor) -> torch.Tensor:
        return super().write(embeddings) * (1 + self.gate)


class Normed(hl.ChunkedHypernet):
    """Its head's weight is made of others by a parametrization, through which gradients flow as through any."""

    def __init__(self, target: nn.Module) -> None:
        super().__init__(target, tasks=3, chunk_size=8, task_dim=3, chunk_dim=20)
        assert type(self.head) is nn.Linear
        nn.utils.parametrizations.weight_norm(self.head)


@pytest.mark.parametrize("kind", [Corrected, Hooked, Gated, Normed])
def test_a_shortcut_is_taken_only_where_it_holds(kind: Callable[[nn.Module], hl.ChunkedHypernet]) -> None:
    """The penalty and its gradients are those of the direct form, whatever the hypernetwork does to its head."""
    torch.manual_seed(0)
    hypernet = kind(nn.Linear(6, 4))
    auto, direct = hl.OutputRegularizer(hypernet, 1.0), hl.OutputRegularizer(hypernet, 1.0, "direct")
    weighted = hl.ImportanceWeightedRegularizer(hypernet, 1.0, exact=True)
    for task in range(2):
        for penalty in (auto, direct):
            penalty.remember(task)
        weighted.remember(task, torch.ones(28))
        with torch.no_grad():
            for p in hypernet.parameters():
                p.add_(torch.randn_like(p))
        if isinstance(hypernet, Gated):
            hypernet.gate.fill_(1.0)
            if task == 0:
                continue  # what it remembered was written with the gate closed
        expected = direct()
        parameters = [p for name, p in hypernet.named_parameters() if name != "task_embeddings"]
        gradients = torch.autograd.grad(expected, parameters)
        for each in (auto, weighted):
            torch.testing.assert_close(each(), expected)
            for found, right in zip(torch.autograd.grad(each(), parameters), gradients, strict=True):
                torch.testing.assert_close(found, right, rtol=1e-4, atol=1e-4 * float(right.abs().max()))


def test_a_regularizer_that_left_the_gram_form_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    hypernet = Gated(nn.Linear(6, 4))
    first = hl.OutputRegularizer(hypernet, 1.0)
    hypernet.gate.fill_(1.0)
    strict = hl.OutputRegularizer(Gated(nn.Linear(6, 4)), 1.0, "gram")
    narrow(Gated, strict.hypernet).gate.fill_(1.0)
    with pytest.raises(hl.InputError, match="has ceased to write by one linear head"):
        strict.remember(0)
    assert strict.tasks == []
    first.remember(0)
    hypernet.gate.zero_()  # another regularizer that is made now takes the Gram form
    second = hl.OutputRegularizer(hypernet, 1.0)
    second.load_state_dict(first.state_dict())
    assert first() == second() > 0


@pytest.mark.parametrize("form", ["auto", "direct"])
def test_a_penalty_is_taken_in_full_precision_under_autocast(form: Any) -> None:
    torch.manual_seed(0)
    hypernet = hl.ChunkedHypernet(nn.Linear(50, 40), 2, chunk_size=300, task_dim=8, chunk_dim=8, hidden=[20])
    penalty, weighted = hl.OutputRegularizer(hypernet, 1.0, form), hl.ImportanceWeightedRegularizer(hypernet, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        penalty.remember(0)
        weighted.remember(0, torch.ones(2040))
    with torch.no_grad():
        for p in hypernet.parameters():
            p.add_(1e-3)
    for each in (penalty, weighted):
        (expected,) = torch.autograd.grad(each(), hypernet.head.weight)
        with torch.autocast("cpu", torch.bfloat16):
            value = each()
        assert value == each()
        assert torch.equal(torch.autograd.grad(value, hypernet.head.weight)[0], expected)


def test_the_recipes_take_the_gram_form() -> None:
    """From Python 3.12 on a check by isinstance was silently false, and every penalty took the direct form."""
    for method in hl.methods.METHODS:
        config = hl.recipes.configure(method, "split-digits")
        if isinstance(config, hl.methods.HypernetConfig) and "grow" not in method:
            penalty: Any = config.regularizer(config.hypernet(hl.nets.MLP(64, [100, 100], 2), 5))
            assert penalty is not None
            assert type(penalty.memory).__name__ == ("Features" if "iwr" in method else "Gram"), method
