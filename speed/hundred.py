"""A hundred tasks, for `hyperlearn run`: ten digits under as many permutations of their pixels.

PYTHONPATH=speed hyperlearn run hundred:digits hnet --evaluate 25 --results results/hundred
"""

from hyperlearn import benchmarks

TASKS = 100


def digits() -> benchmarks.Benchmark:
    """The digits of 8 x 8 pixels."""
    return benchmarks.permuted_digits(tasks=TASKS)


def mnist() -> benchmarks.Benchmark:
    """MNIST, padded to 32 x 32 pixels."""
    return benchmarks.permuted_mnist(tasks=TASKS)
