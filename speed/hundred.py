"""A hundred tasks, for `hyperlearn run`: ten digits under as many permutations of their pixels.

    PYTHONPATH=speed hyperlearn run hundred:digits hnet --evaluate 25 --results results/hundred
    PYTHONPATH=speed hyperlearn run hundred:mnist hnet --target mlp-400-400 --chunk-size none --iterations 1000 \\
        --evaluate 25 --results results/hundred

Nothing is searched for so many tasks.
"""

from dataclasses import replace

from hyperlearn import benchmarks

TASKS = 100
TESTED = 1000
"""Test images of each task of MNIST: all of them under all networks would take longer than the training."""


def digits() -> benchmarks.Benchmark:
    """The digits of 8 x 8 pixels."""
    return benchmarks.permuted_digits(tasks=TASKS)


def mnist() -> benchmarks.Benchmark:
    """MNIST, padded to 32 x 32 pixels; a tenth of the test images."""
    whole = benchmarks.permuted_mnist(tasks=TASKS)
    tasks = tuple(replace(task, test=task.test.take(slice(TESTED))) for task in whole.tasks)
    return replace(whole, tasks=tasks, changes=(*whole.changes, f"the first {TESTED} test images of each task"))
