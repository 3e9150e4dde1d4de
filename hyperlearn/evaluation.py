"""From predictions to accuracies. This is the only place where test images are read."""

from collections.abc import Sequence
from math import prod

import torch

from .data import Examples
from .inference import evaluating
from .methods import Learner, Scenario
from .metrics import average_accuracy, backward_transfer, during_accuracy, forgetting, forward_transfer
from .objectives import ACCURACY

__all__ = [
    "accuracies",
    "accuracy",
    "average_accuracy",
    "backward_transfer",
    "during_accuracy",
    "forgetting",
    "forward_transfer",
]


def accuracy(learner: Learner, examples: Examples, scenario: Scenario, task: int) -> tuple[float, float | None]:
    """Accuracy on the images of one task, and the fraction of them whose task was inferred rightly.

    A prediction is right in CL1 and CL2 when the label within the task is right, in CL3 when the task is right too.
    The second value is None where no task was inferred: in CL1, and in CL2 for networks that need no task.
    """
    (right,), inferred = accuracies(learner, examples, [scenario], task)
    return right, inferred


@torch.no_grad()
def accuracies(
    learner: Learner, examples: Examples, scenarios: Sequence[Scenario], task: int
) -> tuple[list[float], float | None]:
    """`accuracy` in several scenarios at once, where the learner predicts the same in all: CL1 alone, or CL2 and CL3.

    Each image is asked for once. The accuracies are in the order of ``scenarios``. Without classes, they are means of
    the benchmark's metric.
    """
    metric = learner.setting.objective.metric
    given = task if "cl1" in scenarios else None
    device = next(learner.parameters()).device
    right = torch.zeros(len(scenarios), device=device)
    found = torch.zeros((), device=device)
    inferred = given is None
    with evaluating(learner):
        for batch in examples.batches(at_once(learner)):
            images, labels = batch.images.to(device), batch.labels.to(device)
            predicted = learner.predict(images, given, scenarios[0])
            task_right = predicted.tasks == task
            if metric == ACCURACY:
                label_right = predicted.labels == labels
                each = [label_right & task_right if scenario == "cl3" else label_right for scenario in scenarios]
            else:
                each = [metric.of(predicted.labels, labels)] * len(scenarios)
            right += torch.stack(each).sum(1)
            found += task_right.sum()
            inferred = inferred and not bool((predicted.tasks == -1).any())
    n = len(examples)
    return [count / n for count in right.tolist()], found.item() / n if inferred else None


def at_once(learner: Learner) -> int:
    """As many images as keep the activations of all tasks' networks together within some hundred megabytes."""
    return max(1, 2**24 // (max(1, prod(learner.setting.image_shape)) * learner.setting.tasks))
