"""How long a step takes: each method beside plain training, and each regularizer against the number of old tasks.

    python speed/bench.py [methods] [parts] [tasks] [cifar] [runs] [seeds] [workers] [--rounds N] [--results DIR]
    python speed/bench.py reference --reference PATH

The second one times HNET beside the implementation of its authors, of which PATH is a copy
(https://github.com/chrhenning/hypercl).

All figures of a table are measured in one process, in turns: a round measures every contender once, so that what else
the machine does hits all of them alike. A figure is the median over rounds, a ratio that of each round's ratios.
Absolute times of a processor that others use mean little; the ratios are the result.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import hyperlearn as hl
from hyperlearn import sweeps
from hyperlearn.data import Examples
from hyperlearn.files import write_atomically
from hyperlearn.hypernets import EmbeddingHypernet, SharedHead
from hyperlearn.methods import METHODS, Config, HNETConfig, Learner
from hyperlearn.processor import flush_denormals, keep_freed_memory
from hyperlearn.provenance import commit, environment
from hyperlearn.recipes import configure
from hyperlearn.remembered import writes_by_one_head
from hyperlearn.replicas import train_replicas
from hyperlearn.spec import RunSpec, pick_device
from hyperlearn.sweeps import Cluster, Training
from hyperlearn.trained import train as train_alone
from hyperlearn.training import clock, fit_task

STEPS = 10
"""Steps in a turn."""

BASE = "finetune"
"""Plain training of the target network with Adam: what no method can do without."""


def images(classes: int, shape: tuple[int, ...] = (28, 28), n: int = 2000) -> Examples:
    """Noise of the shape and type of MNIST: how long a step takes does not depend on what is in the images."""
    generator = torch.Generator().manual_seed(0)
    return Examples(
        torch.randint(256, (n, *shape), generator=generator, dtype=torch.uint8),
        torch.randint(classes, (n,), generator=generator),
        torch.zeros(n, dtype=torch.int64),
    )


WORLDS: dict[str, dict[str, Any]] = {
    "split-mnist": {"classes": 2},
    "cifar-10-100": {"classes": 10, "shape": (3, 32, 32), "n": 200},
}
"""What the noise of each benchmark looks like, and how much of it stands for the images of a task."""


class Contender:
    """A method in the middle of a task, ready to take steps."""

    def __init__(
        self,
        method: str,
        device: torch.device,
        learned: int = 2,
        tasks: int = 5,
        world: str = "split-mnist",
        steps: int | None = None,
        **changed: Any,
    ) -> None:
        torch.manual_seed(0)
        config = configure(method, world, **changed)
        data, names = images(**WORLDS[world]).to(device), tuple(map(str, range(WORLDS[world]["classes"])))
        benchmark_tasks = tuple(
            hl.benchmarks.Task(data, data, data, names) for _ in range(tasks)
        )  # all tasks share the images: memory is what the method adds
        benchmark = hl.benchmarks.Benchmark("noise", benchmark_tasks)
        self.learner: Learner = config.learner_class(config, config.setting(benchmark, "cl1")).to(device)
        self.data, self.batch, self.device, self.steps = data, config.batch_size, device, steps or STEPS
        for task in range(learned):
            self.learner.begin_task(task)
            self.learner.end_task(task, data)
        self.learner.begin_task(learned)
        self.optimizer = torch.optim.Adam(self.learner.trainable(), lr=config.learning_rate, fused=True)

    def turn(self) -> float:
        """Seconds for one step, mean over a turn."""
        order = torch.randint(len(self.data), (self.steps, self.batch), device=self.device)
        started = clock(self.device)
        with flush_denormals():
            fit_task(self.learner, self.optimizer, self.data, order)
        return (clock(self.device) - started) / self.steps


def seconds_of(work: Callable[[], None], device: torch.device) -> float:
    """Seconds that ``work`` takes, mean over as many calls as a turn has steps."""
    started = clock(device)
    for _ in range(STEPS):
        work()
    return (clock(device) - started) / STEPS


def in_turns(contenders: dict[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """A figure of each contender for each round, after one round that does not count."""
    for turn in contenders.values():
        turn()
    figures: dict[Any, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, turn in contenders.items():
            figures[name].append(turn())
    return figures


def against(base: Sequence[float], figures: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return median(figure / floor for figure, floor in zip(figures, base, strict=True))


def bench_methods(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """A step of each method on Split MNIST in its third task, beside plain training."""
    contenders = {method: Contender(method, device).turn for method in METHODS if method not in ("scratch", "joint")}
    figures = in_turns(contenders, rounds)
    return [
        {"method": method, "ms": 1e3 * median(times), "ratio": against(figures[BASE], times)}
        for method, times in figures.items()
    ]


def bench_parts(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """What a hypernetwork's step takes more than plain training, part by part, and three floors under the parts.

    A part is the difference of two steps that differ in it alone, in the same round. The first floor is reading and
    writing the hypernetwork's weights once, the least that an operation on all of them takes. The second is the forward
    and backward pass of all features, those of the present task and those of the old ones, one after the other. The
    third is all operations of the parts with next to nothing to compute: they write a target of four units a layer in
    as many chunks, and what plain training of this one takes is taken off.
    """
    rows = []
    small: dict[str, Any] = {"target": "mlp-4-4"}
    small_numel = hl.count(hl.nets.parse(small["target"])((28, 28), 2))
    for method in ("hnet", "lstm-net"):
        ahead, here = Contender(method, device), Contender(method, device, lookahead=False)
        hypernet: Any = ahead.learner.hypernet
        assert writes_by_one_head(hypernet)
        weights = [parameter.detach().clone() for parameter in ahead.learner.parameters()]
        copies = [weight.clone() for weight in weights]

        def copy(weights: list[torch.Tensor] = weights, copies: list[torch.Tensor] = copies) -> None:
            torch._foreach_copy_(copies, weights)

        def features(hypernet: SharedHead = hypernet, old: int = ahead.learner.learned) -> None:
            for embeddings in (hypernet.task_embeddings[old:][:1], hypernet.task_embeddings[:old].detach()):
                hypernet.features(embeddings).sum().backward()

        chunks = hypernet.features(hypernet.task_embeddings[:1]).shape[1]
        started = Contender(method, device, chunk_size=-(-small_numel // chunks), **small)
        base_started = Contender(BASE, device, **small)
        steps = {
            "plain": Contender(BASE, device).turn,
            "writing": Contender(method, device, learned=0).turn,
            "penalty": here.turn,
            "lookahead": ahead.turn,
        }

        def few_numbers(started: Contender = started, base: Contender = base_started) -> float:
            return started.turn() - base.turn()

        floors: dict[str, Callable[[], float]] = {
            "one copy of the weights": partial(seconds_of, copy, device),
            "features of all tasks": partial(seconds_of, features, device),
            "all operations, on few numbers": few_numbers,
        }
        figures = in_turns(steps | floors, rounds)
        added = dict(figures)
        for before, after in pairwise(steps):
            added[after] = [now - then for now, then in zip(figures[after], figures[before], strict=True)]
        rows += [
            {
                "method": method,
                "part": part,
                "ms": 1e3 * median(times),
                "ratio_to_plain": against(figures["plain"], times),
            }
            for part, times in added.items()
        ]
    return rows


REGULARIZERS: dict[str, dict[str, Any]] = {
    "hnet, Gram": {"method": "hnet", "regularizer_form": "gram"},
    "hnet, direct": {"method": "hnet", "regularizer_form": "direct"},
    "hnet-iwr, sampled": {"method": "hnet-iwr", "exact": False},
    "hnet-iwr, exact": {"method": "hnet-iwr", "exact": True},
    "lstm-net, sampled": {"method": "lstm-net"},
    "lstm-net, Gram": {"method": "lstm-net", "regularizer_form": "gram"},
    "lstm-net, direct": {"method": "lstm-net", "regularizer_form": "direct"},
    "lstm-net-iwr, sampled": {"method": "lstm-net-iwr", "exact": False},
    "lstm-net-grow": {"method": "lstm-net-grow"},
}
SLOW = {"hnet, direct", "hnet-iwr, exact", "lstm-net, direct"}
"""What grows with the number of tasks; measured up to `SLOW_UP_TO` old tasks where there is no GPU."""
SLOW_UP_TO = 20
OLD_TASKS = (1, 2, 5, 10, 20, 50, 100)


def bench_tasks(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """A step against the number of old tasks, and the values that are kept for them."""
    rows = []
    for name, changed in REGULARIZERS.items():
        counts = [n for n in OLD_TASKS if name not in SLOW or n <= SLOW_UP_TO or device.type == "cuda"]
        made = {n: Contender(learned=n, tasks=n + 1, device=device, **changed) for n in counts}
        figures = in_turns({n: contender.turn for n, contender in made.items()}, rounds)
        rows += [
            {
                "regularizer": name,
                "old_tasks": n,
                "ms": 1e3 * median(figures[n]),
                "ratio_to_2": against(figures[2], figures[n]),
                "kept_values": kept(made[n].learner),
            }
            for n in counts
        ]
        del made
        gc.collect()
    return rows


COMPARED = ("lstm-net, direct", "lstm-net, Gram", "lstm-net-iwr, sampled", "lstm-net-grow")
"""Regularization and growth, whose hours on CIFAR-10/100 the paper compares (section 4.2.4)."""
CIFAR_STEPS = 2
"""Steps in a turn with a ResNet-32, whose step takes dozens of times as long as one of Split MNIST's network."""


