"""Many trainings on Dask: on the cores of this machine, or on a cluster that runs already.

A worker writes its checkpoints and records itself, into the folder that all workers and the client share, as nodes of a
SLURM cluster do. So a record that is finished is safe whatever happens to the client, and a training whose worker died
goes on from its checkpoint on another one. Renaming is atomic there too, so that a record is whole or not there.

On SLURM, start a cluster with ``dask_jobqueue`` and give the address of its scheduler::

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(
        cores=1, processes=1, memory="8GB", walltime="24:00:00"
    )  # one training a worker
    cluster.scale(20)
    print(cluster.scheduler_address)

and hand what it prints to ``hyperlearn sweep table1 --seeds 5 --scheduler tcp://...``.
"""

import ast
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from . import benchmarks, compiling, plans, recipes, results
from .benchmarks import Benchmark
from .callbacks import Callbacks
from .catalog import Compile
from .checkpoints import checkpoint_path
from .errors import InputError
from .files import sweep_temporary
from .methods import METHODS, Config, Scenario
from .recipes import Method
from .replicas import train_replicas
from .results import Result
from .spec import RunSpec, check_benchmark, method_name, pick_device
from .trained import Trained, train

if TYPE_CHECKING:
    from distributed import Client

THREADS = 1
"""Threads of each training. More would make sums depend on their number, and with it records on that of the workers."""

MOST_SEEDS = 1000
"""Of a sweep or a run."""

CONNECT_SECONDS = 10.0
"""How long to wait for a scheduler to answer."""


