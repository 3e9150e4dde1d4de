"""From predictions to the numbers of a table. This is the only place where test images are read."""

from collections.abc import Sequence

import torch

from .data import Examples
from .errors import InputError
from .inference import evaluating
from .methods import Learner, Scenario

AccuracyMatrix = Sequence[Sequence[float]]
"""``R[i][j]``: accuracy on the test images of task j after learning task i, a fraction in [0, 1]."""


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

    Each image is asked for once. The accuracies are in the order of ``scenarios``.
    """
    given = task if "cl1" in scenarios else None
    device = next(learner.parameters()).device
    right = torch.zeros(len(scenarios), device=device)
    found = torch.zeros((), device=device)
    inferred = given is None
    with evaluating(learner):
        for batch in examples.batches(_batch_size(learner, examples)):
            images, labels = batch.images.to(device), batch.labels.to(device)
            predicted = learner.predict(images, given, scenarios[0])
            label_right, task_right = predicted.labels == labels, predicted.tasks == task
            counts = [label_right & task_right if scenario == "cl3" else label_right for scenario in scenarios]
            right += torch.stack(counts).sum(1)
            found += task_right.sum()
            inferred = inferred and not bool((predicted.tasks == -1).any())
    n = len(examples)
    return [count / n for count in right.tolist()], found.item() / n if inferred else None


def _batch_size(learner: Learner, examples: Examples) -> int:
    """As many images as keep the activations of all tasks' networks together within some hundred megabytes."""
    return max(1, 2**24 // (examples.images[0].numel() * learner.setting.tasks))


def average_accuracy(matrix: AccuracyMatrix) -> float:
    """Mean over tasks of the accuracy after the last task.

    Example:
        >>> average_accuracy([[1.0, 0.5], [0.6, 1.0]])
        0.8
    """
    _square(matrix)
    return sum(matrix[-1]) / len(matrix)


def during_accuracy(matrix: AccuracyMatrix) -> float:
    """Mean over tasks of the accuracy right after learning the task (LSTM_NET during in Table 3).

    Example:
        >>> during_accuracy([[1.0, 0.5], [0.6, 1.0]])
        1.0
    """
    _square(matrix)
    return sum(row[i] for i, row in enumerate(matrix)) / len(matrix)


def forgetting(matrix: AccuracyMatrix) -> float | None:
    r"""Mean over all tasks but the last of how far accuracy fell below its best (Chaudhry et al. 2018, equation 3).

    .. math:: \frac{1}{T-1} \sum_{j<T} \left( \max_{j \le i < T} R_{ij} - R_{Tj} \right)

    None where there is one task.

    Example:
        >>> forgetting([[1.0, 0.5], [0.6, 1.0]])
        0.4
    """
    _square(matrix)
    tasks = len(matrix)
    drops = [max(matrix[i][j] for i in range(j, tasks - 1)) - matrix[-1][j] for j in range(tasks - 1)]
    return sum(drops) / len(drops) if drops else None


def backward_transfer(matrix: AccuracyMatrix) -> float | None:
    r"""Mean change of a task's accuracy from right after learning it to the end; negative where the method forgets.

    .. math:: \frac{1}{T-1} \sum_{j<T} R_{Tj} - R_{jj}

    (Lopez-Paz & Ranzato 2017, section 2.) None where there is one task.

    Example:
        >>> backward_transfer([[1.0, 0.5], [0.6, 1.0]])
        -0.4
    """
    _square(matrix)
    changes = [matrix[-1][j] - matrix[j][j] for j in range(len(matrix) - 1)]
    return sum(changes) / len(changes) if changes else None


def forward_transfer(matrix: AccuracyMatrix, untrained: Sequence[float]) -> float | None:
    r"""Mean accuracy on a task before it is learnt, above that of the untrained learner.

    .. math:: \frac{1}{T-1} \sum_{j>1} R_{j-1,j} - b_j

    (Lopez-Paz & Ranzato 2017, section 2.) None where there is one task.

    Args:
        matrix: accuracies ``[T][T]``.
        untrained: accuracy :math:`b_j` of the learner on each task before any training, ``[T]``.

    Raises:
        InputError: the matrix is not square, or ``untrained`` has another length.

    Example:
        >>> forward_transfer([[1.0, 0.5], [0.6, 1.0]], untrained=[0.5, 0.25])
        0.25
    """
    _square(matrix)
    if len(untrained) != len(matrix):
        raise InputError(f"{len(untrained)} accuracies before training, but {len(matrix)} tasks")
    gains = [matrix[j - 1][j] - untrained[j] for j in range(1, len(matrix))]
    return sum(gains) / len(gains) if gains else None


def _square(matrix: AccuracyMatrix) -> None:
    if not matrix or any(len(row) != len(matrix) for row in matrix):
        raise InputError("an accuracy matrix has as many columns as rows, one of each for a task")
