"""What tasks are learnt and measured by: classes by cross-entropy and accuracy, targets of regression by others."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import cross_entropy, l1_loss, mse_loss

from .errors import InputError

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs ``[B, K]``, and labels ``[B]`` of classes or targets ``[B, K]``, to a scalar: the mean over the batch."""


@dataclass(frozen=True)
class Metric:
    """How far a network's outputs are from their targets.

    Args:
        name: what records call it.
        of: outputs ``[B, K]`` and targets ``[B, K]`` to one value for each example, ``[B]``; the mean is reported.
        lower_is_better: whether a small value is a good one.
    """

    name: str
    of: Callable[[Tensor, Tensor], Tensor]
    lower_is_better: bool = True


def _no_outputs(outputs: Tensor, labels: Tensor) -> Tensor:
    raise InputError("accuracy is counted from labels and not from outputs")


ACCURACY = Metric("accuracy", _no_outputs, lower_is_better=False)
"""The fraction of right labels, which `hyperlearn.evaluation` counts: what is right depends on the scenario."""

LOSSES: dict[str, Loss] = {"cross-entropy": cross_entropy, "mse": mse_loss, "mae": l1_loss}
"""The losses that have a name."""

METRICS = {
    "accuracy": ACCURACY,
    "mse": Metric("mse", lambda outputs, targets: (outputs - targets).square().mean(1)),
    "mae": Metric("mae", lambda outputs, targets: (outputs - targets).abs().mean(1)),
}
"""The metrics that have a name: accuracy, mean squared error, mean absolute error."""


@dataclass(frozen=True)
class Objective:
    """A loss and a metric.

    Args:
        loss_name: what records call the loss.
        loss: what a task is learnt by.
        metric: what is measured.
    """

    loss_name: str = "cross-entropy"
    loss: Loss = cross_entropy
    metric: Metric = ACCURACY

    @property
    def classes(self) -> bool:
        """Whether outputs are logits of classes; else they are compared with targets."""
        return self.metric == ACCURACY

    def answers(self, outputs: Tensor) -> Tensor:
        """What outputs ``[B, K]`` say: the label of the largest, ``[B]``; without classes, the outputs themselves."""
        return outputs.argmax(1) if self.classes else outputs

    def check_classes(self, what: str) -> None:
        """Raise `InputError` where there are none, for ``what`` needs them."""
        if not self.classes:
            raise InputError(f"{what} needs classes, and these tasks have targets of regression")


CLASSIFICATION = Objective()
"""Cross-entropy and accuracy."""


def objective(where: str, loss: str | Loss | None, metric: str | Metric | None, classes: bool) -> Objective:
    """The objective of a benchmark that is called ``where`` in errors, with or without ``classes``.

    Default: cross-entropy and accuracy for classes, the mean squared error for targets.

    Example:
        >>> objective("mine", "mae", None, classes=False).metric.name
        'mse'
    """
    loss = loss or ("cross-entropy" if classes else "mse")
    metric = metric or ("accuracy" if classes else "mse")
    for what, named, known in (("loss", loss, LOSSES), ("metric", metric, METRICS)):
        if isinstance(named, str) and named not in known:
            raise InputError(f"{where}: no {what} {named!r}; there are {', '.join(known)}, or give your own")
    measured = METRICS[metric] if isinstance(metric, str) else metric
    if (measured == ACCURACY) != classes or (loss == "cross-entropy") > classes:
        raise InputError(
            f"{where}: "
            + (
                "tasks with classes are measured by accuracy"
                if classes
                else "targets have no cross-entropy, no accuracy"
            )
        )
    if isinstance(loss, str):
        return Objective(loss, LOSSES[loss], measured)
    return Objective(f"{loss.__module__}.{getattr(loss, '__qualname__', type(loss).__qualname__)}", loss, measured)
