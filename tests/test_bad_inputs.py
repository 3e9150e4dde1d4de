"""Files and folders that are not what they should be: one line, exit status 2, no code run, no record lost."""

import json
import os
import pickle
import resource
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import fails

import hyperlearn as hl
from hyperlearn import checkpoints, cli, results, sweeps, training
from hyperlearn.data import mnist
from hyperlearn.trained import train

RUN = ["run", "split-digits", "finetune", "--iterations", "4", "--target", "mlp-10"]
CHECKPOINT = "split-digits-finetune-cl1-seed0.pt"
EXECUTED = "executed"


class Malicious:
    """Makes a file in the working folder when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(EXECUTED),))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two seeds and the checkpoint of one, within its third task."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["--results", str(folder / "results"), "--checkpoint", str(folder / "checkpoints")]
    assert cli.main([*RUN, *options, "--seed", "1"]) == 0
    save = training.Run.save

    def save_to_the_third_task(run: training.Run, file: Path) -> None:
        if run.task <= 2:
            save(run, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, "save", save_to_the_third_task)
        patch.setattr(checkpoints, "EVERY", 2)
        assert cli.main([*RUN, *options]) == 0
    return folder


@pytest.fixture
def here(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy to damage, as the working folder; at the end nothing of it was executed and no other record touched."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert not (tmp_path / EXECUTED).exists()
    other = Path("results", "split-digits", "finetune-cl1-seed1.json")
    assert (tmp_path / other).read_bytes() == (finished / other).read_bytes()


# Checkpoints


def test_the_checkpoint_is_good_before_it_is_damaged(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.load(here / "checkpoints" / CHECKPOINT, weights_only=True)
    assert (state["position"]["task"], state["position"]["step"]) == (2, 2)
    before = results.read(here / "results" / "split-digits" / "finetune-cl1-seed0.json")
    assert cli.main([*RUN, "--checkpoint", "checkpoints"]) == 0
    assert results.read(here / "results" / "split-digits" / "finetune-cl1-seed0.json").same_measurement(before)


def content(damage: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(file: Path) -> None:
        file.write_bytes(damage(file.read_bytes()))

    return apply


def state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change something in the checkpoint's content, which stays a checkpoint in form."""

    def apply(file: Path) -> None:
        loaded = torch.load(file, weights_only=True)
        torch.save(change(loaded) or loaded, file)

    return apply


def within(part: str, **changed: Any) -> Callable[[Path], None]:
    return state(lambda loaded: loaded[part].update(changed))


def moments(**changed: Any) -> Callable[[Path], None]:
    """Change what the optimizer keeps of each parameter."""
    return state(lambda loaded: [kept.update(changed) for kept in loaded["optimizer"]["state"].values()] and None)


def every_moment(change: Callable[[torch.Tensor], Any]) -> Callable[[Path], None]:
    return state(lambda loaded: [change(kept["exp_avg_sq"]) for kept in loaded["optimizer"]["state"].values()] and None)


def group(**changed: Any) -> Callable[[Path], None]:
    return state(lambda loaded: loaded["optimizer"]["param_groups"][0].update(changed))


