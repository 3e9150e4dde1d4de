"""Records: what is written is what is read, and nothing half written is left."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

import hyperlearn as hl
from hyperlearn import intervals, plans, results, tables

RECORDS = Path(__file__).parent.parent / "results"


def make(seed: int = 0, accuracy: float = 0.5, **changed: Any) -> results.Result:
    """A record whose average accuracy is ``accuracy``, or that of the accuracy matrix given."""
    matrix = changed.get("accuracy_matrix") or [
        [accuracy if j == i or i == 4 else 0.1 for j in range(5)] for i in range(5)
    ]
    tasks = len(matrix)
    return results.Result(
        **{
            "benchmark": "split-mnist",
            "method": "hnet",
            "scenario": "cl1",
            "seed": seed,
            "config": {"beta": 0.01, "hidden": [10, 10]},
            "accuracy_matrix": matrix,
            "untrained_accuracy": [0.1] * tasks,
            "metrics": {**results.metrics_of(matrix, [0.1] * tasks), "task_inference_accuracy": None},
            "parameters": {"target": 10, "trainable": 5, "stored_per_task": 1, "compression_ratio": 0.5},
            "seconds": {"train": [1.0] * tasks, "evaluate": 0.5},
            "environment": {"device": "cpu", "threads": 2},
            "version": "0.1.0",
            "commit": None,
            **changed,
        }
    )


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    result = make(accuracy=1 / 3)
    path = results.write(result, tmp_path)
    assert results.read(path) == result
    assert path == results.record_path(tmp_path, "split-mnist", "hnet", "cl1", 0)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing beside it
    assert list(results.read_all(tmp_path)) == [result]


def test_a_record_has_the_fields_of_the_contract(tmp_path: Path) -> None:
    record = json.loads(results.write(make(), tmp_path).read_text())
    assert set(record) == {
        "benchmark", "method", "scenario", "seed", "config", "accuracy_matrix", "untrained_accuracy", "metrics",
        "parameters", "seconds", "environment", "version", "commit", "images", "changed",
    }  # fmt: skip
    assert set(record["metrics"]) == {
        "average_accuracy", "during_accuracy", "forgetting", "backward_transfer", "forward_transfer",
        "task_inference_accuracy",
    }  # fmt: skip
    assert set(record["parameters"]) == {"target", "trainable", "stored_per_task", "compression_ratio"}
    assert set(record["seconds"]) == {"train", "evaluate"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], "no valid record: the file"),
        (lambda text: "", "no valid record"),
        (lambda text: text.replace('"seed": 0', '"seed": "zero"'), "no valid record: seed"),
        (
            lambda text: text.replace('"average_accuracy": 0.5', '"average_accuracy": 50.0'),
            "average_accuracy is 50.0, and 0.5",
        ),
        (lambda text: text.replace('"method"', '"methud"'), "method"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, damage: Any, message: str) -> None:
    path = results.write(make(), tmp_path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(hl.InputError, match=message) as caught:
        list(results.read_all(tmp_path))
    assert str(path) in str(caught.value)


def test_a_record_of_another_configuration_is_not_overwritten(tmp_path: Path) -> None:
    results.write(make(), tmp_path)
    same = {"beta": 0.01, "hidden": (10, 10)}
    path, other = (results.record_path(tmp_path, "split-mnist", "hnet", "cl1", seed) for seed in (0, 1))
    results.check_not_taken(path, same)
    results.check_not_taken(other, {"beta": 5})
    with pytest.raises(hl.InputError, match=r"a run with beta = 0.01, this run has 0.1"):
        results.check_not_taken(path, {**same, "beta": 0.1})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda r: r["metrics"].update(average_accuracy=1.0),
            "average_accuracy is 1.0, and 0.5 by the accuracy matrix",
        ),
        (lambda r: r["metrics"].update(forgetting=None), "forgetting is None, and 0.0 by the accuracy matrix"),
        (lambda r: r["metrics"].update(backward_transfer=0.5), "backward_transfer is 0.5"),
        (lambda r: r["accuracy_matrix"][4].__setitem__(0, 0.9), "average_accuracy is 0.5, and 0.58"),
        (lambda r: r["untrained_accuracy"].pop(), "untrained_accuracy has 4 values, and the accuracy matrix 5 tasks"),
        (lambda r: r["seconds"]["train"].append(1.0), "train has 6 values, and the accuracy matrix 5 tasks"),
        (lambda r: r.update(accuracy_matrix=[]), "the accuracy matrix is not square"),
        (lambda r: r.update(benchmark="permuted-mnist"), "5 tasks, and permuted-mnist has 10"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_by_name(damage: Any, said: str, tmp_path: Path) -> None:
    record = json.loads(make().to_json())
    damage(record)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record))
    with pytest.raises(hl.InputError, match=re.escape(f"{path}: no valid record: the file: {said}")):
        results.read(path)


def test_another_number_of_tasks_is_a_change_that_the_record_states(tmp_path: Path) -> None:
    matrix = [[0.5, 0.1], [0.3, 0.5]]
    with pytest.raises(ValidationError, match="2 tasks, and split-mnist has 5"):
        make(accuracy_matrix=matrix)
    result = make(accuracy_matrix=matrix, changed=["the first 2 tasks"])
    assert results.read(results.write(result, tmp_path)) == result


B = hl.benchmarks


@pytest.mark.parametrize(
    ("benchmark", "said"),
    [
        (lambda: B.split_digits(order=[9, 0, 8, 1, 7, 2, 6, 3, 5, 4]), ["classes in the order 9 0 8 1 7 2 6 3 5 4"]),
        (lambda: B.first(B.split_digits(), 2), ["the first 2 tasks"]),
        (lambda: B.split_digits(validation=0.3), ["0.3 of the training images held out"]),
        (
            lambda: B.on_validation(B.split_digits(validation=0.3)),
            ["0.3 of the training images held out", "measured on validation images"],
        ),
        (lambda: B.limited(B.split_digits(), 3), ["3 images of each class"]),
    ],
)
def test_a_run_on_a_changed_benchmark_says_so_and_replaces_nothing(
    benchmark: Any, said: list[str], tmp_path: Path
) -> None:
    plain, changed = (
        hl.run("hnet", each, seed=0, device="cpu", iterations=2) for each in (B.split_digits(), benchmark())
    )
    assert (plain.changed, changed.changed) == ([], said)
    assert plain.images != changed.images
    assert hl.recipes.deviations(changed)["benchmark"] == ", ".join(said)
    results.write(plain, tmp_path)
    with pytest.raises(hl.InputError, match=re.escape(f"benchmark = as its name says, this run has {'; '.join(said)}")):
        results.write(changed, tmp_path)
    assert results.write(plain, tmp_path).exists()  # the same run again may


def test_a_run_on_other_images_replaces_nothing(tmp_path: Path) -> None:
    results.write(make(images="aa"), tmp_path)
    with pytest.raises(hl.InputError, match="images = aa, this run has bb"):
        results.write(make(images="bb"), tmp_path)
    results.write(make(1), tmp_path)  # made before images were noted
    results.write(make(1, images="bb"), tmp_path)


def test_limits_of_a_configuration_are_no_change_of_the_benchmark() -> None:
    result = hl.run("finetune", B.split_digits(), device="cpu", iterations=1, images_per_class=5)
    assert result.changed == []
    assert result.config["images_per_class"] == 5


def test_the_benchmarks_have_as_many_tasks_as_is_said_of_them() -> None:
    for name in ("split-digits", "permuted-digits"):
        assert len(B.load(name)) == B.TASKS[name]
    assert set(B.TASKS) == set(B.BENCHMARKS)
    assert B.permuted_digits(3).changes == ("3 tasks",)


@pytest.mark.parametrize("name", ["../up", "a/b", "..", "", ".hidden", "a\\b", "a\nb", "x" * 300, "c:"])
def test_a_name_does_not_lead_out_of_the_results(name: str, tmp_path: Path) -> None:
    for run in ((name, "hnet"), ("mine", name)):
        with pytest.raises(hl.InputError, match="cannot be part of a file's name"):
            results.record_path(tmp_path, *run, "cl1", 0)
        with pytest.raises(hl.InputError, match="cannot be part of a file's name"):
            hl.checkpoints.checkpoint_path(tmp_path, *run, ["cl1"], 0)


def test_a_failed_write_leaves_the_old_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = results.write(make(), tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(hl.InputError, match=r"cannot write .* \(No space left on device\)"):
        results.write(make(accuracy=0.9), tmp_path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_same_measurement_looks_past_time_and_place() -> None:
    one = make()
    assert one.same_measurement(replace(one, seconds=results.Seconds(train=[9.0] * 5, evaluate=9.0), commit="abc"))
    assert not one.same_measurement(make(accuracy=0.6))


def test_a_table_counts_seeds_and_compares() -> None:
    cells = tables.table(1, [make(seed, accuracy) for seed, accuracy in enumerate((0.996, 0.998, 0.997))])
    assert len(cells) == 48
    cell = next(c for c in cells if (c.method, c.benchmark, c.scenario) == ("hnet", "split-mnist", "cl1"))
    assert cell.paper_mean == 99.79
    assert cell.mean == pytest.approx(99.7)
    assert cell.std == pytest.approx(0.1)
    assert cell.n == 3
    assert cell.gap == pytest.approx(-0.09)
    low, high = stats.t.interval(0.95, 2, loc=99.7, scale=0.1 / 3**0.5)
    assert cell.interval == pytest.approx((low, high))
    assert cell.verdict == "inconclusive"  # 99.79 is in 99.70 +- 0.25
    assert next(c for c in cells if c.method == "ewc").verdict == "not run"


SPREADS = st.lists(st.floats(-5, 5), min_size=2, max_size=12).filter(lambda values: stdev(values) > 1e-3)


@given(SPREADS)
def test_intervals_and_p_values_are_those_of_scipy(values: list[float]) -> None:
    n, center, std = len(values), mean(values), stdev(values)
    test = stats.ttest_1samp(values, 0)
    low, high = test.confidence_interval(0.95)
    half = intervals.half_width(std, n)
    assert (center - half, center + half) == pytest.approx((low, high), abs=1e-9)
    assert intervals.p_value(center, std, n) == pytest.approx(test.pvalue, abs=1e-9)


def test_without_spread_any_difference_is_certain() -> None:
    assert intervals.half_width(0.0, 3) == 0
    assert [intervals.p_value(center, 0.0, 3) for center in (0.0, 0.1)] == [1.0, 0.0]


@given(st.lists(st.floats(0, 1), max_size=8), st.floats(0.001, 0.999))
def test_holms_correction_rejects_what_his_procedure_rejects(p_values: list[float], level: float) -> None:
    """Step down: the k-th smallest of m, from k = 0, is compared with level / (m - k) until one is not below."""
    corrected = intervals.holm(p_values)
    m, rejected = len(p_values), True
    for k, place in enumerate(sorted(range(m), key=p_values.__getitem__)):
        if abs((m - k) * p_values[place] - level) < 1e-9:
            return  # as near as rounding
        rejected = rejected and (m - k) * p_values[place] < level
        assert (corrected[place] < level) == rejected


@pytest.mark.parametrize(
    ("scenario", "values", "verdict"),
    [
        # The paper has 99.79 in CL1 and 87.01 in CL2. With three runs half the interval is 2.484 standard deviations.
        ("cl1", (99.79,), "one run"),
        ("cl1", (99.91, 99.93, 99.95), "above"),
        ("cl1", (99.63, 99.65, 99.67), "below"),
        ("cl1", (99.70, 99.74, 99.78), "agrees"),
        ("cl1", (99.69, 99.74, 99.79), "inconclusive"),  # +- 0.12
        ("cl2", (86.3, 86.6, 86.9), "agrees"),  # +- 0.75
        ("cl2", (86.1, 86.6, 87.1), "inconclusive"),  # +- 1.24
        ("cl2", (85.4, 85.9, 86.4), "inconclusive"),  # two standard deviations do not reach 87.01
        ("cl2", (86.0, 86.3, 86.6), "agrees"),
        ("cl2", (85.9, 86.2, 86.5), "below"),  # its mean and two standard deviations are 86.80, three 87.10
        ("cl2", (20.0, 60.0, 99.0), "inconclusive"),
    ],
)
def test_verdicts(scenario: str, values: tuple[float, ...], verdict: str) -> None:
    runs = [make(seed, value / 100, scenario=scenario) for seed, value in enumerate(values)]
    (cell,) = (c for c in tables.table(1, runs) if c.n)
    assert cell.verdict == verdict
    assert cell.gap == pytest.approx(mean(values) - cell.paper_mean)


def test_a_record_is_the_same_measurement_as_the_run_that_it_is_of(tmp_path: Path) -> None:
    run = make(config={"hidden": (10, 10)})
    assert results.read(results.write(run, tmp_path)).same_measurement(run)
    assert not make(config={"hidden": (10, 20)}).same_measurement(run)


@pytest.mark.parametrize(
    ("lstm", "hnet", "verdict", "difference"),
    [
        ((0.90, 0.91, 0.92), (0.80, 0.82, 0.81), "holds", 10.0),
        ((0.80, 0.82, 0.81), (0.90, 0.91, 0.92), "reversed", -10.0),
        ((0.90, 0.80, 0.85), (0.80, 0.90, 0.85), "undecided", 0.0),
        ((0.83, 0.86, 0.86), (0.80, 0.81, 0.85), "undecided", 3.0),  # 2.6 standard errors; it takes 4.3
        ((0.9,), (0.8,), "one run", 10.0),
        ((), (0.8,), "not run", None),
    ],
)
def test_a_claim_is_compared_seed_by_seed(
    lstm: tuple[float, ...], hnet: tuple[float, ...], verdict: str, difference: float | None
) -> None:
    runs = [make(seed, accuracy, method="lstm-net") for seed, accuracy in enumerate(lstm)]
    runs += [make(seed, accuracy) for seed, accuracy in enumerate(hnet)]
    runs += [make(9, 0.1), make(0, 0.2, benchmark="split-digits"), make(0, 0.3, scenario="cl2")]  # none has a partner
    found = tables.compare("lstm-net", "hnet", "split-mnist", "cl1", runs)
    assert (found.n, found.verdict) == (len(lstm), verdict)
    assert found.difference == (None if difference is None else pytest.approx(difference))
    assert found.paper == pytest.approx(99.82 - 99.79)
    if found.n > 1:
        test = stats.ttest_rel([100 * x for x in lstm], [100 * x for x in hnet])
        assert found.p == found.corrected == pytest.approx(test.pvalue)
        assert found.interval == pytest.approx(tuple(test.confidence_interval(0.95)))
    else:
        assert (found.p, found.corrected, found.interval) == (None, None, None)


def test_claims_are_corrected_for_being_several() -> None:
    """A difference that would hold alone is one of two tests here, of which the other is far from deciding."""
    runs = [make(seed, accuracy, method="lstm-net") for seed, accuracy in enumerate((0.85, 0.855, 0.875))]
    runs += [make(seed, accuracy) for seed, accuracy in enumerate((0.80, 0.82, 0.81))]
    runs += [make(seed, accuracy, method="hnet-iwr") for seed, accuracy in enumerate((0.81, 0.80, 0.82))]
    alone = tables.compare("lstm-net", "hnet", "split-mnist", "cl1", runs)
    assert alone.verdict == "holds"
    found = {(c.better, c.worse, c.scenario): c for c in tables.claims(1, "split-mnist", runs)}
    assert len(found) == 15
    first, second = found["lstm-net", "hnet", "cl1"], found["hnet-iwr", "hnet", "cl1"]
    assert first.p is not None
    assert first.p == alone.p
    assert first.p < 0.05 < 2 * first.p
    assert first.corrected == pytest.approx(2 * first.p)
    assert first.verdict == "undecided"
    assert second.corrected == second.p  # the larger of two is not multiplied
    assert found["lstm-net-grow", "lstm-net", "cl3"].verdict == "not run"


def test_the_papers_claims_are_about_its_own_tables() -> None:
    for number, groups in tables.CLAIMS.items():
        assert all(c.paper is not None for c in tables.claims(number, "permuted-mnist", []))
        assert len(tables.claims(number, "split-mnist", [])) == 3 * sum(map(len, groups.values()))
    with pytest.raises(hl.InputError, match="no claims about table 3; there are some about 1, 2"):
        tables.claims(3, "cifar-10-100", [])


def test_two_runs_of_one_seed_are_not_silently_one() -> None:
    runs = [make(0, 0.9, method="lstm-net"), make(0, 0.8), make(0, 0.8, config={"beta": 0.1, "hidden": [10, 10]})]
    said = r"two runs of hnet on split-mnist, cl1, seed 0: beta = 0.01, this run has 0.1; give the runs of one"
    for ask in (lambda: tables.compare("lstm-net", "hnet", "split-mnist", "cl1", runs), lambda: tables.table(1, runs)):
        with pytest.raises(hl.InputError, match=said):
            ask()
    with pytest.raises(hl.InputError, match="seed 0: the same settings, other figures"):
        results.by_seed([make(0, 0.8), make(0, 0.7)])
    assert tables.compare("lstm-net", "hnet", "split-mnist", "cl1", [*runs[:2], make(0, 0.8)]).n == 1  # one run, twice


def test_table_3_reads_single_tasks_and_during() -> None:
    matrix = [[0.9 if i == j else 0.5 for j in range(6)] for i in range(6)]
    run = make(benchmark="cifar-10-100", method="lstm-net", accuracy_matrix=matrix)
    cells = {(c.method, c.task): c for c in tables.table(3, [run]) if c.n}
    during, end = cells["lstm-net-during", "cifar10"].mean, cells["lstm-net", "cifar10"].mean
    assert during == pytest.approx(90)
    assert end == pytest.approx(50)


def test_there_are_three_tables_with_the_papers_cells() -> None:
    assert [len(tables.table(number, [])) for number in (1, 2, 3)] == [48, 48, 56]
    with pytest.raises(hl.InputError, match="no table 4"):
        tables.table(4, [])


def test_the_committed_records_can_be_read() -> None:
    """Every record in results/ is valid and lies where its own fields say."""
    varied = (found for name in plans.SWEEPS for found in RECORDS.glob(f"**/{name}/*"))
    for folder in (RECORDS, RECORDS / "short", *varied):
        for result in results.read_all(folder):
            assert result.accuracy_matrix


def test_the_readme_shows_what_the_records_say() -> None:
    script = RECORDS.parent / "book" / "readme.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
