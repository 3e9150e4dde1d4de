"""Sweeps: what they are made of, and that every record arrives, once, whatever happens to a worker."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from narrowing import narrow
from scipy import stats

import hyperlearn as hl
from hyperlearn import cli, results, sweeps
from hyperlearn.methods import METHODS, SCENARIOS
from hyperlearn.sweeps import Cluster, Training

SHORT = (("iterations", 20), ("target", "mlp-10"))


def planned(folder: Path) -> list[Training]:
    """Two methods, one of which serves all scenarios at once; three seeds: six trainings, twelve records."""
    own = (("chunk_size", 100), ("hidden_size", 4))
    return [
        training
        for seed in range(3)
        for training in (
            Training("split-digits", "lstm-net", SCENARIOS, seed, folder, SHORT + own),
            Training("split-digits", "finetune", ("cl1",), seed, folder, SHORT),
        )
    ]


def measured(folder: Path) -> dict[str, Any]:
    return {path.name: vars(results.read(path)) | {"seconds": None} for path in folder.glob("*/*.json")}


def check(folder: Path, expected: dict[str, Any]) -> None:
    assert measured(folder) == expected
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == len(expected)  # no checkpoint is left, and nothing half written


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one worker makes, beside a training that fails, which does not stop it."""
    folder = tmp_path_factory.mktemp("one")
    bad = Training("split-digits", "finetune", ("cl2",), 0, folder, (*SHORT, ("learning_rate", 1e38)))
    with pytest.raises(hl.InputError, match=r"1 of 7 trainings failed.*kept; finetune .*cl2.* became NaN or infinite"):
        sweeps.run([bad, *planned(folder)], cluster=Cluster(1))
    found = measured(folder)
    assert len(found) == 12
    assert not bad.done()
    return found


def test_trainings_are_taken_up_in_the_order_they_are_given(tmp_path: Path) -> None:
    """So that a sweep that was stopped has as many runs of each method."""
    methods = ("joint", "finetune", "scratch", "ewc", "si") * 2
    some = [
        Training("split-digits", method, ("cl1",), seed, tmp_path, (("iterations", 1), ("target", "mlp-10")))
        for seed, method in enumerate(methods)
    ]
    done: list[Training] = []
    sweeps.run(some, cluster=Cluster(1), report=lambda training, error: done.append(training))
    assert done == some


def test_a_killed_worker_loses_nothing_and_two_workers_give_the_records_of_one(
    one_worker: dict[str, Any], tmp_path: Path
) -> None:
    from distributed import default_client

    killed: list[int] = []
    reported: list[str] = []

    def report(training: Training, error: str | None) -> None:
        assert error is None
        reported.append(str(training))
        if not killed:  # the first training has ended: kill a worker that is at another one
            client = default_client()
            assert len(client.ncores()) == 2
            busy = next(worker for worker, tasks in client.processing().items() if tasks)
            killed.append(client.run(os.getpid, workers=[busy])[busy])
            os.kill(killed[0], signal.SIGKILL)

    trainings = planned(tmp_path)
    sweeps.run(trainings, cluster=Cluster(2), report=report)
    assert killed
    assert sorted(reported) == sorted(map(str, trainings))
    check(tmp_path, one_worker)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler with one worker, each a process of its own as on a cluster."""
    started = []

    def start(*arguments: str, until: str) -> str:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stderr
        return next(line for line in process.stderr if until in line)

    local = ("--host", "127.0.0.1", "--no-dashboard")
    address = start("distributed.cli.dask_scheduler", "--port", "0", *local, until="Scheduler at:").split()[-1]
    # Two threads: its trainings have to take turns all the same.
    start("distributed.cli.dask_worker", address, "--nthreads", "2", *local, until="Registered to:")
    yield address
    for process in reversed(started):
        process.terminate()
        process.communicate()


def test_a_clusters_machines_have_their_own_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client without a GPU may ask for one there: it gets as far as looking for the scheduler."""
    monkeypatch.setattr(sweeps, "CONNECT_SECONDS", 0.1)
    with pytest.raises(hl.InputError, match="no Dask scheduler answers"):
        sweeps.run(planned(tmp_path), cluster=Cluster(scheduler="tcp://127.0.0.1:9"), device="cuda")