def every_weight(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return state(
        lambda loaded: loaded["learner"].update({k: change(v) for k, v in loaded["learner"].items() if "weight" in k})
    )


def extra(**changed: Any) -> Callable[[Path], None]:
    return state(lambda loaded: loaded["learner"]["_extra_state"].update(changed))


def foreign_zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("readme.txt", "hello")


def folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


UNREADABLE = "is no readable checkpoint"
UNFIT = "does not hold what its run needs"
CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut in the middle": (content(lambda old: old[: len(old) // 2]), UNREADABLE),
    "cut by a byte": (content(lambda old: old[:-1]), UNREADABLE),
    "empty": (content(lambda old: b""), UNREADABLE),
    "the start is lost": (content(lambda old: old[100:]), UNREADABLE),
    "a block of zeros": (content(lambda old: old[:2000] + bytes(4096) + old[6096:]), UNREADABLE),
    "a bit of a tensor": (content(lambda old: old[:-8000] + bytes([old[-8000] ^ 1]) + old[-7999:]), UNREADABLE),
    "text": (content(lambda old: b"<html>not found</html>"), UNREADABLE),
    "JSON": (content(lambda old: b'{"run": {}}'), UNREADABLE),
    "another zip": (foreign_zip, UNREADABLE),
    "a folder": (folder_in_its_place, UNREADABLE),
    "a list": (state(lambda old: [1, 2]), UNREADABLE),
    "a number": (state(lambda old: 1), UNREADABLE),
    "nothing in it": (state(lambda old: {"nothing": 0}), UNREADABLE),
    "no run": (state(lambda old: old.pop("run") and None), UNREADABLE),
    "malicious pickle": (content(lambda old: pickle.dumps(Malicious())), UNREADABLE),
    "malicious checkpoint": (lambda file: torch.save(Malicious(), file), UNREADABLE),
    "malicious checkpoint of the old format": (
        lambda file: torch.save(Malicious(), file, _use_new_zipfile_serialization=False),
        UNREADABLE,
    ),
    "malicious position": (within("position", task=Malicious()), UNREADABLE),
    "malicious learner": (state(lambda old: old.update(learner=Malicious())), UNREADABLE),
    "a pickled module": (lambda file: torch.save(torch.nn.Linear(2, 2), file), UNREADABLE),
    "another seed": (within("run", seed=7), "the checkpoint of a run with seed = 7, this run has 0"),
    "another method": (within("run", method="joint"), "method = joint, this run has finetune"),
    "another benchmark": (within("run", benchmark="mine"), "benchmark = mine, this run has split-digits"),
    "other hyperparameters": (
        within("run", iterations=9, learning_rate=0.1),
        "a run with iterations = 9, this run has 4; learning_rate = 0.1, this run has 0.003",
    ),
    "a hyperparameter that is none": (within("run", beta=1.0), "beta = 1.0, this run has None"),
    "an older version": (within("run", hyperlearn="0.0.1"), "hyperlearn = 0.0.1, this run has "),
    "a newer version": (within("run", hyperlearn="9.0.0"), "hyperlearn = 9.0.0, this run has "),
    "another PyTorch": (within("run", torch="1.0.0"), "torch = 1.0.0, this run has "),
    "another format": (within("run", **{"checkpoint format": 99}), "checkpoint format = 99, this run has "),
    "another device": (within("run", device="cuda"), "device = cuda, this run has cpu"),
    "other data": (within("run", images=[(1, 1)]), "images = [(1, 1)], this run has "),
    "a task there is not": (within("position", task=77), UNFIT),
    "a step there is not": (within("position", step=-1), UNFIT),
    "a step that is no number": (within("position", step="two"), UNFIT),
    "accuracies are lost": (within("position", accuracy={"cl1": []}), UNFIT),
    "accuracies of another scenario": (within("position", accuracy={"cl2": [[0.5] * 5] * 2}), UNFIT),
    "accuracies in per cent": (within("position", accuracy={"cl1": [[50.0] * 5] * 2}), UNFIT),
    "an unknown field": (within("position", mood="good"), UNFIT),
    "no position": (state(lambda old: old.pop("position") and None), UNFIT),
    "no learner": (state(lambda old: old.update(learner={})), UNFIT),
    "a tensor of another shape": (
        state(lambda old: old["learner"].update({k: v[:1] for k, v in old["learner"].items() if "weight" in k})),
        UNFIT,
    ),
    "no optimizer": (state(lambda old: old.update(optimizer={})), UNFIT),
    "an optimizer's state of another shape": (moments(exp_avg=torch.zeros(3)), UNFIT),
    "an optimizer's state of another type": (moments(exp_avg_sq=torch.zeros(1, dtype=torch.float64)), UNFIT),
    "an optimizer's steps are no scalar": (moments(step=torch.zeros(2)), UNFIT),
    "an optimizer's steps are negative": (moments(step=torch.tensor(-1.0)), UNFIT),
    "an optimizer's state with more in it": (moments(max_exp_avg_sq=torch.zeros(1)), UNFIT),
    "an optimizer's state not finite": (every_moment(lambda m: m.fill_(float("nan"))), UNFIT),
    "an optimizer's state below 0": (every_moment(lambda m: m.fill_(-1.0)), UNFIT),
    "an optimizer's state of one parameter is lost": (
        state(lambda old: old["optimizer"]["state"].pop(0) and None),
        UNFIT,
    ),
    "an optimizer that maximizes": (group(maximize=True), UNFIT),
    "an optimizer that decays weights": (group(weight_decay=0.5), UNFIT),
    "an optimizer with other betas": (group(betas=(0.5, 0.5)), UNFIT),
    "an optimizer of other parameters": (group(params=[0, 1, 2]), UNFIT),
    "an optimizer of two groups": (
        state(lambda old: old["optimizer"]["param_groups"].append(old["optimizer"]["param_groups"][0])),
        UNFIT,
    ),
    "weights of another type": (every_weight(lambda w: w.double()), UNFIT),
    "weights not finite": (every_weight(lambda w: w * float("nan")), UNFIT),
    "more tasks learnt than finished": (extra(learned=3), UNFIT),
    "tasks learnt that are no number": (extra(learned="many"), UNFIT),
    "seconds are lost": (within("position", train_seconds=[1.0]), UNFIT),
    "seconds not a number": (within("position", train_seconds=[float("nan")] * 3), UNFIT),
    "a scenario too many": (within("position", untrained={"cl1": [0.5] * 5, "cl2": [0.5] * 5}), UNFIT),
    "no inferred tasks": (within("position", inferred={}), UNFIT),
    "at the start": (within("position", task=0, step=0, accuracy={"cl1": []}, train_seconds=[]), UNFIT),
    "a generator's state cut": (state(lambda old: old.update(rng=old["rng"][:10])), UNFIT),
}