@dataclass(frozen=True)
class Training:
    """One training, the unit of work of a sweep; it gives one record for each of its scenarios.

    Args:
        benchmark: a name in `BENCHMARKS`, or one of your own.
        method: a name in `METHODS`, or a configuration of your own.
        scenarios: what to measure; more than one only where one training serves them.
        seed: of initialisation and of the order of images.
        folder: where its records go.
        overrides: hyperparameters that differ from the recipe, as pairs of name and value.
    """

    benchmark: str | Benchmark
    method: Method
    scenarios: tuple[Scenario, ...]
    seed: int
    folder: Path
    overrides: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        changed = "".join(f", {name}={value}" for name, value in self.overrides)
        method, benchmark = self.names
        return f"{method} on {benchmark}, {'+'.join(self.scenarios)}, seed {self.seed}{changed}"

    @property
    def names(self) -> tuple[str, str]:
        """What records call the method and the benchmark."""
        benchmark = self.benchmark if isinstance(self.benchmark, str) else self.benchmark.name
        if isinstance(self.method, str):
            return self.method, benchmark
        return method_name(type(self.config)), benchmark

    @property
    def config(self) -> Config:
        """The recipe's configuration, with the overrides."""
        benchmark = self.benchmark if isinstance(self.benchmark, str) else self.benchmark.name
        return recipes.configure(self.method, benchmark, self.scenarios[0], **dict(self.overrides))

    def spec(self, **options: Any) -> RunSpec:
        """What it trains; ``options`` are ``device``, ``compile`` and ``evaluate`` of `RunSpec`."""
        return RunSpec(self.config, found(self.benchmark), self.scenarios, self.seed, **options)

    @property
    def records(self) -> list[Path]:
        """Where its records lie once it is done."""
        method, benchmark = self.names
        return [results.record_path(self.folder, benchmark, method, s, self.seed) for s in self.scenarios]

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoint, unless another one is named."""
        return self.folder / ".checkpoints"

    def done(self) -> bool:
        """Whether all its records are there; raises `InputError` where one is damaged or of another configuration."""
        config = self.config.record()
        for path in self.records:
            results.check_not_taken(path, config)
        return all(path.exists() for path in self.records)

    def run(self, checkpoint: Path | None = None, callbacks: Callbacks = (), **options: Any) -> Trained:
        """Train, going on from a checkpoint that is there, and write the records; ``options`` are those of `spec`.

        A checkpoint in the folder ``checkpoint`` is kept at the end; without one, it is removed.
        """
        trained = train(self.spec(**options), checkpoint or self.checkpoints, callbacks)
        self.keep(trained.results, checkpoint)
        return trained

    def keep(self, made: dict[Scenario, Result], checkpoint: Path | None) -> None:
        """Write its records, and remove its checkpoint unless that lies in a folder of its own."""
        for result in made.values():
            results.write(result, self.folder)
        if checkpoint is None:
            self.forget()

    def forget(self, checkpoint: Path | None = None) -> None:
        """Remove its checkpoint, and what a killed process may have left beside it."""
        folder = checkpoint or self.checkpoints
        method, benchmark = self.names
        file = checkpoint_path(folder, benchmark, method, self.scenarios, self.seed)
        file.unlink(missing_ok=True)
        sweep_temporary(file)


def run_together(
    trainings: Sequence[Training], checkpoint: Path | None = None, callbacks: Callbacks = (), **options: Any
) -> list[dict[Scenario, Result]]:
    """`Training.run` for several that differ in their seed alone, as one program; see `hyperlearn.replicas`."""
    first = trainings[0]
    seeds = [training.seed for training in trainings]
    made = train_replicas(first.spec(**options), seeds, checkpoint=checkpoint or first.checkpoints, callbacks=callbacks)
    for training, results_of_one in zip(trainings, made, strict=True):
        training.keep(results_of_one, checkpoint)
    return made


def found(benchmark: str | Benchmark) -> Benchmark:
    """A benchmark by its name, or itself."""
    return benchmarks.load(benchmark) if isinstance(benchmark, str) else benchmark


def trainings(
    name: str, folder: Path, seeds: int = 5, chosen: Sequence[str] = (), schedule: str | None = None
) -> list[Training]:
    """All trainings of a sweep, seed by seed, so that a sweep that was stopped has as many runs of each method.

    Records with overrides go into a folder for each value, ``FOLDER/beta/beta=0.01``, which is a results folder of its
    own: they are never taken for those of a table.

    Args:
        name: a name in `hyperlearn.plans.SWEEPS`.
        folder: the results folder.
        seeds: how many.
        chosen: benchmarks; default: those of the table, or Split MNIST.
        schedule: a name in `recipes.SCHEDULES`; records go into ``FOLDER/SCHEDULE`` in the place of
            ``FOLDER``, and the tables of full runs do not see them.

    Raises `InputError` for a name there is not, where the library has none of the sweep's benchmarks, and for one that
    has no such schedule.

    Example:
        >>> print(*trainings("table1", Path("results"), seeds=1, chosen=["split-mnist"])[8:11], sep="\\n")
        si on split-mnist, cl3, seed 0
        hnet on split-mnist, cl1+cl2+cl3, seed 0
        hnet-iwr on split-mnist, cl1+cl2+cl3, seed 0
    """
    if name not in plans.SWEEPS:
        raise InputError(f"no sweep {name!r}; there are {', '.join(plans.SWEEPS)}")
    if seeds < 1:
        raise InputError(f"a sweep needs at least one seed, got {seeds}")
    if seeds > MOST_SEEDS:
        raise InputError(f"a sweep has at most {MOST_SEEDS} seeds, got {seeds}")
    plan = plans.SWEEPS[name]()
    for benchmark in chosen:
        benchmarks.check_name(benchmark)
    used = list(dict.fromkeys(chosen)) or [b for b in plan.benchmarks if b in benchmarks.BENCHMARKS]
    if not used:
        raise InputError(
            f"{name} needs the benchmark {', '.join(plan.benchmarks)}, which this version does not have; "
            f"choose with --benchmark from {', '.join(benchmarks.BENCHMARKS)}"
        )
    folder = Path(folder, schedule or "")
    made = []
    for seed in range(seeds):
        for benchmark in used:
            for method, scenarios, overrides in plan.variants(benchmark):
                scenarios = tuple(s for s in scenarios if s in benchmarks.MADE_FOR[benchmark])
                label = ",".join(f"{key}={value}" for key, value in overrides.items())
                together = METHODS[method].learner_class.serves
                for group in [scenarios] if together else [(scenario,) for scenario in scenarios]:
                    where = folder / name / label if overrides else folder
                    changed = {**recipes.scheduled(schedule, benchmark, method), **overrides}
                    made.append(Training(benchmark, method, group, seed, where, tuple(changed.items())))
    return made


@dataclass(frozen=True)
class Cluster:
    """Where trainings run side by side.

    Args:
        workers: processes on this machine; default: one for each core, or a single one where they share a GPU.
        scheduler: the address of a Dask scheduler, in place of workers on this machine.

    Raises `InputError` for both, and for less than one worker.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise InputError("a cluster has its own workers: give either a number of workers or a scheduler")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"a sweep needs at least one worker, got {self.workers}")


def run(
    planned: Sequence[Training],
    *,
    cluster: Cluster | None = None,
    device: str = "auto",
    resume: bool = True,
    compile: Compile = "off",
    begin: Callable[[int], None] = lambda trainings: None,
    report: Callable[[Training, str | None], None] = lambda training, error: None,
) -> None:
    """Run all trainings whose records are not there yet.

    A training that fails does not stop the others. One whose worker dies starts again on another, from its checkpoint.

    Args:
        planned: for example of `trainings`.
        cluster: where; default: on this machine.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        resume: whether to go on from checkpoints; else they are removed before the start.
        compile: as in `RunSpec`.
        begin: called before the first training, with the number of those that are to be done.
        report: called after each training, with what went wrong or None.

    Raises `InputError` where something is wrong before the start, and at the end where trainings failed.
    """
    cluster = cluster or Cluster()
    workers, scheduler = cluster.workers, cluster.scheduler
    check_guarded()
    todo = [training for training in planned if not training.done()]
    if scheduler is None:  # the machines of a cluster have devices and compilers of their own
        compiling.check(compile, pick_device(device))
    for folder in {training.folder for training in todo}:
        results.check_writable(folder)
    for name in {training.benchmark for training in todo if isinstance(training.benchmark, str)}:
        benchmarks.load(name)  # so that wrong data is found here, and workers do not all download at once
    if not resume:
        for training in todo:
            training.forget()
    if not todo:
        begin(0)
        return
    from dask.system import CPU_COUNT
    from distributed import as_completed

    failed: list[str] = []
    if scheduler is None:
        workers = min(workers or (1 if pick_device(device).type == "cuda" else CPU_COUNT), len(todo))
    with _client(workers, scheduler) as client:
        begin(len(todo))
        futures = {client.submit(_work, training, device, compile, pure=False): training for training in todo}
        for future in as_completed(futures):
            error = _error(future)
            report(futures[future], error)
            if error is not None:
                failed.append(f"{futures[future]}: {error}")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(todo)} trainings failed, the records of the others are kept; {failed[0]}"
        )