def bench_cifar(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """A step of ResNet-32 behind LSTM_NET against the number of old tasks, regularized and grown."""
    shared: dict[str, Any] = {"device": device, "world": "cifar-10-100", "steps": CIFAR_STEPS, "tasks": 6}
    made = {
        (name, old): Contender(learned=old, **shared, **REGULARIZERS[name]) for name in COMPARED for old in range(6)
    }
    figures = in_turns({key: contender.turn for key, contender in made.items()}, rounds)
    return [
        {
            "regularizer": name,
            "old_tasks": old,
            "ms": 1e3 * median(times),
            "ratio_to_growth": against(figures["lstm-net-grow", old], times),
            "kept_values": kept(made[name, old].learner),
        }
        for (name, old), times in figures.items()
    ]


def kept(learner: Learner) -> int:
    """Values that are in memory for old tasks: what a regularizer remembers, and weights that are frozen."""
    regularizer = getattr(learner, "regularizer", None)
    frozen = sum(p.numel() for p in learner.parameters() if not p.requires_grad)
    if regularizer is None:
        return frozen
    hypernet = learner.hypernet
    assert isinstance(hypernet, EmbeddingHypernet)
    remembered = sum(tensor.numel() for tensor in regularizer.memory.tensors.values())
    return remembered + sum(f.numel() for f in getattr(regularizer, "fisher", []))


OVER_TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    method: (method, {}) for method in (BASE, "ewc", "online-ewc", "si", "hnet", "lstm-net")
} | {f"{method}, without the step ahead": (method, {"lookahead": False}) for method in ("hnet", "lstm-net")}
"""What is trained on all five tasks; hypernetworks with and without the penalty's step ahead."""