@pytest.mark.parametrize("damage", CHECKPOINTS)
def test_a_bad_checkpoint(damage: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = CHECKPOINTS[damage]
    spoil(here / "checkpoints" / CHECKPOINT)
    record = here / "results" / "split-digits" / "finetune-cl1-seed0.json"
    before = record.read_bytes()
    line = fails(capsys, *RUN, "--checkpoint", "checkpoints")
    assert message in line
    assert CHECKPOINT in line
    assert record.read_bytes() == before
    if not (here / "checkpoints" / CHECKPOINT).is_dir():
        assert cli.main([*RUN, "--checkpoint", "checkpoints", "--no-resume"]) == 0


HYPERNETS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "other tasks remembered": lambda old: old["regularizer"].update(tasks=[1]),
    "a task remembered that is no whole number": lambda old: old["regularizer"].update(tasks=[False]),
    "no task remembered": lambda old: old["regularizer"].update(tasks=[]),
    "no memory": lambda old: old["regularizer"].update(memory={}),
    "memory of another shape": lambda old: old["regularizer"]["memory"].update(weight=torch.zeros(1)),
    "memory of another type": lambda old: old["regularizer"]["memory"].update(
        features=old["regularizer"]["memory"]["features"].double()
    ),
    "memory not finite": lambda old: old["regularizer"]["memory"]["features"].fill_(float("inf")),
    "memory that is no tensor": lambda old: old["regularizer"]["memory"].update(features=[1.0]),
    "importances are lost": lambda old: old["regularizer"].update(fisher=[]),
    "importances of another shape": lambda old: old["regularizer"].update(fisher=[torch.zeros(3)]),
    "negative importances": lambda old: old["regularizer"]["fisher"][0].fill_(-1.0),
    "decoders are lost": lambda old: old.update(decoders=None),
    "decoders of another shape": lambda old: old.update(decoders=old["decoders"][:, 1:]),
    "decoders not finite": lambda old: old["decoders"].fill_(float("nan")),
}