_ALONE = threading.Lock()


@lru_cache(maxsize=1)
def _load(name: str) -> Benchmark:
    """The benchmark called ``name``; a worker's next training is most often on the same one."""
    return benchmarks.load(name)


def _work(training: Training, device: str, compile: Compile) -> None:
    """What a worker does with one training."""
    with _ALONE:  # random numbers are the process's, and a worker of several threads would draw them for several runs
        if not training.done():  # its first worker may have died after it had written the last record
            torch.set_num_threads(THREADS)
            if isinstance(training.benchmark, str):
                training = replace(training, benchmark=_load(training.benchmark))
            training.run(device=device, compile=compile)


def _error(future: Any) -> str | None:
    try:
        future.result()
    except InputError as error:
        return str(error)
    except (Exception, CancelledError) as error:  # a worker runs into anything: no memory, no module, no network
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


@contextmanager
def _client(workers: int | None, scheduler: str | None) -> "Iterator[Client]":
    """A client of the scheduler at an address, or of a cluster of processes on this machine."""
    from distributed import Client, LocalCluster
    from distributed.utils import silence_logging_cmgr

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(f"no Dask scheduler answers at {scheduler}; give one such as tcp://host:8786") from error
        with silence_logging_cmgr(logging.CRITICAL), client:  # a scheduler that is lost is told of in one line
            yield client
        return
    # Without limits of memory: Dask would stop a process that holds much, and a training holds what it needs.
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address="127.0.0.1:0",  # any free port: two sweeps may run beside each other
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(_ignore_interrupts)
        yield client


def _ignore_interrupts() -> None:
    """At Ctrl-C a terminal interrupts workers too, which the client ends anyway, and in order."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check_guarded() -> None:
    """Raise `InputError` where a script starts workers outside ``if __name__ == "__main__":``.

    Each worker imports the script anew, and would start workers too.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    frame = sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__") not in ("__main__", "__mp_main__"):
        frame = frame.f_back
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    if file is None or frame.f_code.co_filename != file or not Path(file).is_file():
        return  # a notebook, an interpreter, a command that is no script
    try:
        tree = ast.parse(Path(file).read_bytes())
    except SyntaxError:
        return
    guards = [n for n in tree.body if isinstance(n, ast.If) and "__name__" in ast.unparse(n.test)]
    if not any(guard.lineno <= frame.f_lineno <= (guard.end_lineno or 0) for guard in guards):
        raise InputError(
            f"{file}, line {frame.f_lineno}: workers are processes that import this script; put what starts them under "
            'if __name__ == "__main__":'
        )


def sweep(
    methods: Sequence[Method],
    chosen: Sequence[str | Benchmark],
    seeds: int = 5,
    *,
    folder: Path | str = "results",
    cluster: Cluster | None = None,
    device: str = "auto",
) -> list[Result]:
    """Train each method on each benchmark from each seed, side by side, and return all results.

    Records are in ``folder``; what is there already is not trained again, so that a sweep that was stopped goes on.

    Args:
        methods: names in `METHODS`, configurations of your own, or their classes.
        chosen: names in `BENCHMARKS`, or benchmarks of your own.
        seeds: how many; seeds 0, 1, ...
        folder: the results folder.
        cluster: where; default: a process for each core of this machine.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.

    Raises `InputError` where something is wrong before the start, and at the end where trainings failed.

    Example, in a script under ``if __name__ == "__main__":``::

        results = hl.sweep(["hnet", MyConfig(buffer=100)], [my_benchmark], seeds=3)
        hl.tables.compare(results, "cl1")
    """
    for name in chosen:
        benchmarks.check_name(name) if isinstance(name, str) else check_benchmark(name)
    planned = [
        Training(benchmark, method, group, seed, Path(folder))
        for seed in range(seeds)
        for benchmark in chosen
        for method in methods
        for group in _groups(method, benchmark)
    ]
    run(planned, cluster=cluster, device=device)
    return [results.read(path) for training in planned for path in training.records]


def _groups(method: Method, benchmark: str | Benchmark) -> list[tuple[Scenario, ...]]:
    """The scenarios of a benchmark, those together that one training of ``method`` serves; no image is read."""
    if isinstance(benchmark, str):
        name, made_for = benchmark, benchmarks.MADE_FOR.get(benchmark, ())
    else:
        name, made_for = benchmark.name, benchmark.scenarios
    served = recipes.configure(method, name).learner_class.serves
    if served:
        return [tuple(scenario for scenario in served if scenario in made_for)]
    return [(scenario,) for scenario in made_for]
