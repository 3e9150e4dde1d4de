"""From an accuracy matrix to the numbers of a table."""

from collections.abc import Sequence

from .errors import InputError

AccuracyMatrix = Sequence[Sequence[float | None]]
"""``R[i][j]``: accuracy on the test images of task j after learning task i, a fraction in [0, 1].

None where it was not measured; ``evaluate`` of `hyperlearn.spec.RunSpec` says what is.
"""


def average_accuracy(matrix: AccuracyMatrix) -> float:
    """Mean over tasks of the accuracy after the last task.

    Example:
        >>> average_accuracy([[1.0, 0.5], [0.6, 1.0]])
        0.8
    """
    _square(matrix)
    return sum(_at(matrix, -1, j) for j in range(len(matrix))) / len(matrix)


def during_accuracy(matrix: AccuracyMatrix) -> float:
    """Mean over tasks of the accuracy right after learning the task (LSTM_NET during in Table 3).

    Example:
        >>> during_accuracy([[1.0, 0.5], [0.6, 1.0]])
        1.0
    """
    _square(matrix)
    return sum(_at(matrix, i, i) for i in range(len(matrix))) / len(matrix)


def forgetting(matrix: AccuracyMatrix) -> float | None:
    r"""Mean over all tasks but the last of how far accuracy fell below its best (Chaudhry et al. 2018, equation 3).

    .. math:: \frac{1}{T-1} \sum_{j<T} \left( \max_{j \le i < T} R_{ij} - R_{Tj} \right)

    None where there is one task, and where one of these accuracies was not measured.

    Example:
        >>> forgetting([[1.0, 0.5], [0.6, 1.0]])
        0.4
    """
    _square(matrix)
    tasks = len(matrix)
    drops = []
    for j in range(tasks - 1):
        learnt = [row[j] for row in matrix[j:-1]]
        known = [value for value in learnt if value is not None]
        if len(known) < len(learnt):
            return None
        drops.append(max(known) - _at(matrix, -1, j))
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
    changes = [_at(matrix, -1, j) - _at(matrix, j, j) for j in range(len(matrix) - 1)]
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
    gains = [_at(matrix, j - 1, j) - untrained[j] for j in range(1, len(matrix))]
    return sum(gains) / len(gains) if gains else None


def _square(matrix: AccuracyMatrix) -> None:
    if not matrix or any(len(row) != len(matrix) for row in matrix):
        raise InputError("an accuracy matrix has as many columns as rows, one of each for a task")


def _at(matrix: AccuracyMatrix, i: int, j: int) -> float:
    value = matrix[i][j]
    if value is None:
        raise InputError(f"the accuracy on task {j} after learning task {i % len(matrix)} was not measured")
    return value