@pytest.fixture(scope="module")
def hypernet_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The command of a run with all kinds of extra state, and its checkpoint after the first task."""
    folder = tmp_path_factory.mktemp("hypernet")
    command = ["run", "split-digits", "hnet-iwr-r", "--iterations", "2", "--target", "mlp-4", "--encoder-hidden", "4"]
    command += ["--decoder-hidden", "4", "--latent", "2", "--scenario", "cl1", "--chunk-size", "50"]
    save = training.Run.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Run, "save", lambda run, file: save(run, file) if run.task == 1 else None)
        assert cli.main([*command, "--results", str(folder / "r"), "--checkpoint", str(folder / "c")]) == 0
    (file,) = (folder / "c").iterdir()
    return command, file


@pytest.mark.parametrize("damage", HYPERNETS)
def test_a_bad_checkpoint_of_a_hypernetwork(
    damage: str,
    hypernet_checkpoint: tuple[list[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, file = hypernet_checkpoint
    monkeypatch.chdir(tmp_path)

    def change(loaded: dict[str, Any]) -> None:
        HYPERNETS[damage](loaded["learner"]["_extra_state"])

    state(change)(Path(shutil.copy(file, tmp_path)))
    assert UNFIT in fails(capsys, *command, "--checkpoint", ".")


def test_the_checkpoint_of_a_hypernetwork_is_good_before_it_is_damaged(
    hypernet_checkpoint: tuple[list[str], Path], tmp_path: Path
) -> None:
    command, file = hypernet_checkpoint
    shutil.copy(file, tmp_path)
    assert cli.main([*command, "--checkpoint", str(tmp_path), "--results", str(tmp_path / "r")]) == 0
    (record,) = results.read_all(tmp_path / "r")
    assert record.same_measurement(next(results.read_all(file.parent.parent / "r")))


# Records


def fields(**changed: Any) -> Callable[[bytes], bytes]:
    return lambda old: json.dumps({**json.loads(old), **changed}).encode()


def metrics(**changed: Any) -> Callable[[bytes], bytes]:
    return lambda old: json.dumps({**json.loads(old), "metrics": {**json.loads(old)["metrics"], **changed}}).encode()


RECORDS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the middle": (lambda old: old[: len(old) // 2], "the file: Invalid JSON"),
    "empty": (lambda old: b"", "the file: Invalid JSON"),
    "bytes that are no text": (lambda old: b"\xff\xfe" + old, "the file: Invalid JSON"),
    "malicious pickle": (lambda old: pickle.dumps(Malicious()), "the file: Invalid JSON"),
    "a list": (lambda old: b"[1, 2]", "the file: "),
    "nested without end": (lambda old: b"[" * 100_000, "the file: Invalid JSON"),
    "no version": (lambda old: old.replace(b'"version"', b'"verzion"'), "version: "),
    "a version that is none": (fields(version="next"), "version: Invalid version: 'next'"),
    "a newer version": (fields(version="9.0.0"), "version: written by hyperlearn 9.0.0, which is newer than this"),
    "a newer version with other fields": (fields(version="9.0.0", metrics=[1]), "written by hyperlearn 9.0.0"),
    "a field too many": (fields(mood="good"), "mood: "),
    "a field too few": (lambda old: old.replace(b'"seconds"', b'"minutes"'), "seconds: "),
    "a seed that is no number": (fields(seed="zero"), "seed: "),
    "accuracy in per cent": (metrics(average_accuracy=99.0), "average_accuracy is 99.0, and "),
    "accuracy not a number": (metrics(average_accuracy=float("nan")), "metrics.average_accuracy: "),
    "forgetting infinite": (metrics(forgetting=float("inf")), "metrics.forgetting: "),
    "a matrix with a row lost": (fields(accuracy_matrix=[[0.5, 0.5]]), "the accuracy matrix is not square"),
}


@pytest.mark.parametrize("damage", RECORDS)
def test_a_bad_record(damage: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is named where records are read, and before a run whose record it is."""
    spoil, message = RECORDS[damage]
    record = here / "results" / "split-digits" / "finetune-cl1-seed0.json"
    record.write_bytes(spoil(record.read_bytes()))
    before = record.read_bytes()
    for command in (["table", "1"], RUN, ["sweep", "table3", "--benchmark", "split-digits"]):
        line = fails(capsys, *command)
        assert message in line
        assert f"{Path('results', 'split-digits', 'finetune-cl1-seed0.json')}: no valid record" in line
    assert record.read_bytes() == before


def test_a_copy_of_a_record_is_not_counted_twice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = here / "results" / "split-digits" / "finetune-cl1-seed0.json"
    shutil.copy(record, record.with_name("copy.json"))
    assert "copy.json holds the record that belongs into" in fails(capsys, "table", "1")


def test_a_folder_in_a_records_place(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "results" / "split-digits" / "folder.json").mkdir()
    assert "cannot be read (Is a directory)" in fails(capsys, "table", "1")


