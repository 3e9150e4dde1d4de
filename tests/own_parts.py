"""A method, a hypernetwork, a regularizer, a rule of inference and a benchmark from outside the package, for tests."""

from typing import Any

import torch
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn.data import Batch, Examples
from hyperlearn.methods.plain import Finetune


class Rehearsal(Finetune):
    """Experience replay: some images of each task are kept and learnt again with every batch."""

    images: Tensor
    labels: Tensor

    def __init__(self, config: "RehearsalConfig", setting: hl.methods.Setting) -> None:
        super().__init__(config, setting)
        self.kept = config.kept
        self.register_buffer("images", torch.zeros(setting.tasks, config.kept, *setting.image_shape))
        self.register_buffer("labels", torch.zeros(setting.tasks, config.kept, dtype=torch.int64))

    def loss(self, batch: Batch) -> Tensor:
        loss = super().loss(batch)
        for task in range(self.learned):
            of = torch.full((self.kept,), task, device=batch.images.device)
            old = Batch(self.images[task], self.labels[task], of)
            loss = loss + self.classifier.cross_entropy(old, self.learned + 1)
        return loss

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        self.images[task], self.labels[task] = train[: self.kept].images, train.labels[: self.kept]


@hl.methods.configuration
class RehearsalConfig(hl.methods.Config):
    """Keep some images."""

    learner_class = Rehearsal
    target: str = "mlp-20"
    iterations: int | None = 30
    batch_size: int = 16
    kept: int = 5


class Table(hl.Hypernetwork):
    """Grows by a vector of parameters a task."""

    grows = True

    def __init__(self, target: nn.Module, tasks: int) -> None:
        super().__init__(target, 1)
        self.rows = nn.ParameterList([self.start()])

    def start(self) -> Tensor:
        return 0.1 * torch.randn(self.layout.numel)

    @property
    def stored_per_task(self) -> int:
        return self.layout.numel

    def begin_task(self, task: int) -> None:
        if task == self.tasks:
            self.rows.requires_grad_(False)
            self.rows.append(self.start().to(self.rows[0]))
            self.tasks += 1

    def extend(self) -> None:
        """There is always room."""

    def flat(self, tasks: Any) -> Tensor:
        return torch.stack([self.rows[number] for number in self.index(tasks).tolist()])

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: Any) -> None:
        while self.tasks < sum(name.startswith(f"{prefix}rows.") for name in state):
            self.begin_task(self.tasks)
        super()._load_from_state_dict(state, prefix, *args)


class Elastic(hl.Regularizer):
    """Holds what was written for the last task, by its Fisher information."""

    needs_fisher = True

    def __init__(self, hypernet: Any, strength: float = 1.0) -> None:
        self.hypernet, self.strength = hypernet, strength
        self.kept: list[Tensor] = []
        self.fisher: list[Tensor] = []

    @property
    def stored_per_task(self) -> int:
        return 2 * int(self.hypernet.layout.numel)

    def remember(self, task: int, *fisher: Any) -> None:
        self.fisher.append(self.hypernet.layout.flatten(fisher[0]))
        self.kept.append(self.hypernet.flat(task)[0].detach())

    def __call__(self) -> Tensor:
        if not self.kept:
            return torch.zeros(())
        written = self.hypernet.flat(range(len(self.kept)))
        return self.strength * (torch.stack(self.fisher) * (written - torch.stack(self.kept)).square()).sum()

    def state_dict(self) -> dict[str, Any]:
        return {"kept": list(self.kept), "fisher": list(self.fisher)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.kept, self.fisher = list(state["kept"]), list(state["fisher"])


def by_margin(logits: Tensor, images: Tensor) -> Tensor:
    """The task whose two largest logits are farthest apart."""
    best = logits.topk(2, -1).values
    return (best[..., 0] - best[..., 1]).argmax(0)


class ByMean(nn.Module):
    """The task whose mean image is nearest: it learns one image of each task."""

    means: Tensor

    def __init__(self, tasks: int = 5) -> None:
        super().__init__()
        self.register_buffer("means", torch.full((tasks, 64), torch.inf))

    def remember(self, task: int, train: Examples) -> None:
        self.means[task] = train[:].images.flatten(1).mean(0)

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return torch.cdist(images.flatten(1), self.means[: len(logits)]).argmin(1)


def benchmark() -> hl.benchmarks.Benchmark:
    """Three tasks of the digits that are made for CL1 and CL3."""
    tasks = hl.benchmarks.split_digits(validation=0.2).tasks[:3]
    return hl.benchmarks.Benchmark("threes", tasks, scenarios=("cl1", "cl3"))