def test_a_sweep_on_a_cluster_that_runs_already(
    scheduler: str,
    one_worker: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sweeps, "trainings", lambda name, folder, *_: planned(folder))
    command = ["sweep", "beta", "--scheduler", scheduler, "--results", str(tmp_path / "results")]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "6 trainings, 0 of them with records already" in out
    assert "6 of 6 done" in out
    assert "about 0:00:00 left" in out
    check(tmp_path / "results", one_worker)
    monkeypatch.setattr(sweeps, "_client", lambda *_: pytest.fail("nothing is left to do"))
    assert cli.main(command) == 0
    assert "6 trainings, 6 of them with records already" in capsys.readouterr().out


INTERRUPTED = """
import os, signal, sys
from hyperlearn import cli, sweeps
from test_sweep import planned

def interrupt(training, error, report):
    report(training, error)
    os.killpg(0, signal.SIGINT)  # what a terminal does at Ctrl-C

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background may ignore it
    run = sweeps.run
    sweeps.trainings = lambda name, folder, *_: planned(folder)
    sweeps.run = lambda planned, report, **options: run(
        planned, report=lambda t, e: interrupt(t, e, report), **options
    )
    sys.exit(cli.main(["sweep", "beta", "--workers", "1", "--results", sys.argv[1]]))
"""


def test_an_interrupted_sweep_keeps_what_is_finished_and_goes_on(one_worker: dict[str, Any], tmp_path: Path) -> None:
    script, folder = tmp_path / "interrupted.py", tmp_path / "results"
    script.write_text(INTERRUPTED)
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, str(script), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
        timeout=300,
    )
    assert done.returncode == 130
    assert done.stderr == (
        "hyperlearn: interrupted; finished records are kept, the same command goes on from the last checkpoint\n"
    )
    finished = measured(folder)
    assert 0 < len(finished) < 12
    assert finished.items() <= one_worker.items()
    for training in planned(folder)[2:]:
        if not training.done():
            training.run()
    assert len(measured(folder)) == 12


@pytest.mark.parametrize("number", [1, 2])
def test_the_sweep_of_a_table_makes_each_of_its_cells_once(number: int) -> None:
    made = sweeps.trainings(f"table{number}", Path("results"), seeds=3)
    runs = [(t.benchmark, t.method, scenario, t.seed) for t in made for scenario in t.scenarios]
    cells = {(c.benchmark, c.method, c.scenario) for c in hl.tables.table(number, [])}
    assert len(runs) == 3 * len(cells)
    assert set(runs) == {(*cell, seed) for cell in cells for seed in range(3)}
    assert {t.folder for t in made} == {Path("results")}
    assert [t.seed for t in made] == sorted(t.seed for t in made)
    for training in made:  # one training for all scenarios that it serves
        served = METHODS[narrow(str, training.method)].learner_class.serves
        assert training.scenarios == served or (not served and len(training.scenarios) == 1)