def test_two_runs_that_write_one_record_at_once(here: Path) -> None:
    """Of different configurations one is kept, whole, and the others are told; whichever is first."""
    made = results.read(here / "results" / "split-digits" / "finetune-cl1-seed0.json")
    for round_ in range(20):
        runs = [replace(made, config={"beta": number}) for number in range(4)]
        barrier, refused = threading.Barrier(len(runs)), []

        def write(run: results.Result, folder: Path) -> None:
            barrier.wait()  # noqa: B023
            try:
                results.write(run, folder)
            except hl.InputError as error:
                refused.append(str(error))  # noqa: B023

        folder = here / f"round{round_}"
        threads = [threading.Thread(target=write, args=(run, folder)) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (kept,) = results.read_all(folder)
        assert kept in runs
        assert len(refused) == len(runs) - 1
        assert all(
            f"is the record of a run with beta = {kept.config['beta']}, this run has" in line for line in refused
        )


def test_a_record_that_came_while_the_run_went_on_is_kept(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = here / "new"

    def slow(*args: Any, **options: Any) -> Any:
        made = train(*args, **options)
        results.write(replace(made.result, config={**made.result.config, "iterations": 5}), folder)
        return made

    monkeypatch.setattr(sweeps, "train", slow)
    assert "is the record of a run with iterations = 5, this run has 4; name" in fails(
        capsys, *RUN, "--results", str(folder)
    )
    assert [record.config["iterations"] for record in results.read_all(folder)] == [5]
    assert (folder / ".checkpoints" / CHECKPOINT).exists()  # and the run need not be trained again


def test_without_hard_links_records_are_written_all_the_same(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of Google Drive has none."""
    made = results.read(here / "results" / "split-digits" / "finetune-cl1-seed0.json")

    def unsupported(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", unsupported)
    results.write(made, here / "new")
    with pytest.raises(hl.InputError, match="is the record of a run with"):
        results.write(replace(made, config={}), here / "new")
    assert list(results.read_all(here / "new")) == [made]


# Disks


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The system refuses to write more than ``size`` bytes into a file, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "what"), [(2000, CHECKPOINT), (0, CHECKPOINT)])
def test_a_disk_that_is_full_for_a_checkpoint(
    size: int, what: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (here / "checkpoints" / what).read_bytes()
    with largest_file(size):
        line = fails(capsys, *RUN, "--checkpoint", "checkpoints")
    assert f"cannot write {Path('checkpoints', what)} (File too large); what was there before is kept" in line
    assert (here / "checkpoints" / what).read_bytes() == before
    assert [path.name for path in (here / "checkpoints").iterdir() if path.name.startswith(".")] == []
    assert cli.main([*RUN, "--checkpoint", "checkpoints"]) == 0


def test_a_disk_that_is_full_for_a_record(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is not lost: its checkpoint is there, and the next run goes on from it."""
    write = results.write

    def on_a_full_disk(result: results.Result, folder: Path) -> Path:
        with largest_file(500):
            return write(result, folder)

    with monkeypatch.context() as patch:
        patch.setattr(results, "write", on_a_full_disk)
        line = fails(capsys, *RUN, "--results", "new")
    assert "finetune-cl1-seed0.json (File too large)" in line
    assert list(results.read_all(here / "new")) == []
    monkeypatch.setattr(training, "fit_task", lambda *_: pytest.fail("trained again"))
    assert cli.main([*RUN, "--results", "new"]) == 0


@pytest.mark.parametrize("at", ["fsync", "link_and_replace", "mkstemp"])
def test_a_disk_that_is_full_at_any_step(
    at: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    record = here / "results" / "split-digits" / "finetune-cl1-seed0.json"
    before = record.read_bytes()
    for name in at.split("_and_"):
        monkeypatch.setattr("tempfile.mkstemp" if name == "mkstemp" else f"os.{name}", full)
    assert "No space left on device" in fails(capsys, *RUN, "--no-resume")
    assert record.read_bytes() == before


@pytest.mark.parametrize("option", ["--results", "--checkpoint"])
@pytest.mark.parametrize("folder", ["/proc/hyperlearn", "file", "file/below"])
def test_a_folder_that_cannot_be_written(
    option: str, folder: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """/proc takes no folder from anybody; a file is none; permissions would not stop root."""
    (here / "file").touch()
    assert f"cannot write into {folder} (" in fails(capsys, *RUN, option, folder)


def test_a_read_only_folder(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Found before a sweep starts any worker; the system's answer is given for it, because root may write anywhere."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    monkeypatch.setattr(sweeps, "_client", lambda *_: pytest.fail("started"))
    for command in (RUN, ["sweep", "table1", "--benchmark", "split-digits"]):
        assert "cannot write into results (Read-only file system)" in fails(capsys, *command)


# Data

RAW = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(*shape: int, fill: bytes = b"\0") -> bytes:
    """A file of MNIST's format."""
    header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
    return header + (fill * torch.Size(shape).numel())[: torch.Size(shape).numel()]


DATA: dict[str, tuple[tuple[bytes, bytes], str]] = {
    "malicious pickle": ((pickle.dumps(Malicious()), pickle.dumps(Malicious())), "damaged or unreadable file"),
    "empty": ((b"", b""), "damaged or unreadable file"),
    "text": ((b"<html>not found</html>", b"<html>not found</html>"), "damaged or unreadable file"),
    "cut": ((idx(60_000, 28, 28)[:5000], idx(60_000)), "damaged or unreadable file"),
    "more promised than there is": ((idx(60_000, 28, 28)[:16], idx(60_000)[:8]), "damaged or unreadable file"),
    "too few": ((idx(10, 28, 28), idx(10)), "expected 60000 images of 28 x 28 and as many labels"),
    "other labels": ((idx(60_000, 28, 28), idx(60_000, fill=bytes(range(11)))), "expected labels 0 to 9"),
    "labels of one class": ((idx(60_000, 28, 28), idx(60_000)), "expected labels 0 to 9"),
}


@pytest.mark.parametrize("kind", DATA)
def test_bad_data(kind: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (images, labels), message = DATA[kind]
    raw = here / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in RAW:
        (raw / name).write_bytes(images if "images" in name else labels)
    monkeypatch.setenv("HYPERLEARN_DATA", str(here))
    mnist.cache_clear()
    assert message in fails(capsys, "run", "split-mnist", "finetune")
    assert cli.main(["data"]) == 2
    out, err = capsys.readouterr()
    assert f"mnist: damaged, in {raw}" in out
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("raw", [True, False])
def test_torchvisions_old_files_are_not_taken_for_the_data(
    raw: bool, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("training.pt", "test.pt"):
        (here / "MNIST" / "processed").mkdir(parents=True, exist_ok=True)
        torch.save(Malicious(), here / "MNIST" / "processed" / name)
    if raw:
        (here / "MNIST" / "raw").mkdir()
        for name in RAW:
            (here / "MNIST" / "raw" / name).touch()
    monkeypatch.setenv("HYPERLEARN_DATA", str(here))
    mnist.cache_clear()
    line = fails(capsys, "run", "split-mnist", "finetune")
    assert ("damaged or unreadable file" if raw else "could not be downloaded") in line


# Sweeps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table4"], "no sweep 'table4'; there are table1, table2, table3, compression, beta, lookahead"),
        (["table1", "--seeds", "0"], "a sweep needs at least one seed, got 0"),
        (["table1", "--seeds", "many"], "expected a whole number >= 0, got 'many'"),
        (["table1", "--workers", "0", "--benchmark", "split-digits"], "a sweep needs at least one worker, got 0"),
        (["table1", "--workers", "-1"], "expected a whole number >= 0, got '-1'"),
        (["table1", "--benchmark", "split-minst"], "no benchmark 'split-minst'; there are split-digits"),
        (["table1", "--device", "tpu", "--benchmark", "split-digits"], "no device 'tpu'"),
        (["table1", "--beta", "0.1"], "not understood: --beta 0.1"),
        (["table1", "--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "either a number of workers or a scheduler"),
        (
            ["table1", "--benchmark", "split-digits", "--scheduler", "tcp://127.0.0.1:1"],
            "no Dask scheduler answers at tcp://127.0.0.1:1",
        ),
        (
            ["table1", "--benchmark", "split-digits", "--scheduler", "carrier-pigeon://loft"],
            "no Dask scheduler answers at carrier-pigeon://loft",
        ),
        (["table1", "--benchmark", "split-digits", "--scheduler", "nonsense"], "no Dask scheduler answers at nonsense"),
        ([], "the following arguments are required: name"),
    ],
)
def test_a_bad_sweep(
    arguments: list[str],
    message: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeps, "CONNECT_SECONDS", 0.5)
    assert message in fails(capsys, "sweep", *arguments)


def test_a_sweep_stops_before_it_starts_where_a_record_is_of_another_configuration(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The records of `RUN` have four iterations, the recipe has more."""
    line = fails(capsys, "sweep", "table3", "--benchmark", "split-digits")
    assert "is the record of a run with iterations = 4, this run has 300; target = mlp-10, this run has" in line
