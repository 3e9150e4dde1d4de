"""Student's t: how far from the mean of a few runs the true mean may lie, and Holm's correction for several tests."""

from collections.abc import Sequence

CONFIDENCE = 0.95

T_975 = (
    12.706204736174694,
    4.302652729749462,
    3.1824463052837078,
    2.7764451051977934,
    2.5705818356363146,
    2.4469118511449786,
    2.364624251592784,
    2.306004135204166,
    2.262157162798205,
    2.228138851986274,
)
"""t(.975, degrees of freedom) for 1, 2, ...: written down, because SciPy takes a third of a second to load."""


def around(mean: float | None, std: float | None, n: int) -> tuple[float, float] | None:
    """The confidence interval of a mean; None where there is no mean, or a single value and so no deviation.

    Example:
        >>> around(10.0, 0.0, 3), around(10.0, None, 1)
        ((10.0, 10.0), None)
    """
    if mean is None or std is None:
        return None
    half = half_width(std, n)
    return mean - half, mean + half


def half_width(std: float, n: int) -> float:
    """Half the width of the confidence interval of a mean: ``t(.975, n - 1) std / sqrt(n)`` (Student, 1908).

    Args:
        std: sample standard deviation of the n values; the result has its unit.
        n: at least 2.

    Example:
        >>> round(half_width(1.0, 5), 3)
        1.242
    """
    return t_975(n - 1) * std / n**0.5


def t_975(freedom: int) -> float:
    """The value that Student's t stays below with a probability of .975, with so many degrees of freedom, at least 1.

    Example:
        >>> round(t_975(4), 3), round(t_975(1000), 3)
        (2.776, 1.962)
    """
    if 1 <= freedom <= len(T_975):
        return T_975[freedom - 1]
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def p_value(mean: float, std: float, n: int) -> float:
    """Probability of a sample mean as far from 0 as this one, on either side, if the true mean is 0 (Student's t test).

    Args:
        mean, std: of the n values, for a paired test of the differences.
        n: at least 2.

    Example:
        >>> round(p_value(1.0, 1.0, 5), 3)
        0.089
    """
    from scipy.special import stdtr

    if not std:
        return 0.0 if mean else 1.0
    return 2 * float(stdtr(n - 1, -abs(mean) / (std / n**0.5)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for being several, in the order given (Holm, 1979).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than one before it, or
    larger than 1. Who rejects where a corrected value is below .05 rejects a true hypothesis in at most one of twenty
    such families.

    Example:
        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    corrected = [1.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda place: p_values[place])):
        largest = min(1.0, max(largest, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