def bench_runs(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Training of all five tasks of Split MNIST by few steps each, and one CL3 evaluation of 10,000 images, apart."""
    rows = []
    for method in ("hnet", "lstm-net", "lstm-net-grow"):
        contender = Contender(method, device, learned=5, tasks=6)
        test = images(2, n=2000).to(device)

        def evaluate(contender: Contender = contender, test: Examples = test) -> float:
            started = clock(device)
            for task in range(5):
                hl.evaluation.accuracy(contender.learner, test, "cl3", task)
            return clock(device) - started

        figures = in_turns({method: evaluate}, rounds)
        rows.append({"method": method, "images": 10_000, "tasks": 5, "cl3_seconds": median(figures[method])})
    for name, (method, changed) in OVER_TASKS.items():
        made = {task: Contender(method, device, learned=task, **changed) for task in range(5)}
        base = {task: Contender(BASE, device, learned=task) for task in range(5)}
        turns = {("base", t): c.turn for t, c in base.items()} | {("own", t): c.turn for t, c in made.items()}
        figures = in_turns(turns, rounds)
        floor = [sum(figures["base", t][r] for t in range(5)) for r in range(rounds)]
        own = [sum(figures["own", t][r] for t in range(5)) for r in range(rounds)]
        rows.append({"method": name, "ms_averaged_over_tasks": 200 * median(own), "ratio": against(floor, own)})
    return rows


SEEDS = 5
"""Trained as one program, beside one alone."""


def bench_seeds(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Training of five tasks of Split MNIST by few steps each: one seed alone, and several as one program."""
    data = images(2)
    benchmark = hl.benchmarks.Benchmark("noise", (hl.benchmarks.Task(data, data, data, ("0", "1")),) * 5)
    rows = []
    for method in (BASE, "hnet", "lstm-net", "lstm-net-grow"):
        config = configure(method, "split-mnist", iterations=STEPS)

        def train(seeds: int, method: str = method, config: Config = config) -> float:
            made = train_replicas(RunSpec(config, benchmark, ("cl1",), device=device.type), range(seeds))
            return sum(sum(one["cl1"].seconds.train) for one in made)

        def alone(method: str = method, config: Config = config) -> float:
            return sum(train_alone(RunSpec(config, benchmark, ("cl1",), device=device.type)).result.seconds.train)

        figures = in_turns({1: alone, SEEDS: partial(train, SEEDS)}, rounds)
        rows += [
            {
                "method": method,
                "seeds": n,
                "ms_a_step": 200 * median(times) / STEPS,
                "ratio": against(figures[1], times),
            }
            for n, times in figures.items()
        ]
    return rows


TRAININGS = 8
"""Of a sweep whose throughput is measured."""


def bench_workers(device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """Trainings a minute of a sweep with one and with two workers, once the workers have started."""

    def trainings_a_minute(workers: int) -> float:
        ends: list[float] = []
        with TemporaryDirectory() as folder:
            planned = [
                Training("split-digits", "hnet", ("cl1",), seed, Path(folder), (("iterations", 200),))
                for seed in range(TRAININGS)
            ]
            sweeps.run(
                planned,
                cluster=Cluster(workers),
                device=device.type,
                report=lambda *_: ends.append(time.perf_counter()),
            )
        # A worker's first training begins with the import of PyTorch; it does not count.
        return 60 * (TRAININGS - workers) / (ends[-1] - ends[workers - 1])

    figures = {n: [trainings_a_minute(n) for _ in range(rounds)] for n in (1, 2)}
    return [
        {"workers": n, "trainings_a_minute": median(rates), "ratio": against(figures[1], rates)}
        for n, rates in figures.items()
    ]


def bench_reference(folder: Path, device: torch.device, rounds: int) -> list[dict[str, Any]]:
    """A step of HNET on Split MNIST for each number of old tasks: plain training, ours, and the reference's."""
    from reference import Reference  # beside this file, which is no package

    config = configure("hnet", "split-mnist")
    assert isinstance(config, HNETConfig)
    data = images(2).to(device)
    turns: dict[tuple[str, int], Callable[[], float]] = {}
    for old in range(5):
        theirs = Reference(folder, config, data, device, learned=old, tasks=5)
        turns[BASE, old] = Contender(BASE, device, learned=old).turn
        turns["hnet", old] = Contender("hnet", device, learned=old).turn
        turns["reference", old] = lambda theirs=theirs: theirs.turn(STEPS)  # type: ignore[misc]
    figures = in_turns(turns, rounds)
    rows = [
        {"step": name, "old_tasks": str(old), "ms": 1e3 * median(times), "ratio": against(figures["hnet", old], times)}
        for (name, old), times in figures.items()
    ]
    for name in (BASE, "hnet", "reference"):
        every = [list(map(sum, zip(*(figures[each, old] for old in range(5)), strict=True))) for each in (name, "hnet")]
        row = {"step": name, "old_tasks": "0 to 4", "ms": 200 * median(every[0]), "ratio": against(every[1], every[0])}
        rows.append(row)
    return rows


TABLES: dict[str, Callable[[torch.device, int], list[dict[str, Any]]]] = {
    "methods": bench_methods,
    "parts": bench_parts,
    "tasks": bench_tasks,
    "cifar": bench_cifar,
    "runs": bench_runs,
    "seeds": bench_seeds,
    "workers": bench_workers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tables",
        nargs="*",
        choices=[*TABLES, "reference", []],
        help=f"of {', '.join(TABLES)}; default: all, and reference where --reference is given",
    )
    parser.add_argument("--reference", type=Path, metavar="PATH", help="a copy of the reference implementation")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--results", type=Path, default=Path("results"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    keep_freed_memory()  # as a training does
    where = environment(device)
    tables = dict(TABLES)
    if options.reference:
        tables["reference"] = partial(bench_reference, options.reference)
    elif "reference" in options.tables:
        parser.error("the table reference needs --reference PATH, a copy of the reference implementation")
    for name in options.tables or tables:
        rows = tables[name](device, options.rounds)
        path = options.results / "bench" / device.type / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"rounds": options.rounds, "steps": STEPS, "environment": where, "commit": commit(), "rows": rows}
        write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
        for columns in dict.fromkeys(tuple(row) for row in rows):
            shown = Table(title=f"{name}: {where['processor']}, {where['gpu']}, {where['threads']} threads")
            for column in columns:
                shown.add_column(column, justify="right")
            for row in rows:
                if tuple(row) == columns:
                    shown.add_row(*(f"{v:.2f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v
                                    for v in row.values()))  # fmt: skip
            Console().print(shown)
        print(path)


if __name__ == "__main__":
    main()