def test_table_3_starts_working_when_its_benchmark_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(hl.benchmarks.BENCHMARKS, "cifar-10-100", raising=False)
    with pytest.raises(hl.InputError, match="table3 needs the benchmark cifar-10-100, which this version does not"):
        sweeps.trainings("table3", Path("results"))
    monkeypatch.setitem(hl.benchmarks.BENCHMARKS, "cifar-10-100", hl.benchmarks.split_digits)
    made = sweeps.trainings("table3", Path("results"), seeds=1)
    assert {t.benchmark for t in made} == {"cifar-10-100"}
    assert [t.method for t in made] == [
        "finetune", "scratch", "hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "field", "methods"), [("compression", "chunk_size", 2), ("beta", "beta", 1)])
def test_the_figures_sweeps_have_results_folders_of_their_own(name: str, field: str, methods: int) -> None:
    made = sweeps.trainings(name, Path("results"), seeds=1)
    values = [(t.method, getattr(t.config, field)) for t in made]
    assert len(set(values)) == len(made) >= 5 * methods
    for training, (_, value) in zip(made, values, strict=True):
        assert training.benchmark == "split-mnist"
        assert training.folder == Path("results", name, f"{field}={value}")
    records = [path for training in made for path in training.records]
    assert len(set(records)) == len(records)
    if name == "beta":
        assert max(v for _, v in values) / min(v for _, v in values) >= 1e5


@pytest.mark.parametrize("benchmark", ["split-mnist", "cifar-10-100"])
def test_figure_2_is_asked_for_with_one_command_and_has_points_enough(benchmark: str) -> None:
    """Of each method at least five compression ratios, apart from each other; of beta six values in five decades."""
    target = hl.nets.parse(hl.recipes.configure("hnet", benchmark).target)(
        *(((28, 28), 2) if benchmark == "split-mnist" else ((3, 32, 32), 10))
    )
    for method in ("hnet", "lstm-net"):
        made = sweeps.trainings("compression", Path("results"), seeds=1, chosen=[benchmark])
        configs: list[Any] = [t.config for t in made if t.method == method]
        ratios = [hl.count(config.hypernet(target, 6)) / hl.count(target) for config in configs]
        assert len(ratios) >= 5
        assert min(ratios) < 0.4
        assert max(ratios) > 2
        assert all(b > 1.1 * a for a, b in pairwise(ratios))
        assert vars(hl.recipes.configure(method, benchmark)) in [vars(config) for config in configs]
    betas = [t.config.record()["beta"] for t in sweeps.trainings("beta", Path("results"), seeds=1, chosen=[benchmark])]
    assert len(betas) >= 6
    assert max(betas) / min(betas) >= 1e5


def test_the_lookahead_is_taken_away_from_every_penalty_that_has_one() -> None:
    made = sweeps.trainings("lookahead", Path("results"), seeds=1)
    having = {m for m in hl.methods.METHODS if getattr(hl.recipes.configure(m, "split-mnist"), "lookahead", False)}
    assert {t.method for t in made} == {m for m in having if not m.endswith("-r")}  # replay is a table of its own
    for training in made:
        assert training.folder == Path("results", "lookahead", "lookahead=False")
        recipe = hl.recipes.configure(training.method, "split-mnist").record()
        assert training.config.record() == recipe | {"lookahead": False}


def tiny(trainings: list[Training], **changed: Any) -> list[Training]:
    return [replace(t, overrides=tuple((dict(t.overrides) | changed).items())) for t in trainings]


@pytest.mark.parametrize("name", ["compression", "beta"])
def test_figure_2_from_its_sweep_to_its_points(name: Any, tmp_path: Path) -> None:
    made = sweeps.trainings(name, tmp_path, seeds=2, chosen=["split-digits"])
    assert hl.tables.figure(name, tmp_path) == []
    for training in tiny(made, iterations=1):
        if training.seed == 0 or training.method == "lstm-net":
            training.run()
    points = hl.tables.figure(name, tmp_path)
    curves = {(p.method, p.scenario) for p in points}
    assert curves == {(t.method, scenario) for t in made for scenario in SCENARIOS}
    for method, scenario in curves:
        mine = [p for p in points if (p.method, p.scenario) == (method, scenario)]
        assert len(mine) == (6 if name == "compression" else 7)
        assert [p.x for p in mine] == sorted({p.x for p in mine})
        assert {p.n for p in mine} == {2 if method == "lstm-net" else 1}
        assert all((p.std is None) == (p.n == 1) for p in mine)
    first = next((t for t in made if t.method == "lstm-net"), made[0])
    runs = [r for r in results.read_all(first.folder) if (r.method, r.scenario) == (first.method, "cl2")]
    for ours, theirs in (("average_accuracy", "mean"), ("during_accuracy", "during")):
        value = 100 * sum(getattr(run.metrics, ours) for run in runs) / len(runs)
        assert pytest.approx(value) in [getattr(p, theirs) for p in points if p.scenario == "cl2"]


def point(x: float, *accuracies: float) -> hl.tables.Point:
    by_seed = dict(enumerate(accuracies))
    return hl.tables.Point("split-mnist", "hnet", "cl2", x, mean(accuracies), None, len(accuracies), 0.0, by_seed)


def test_curves_are_compared_at_equal_ratios() -> None:
    """The second curve is straight over log x: 10 points a decade with one seed, and 20 with the other."""
    straight = [point(x, 80 + 10 * math.log10(x), 70 + 20 * math.log10(x)) for x in (0.1, 1.0, 10.0)]
    (low, high) = hl.tables.lead([point(0.05, 0, 0), point(0.2, 90, 90), point(5, 90, 92), point(20, 0, 0)], straight)
    assert (low.x, high.x) == (0.2, 5)  # only where both have been measured
    first, second = 90 - 80 - 10 * math.log10(0.2), 90 - 70 - 20 * math.log10(0.2)
    assert low.mean == pytest.approx((first + second) / 2)
    assert low.std == pytest.approx(stdev([first, second]))
    values = [90 - 80 - 10 * math.log10(5), 92 - 70 - 20 * math.log10(5)]
    assert high.interval == pytest.approx(tuple(stats.ttest_1samp(values, 0).confidence_interval(0.95)))


def test_a_lead_is_over_the_seeds_that_all_points_have() -> None:
    curve = [point(1.0, 80, 81, 82), point(2.0, 80, 81)]
    (at_one, at_two) = hl.tables.lead([point(1.0, 90, 91), point(2.0, 90, 91, 99)], curve)
    assert [(lead.mean, lead.std, lead.n) for lead in (at_one, at_two)] == [(10, 0, 2), (10, 0, 2)]
    assert hl.tables.lead([], curve) == hl.tables.lead(curve, []) == []
    assert hl.tables.lead([point(1.5, 90)], [point(1.0, 80), point(2.0, 80)])[0].interval is None


def test_a_record_in_the_folder_of_another_value_is_named(tmp_path: Path) -> None:
    (training, *_) = tiny(sweeps.trainings("beta", tmp_path, seeds=1, chosen=["split-digits"]), iterations=1)
    training.run()
    training.folder.rename(training.folder.with_name("beta=0.5"))
    with pytest.raises(hl.InputError, match=r"beta=0.5 holds a record with beta = 1e-05"):
        hl.tables.figure("beta", tmp_path)
    with pytest.raises(hl.InputError, match="no figure 'table1'; there are compression, beta"):
        hl.tables.figure("table1", tmp_path)  # type: ignore[arg-type]


def test_a_short_sweep_has_a_folder_of_its_own() -> None:
    length = hl.recipes.scheduled("short", "cifar-10-100", "hnet")
    whole, short = (sweeps.trainings("table3", Path("results"), seeds=2, schedule=s) for s in (None, "short"))
    assert {t.folder for t in whole} == {Path("results")}
    assert {t.folder for t in short} == {Path("results", "short")}
    for a, b in zip(whole, short, strict=True):
        assert (a.method, a.seed) == (b.method, b.seed)
        assert vars(b.config) == vars(a.config) | length
        assert b.config.steps(10 * length["images_per_class"]) < a.config.steps(5_000) / 50
    (point, *_) = sweeps.trainings("beta", Path("results"), chosen=["cifar-10-100"], schedule="short")
    assert point.folder == Path("results", "short", "beta", "beta=1e-05")
    assert dict(point.overrides) == length | {"beta": 1e-05}
    with pytest.raises(hl.InputError, match="no short schedule for split-mnist; there is one for cifar-10-100"):
        sweeps.trainings("table1", Path("results"), schedule="short")


def test_the_tenth_schedule_has_a_tenth_of_the_steps_and_rates_that_were_searched() -> None:
    whole, tenth = (sweeps.trainings("table3", Path("results"), seeds=1, schedule=s) for s in (None, "tenth"))
    assert {t.folder for t in tenth} == {Path("results", "tenth")}
    rates = {t.method: t.config.learning_rate for t in tenth}
    for a, b in zip(whole, tenth, strict=True):
        full = sum(a.config.steps(images) for images in [50_000] + 5 * [5_000])
        assert 6 * b.config.steps(5_000) == pytest.approx(full / 10, rel=0.001)
        changed = {"iterations", "epochs", "precision", "learning_rate"}
        assert {k for k, v in vars(b.config).items() if v != vars(a.config)[k]} <= changed
    assert rates["scratch"] == rates["finetune"] == 1e-3
    assert rates["hnet"] == rates["hnet-iwr"]
    assert rates["lstm-net"] == rates["lstm-net-iwr"] == rates["lstm-net-grow"]


def test_a_run_with_the_overrides_of_a_sweep_writes_the_record_of_the_sweep(tmp_path: Path) -> None:
    training = Training("split-digits", "finetune", ("cl1",), 0, tmp_path / "beta" / "a", SHORT)
    training.run()
    command = ["run", "split-digits", "finetune", "--iterations", "20", "--target", "mlp-10"]
    assert cli.main([*command, "--results", str(tmp_path / "b")]) == 0
    assert measured(training.folder) == measured(tmp_path / "b")
    assert list(results.read_all(tmp_path)) == []  # the tables do not see it
