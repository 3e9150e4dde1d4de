"""The trained thing: asked, kept in a file, taken apart, taught further. A file is data, and nothing in it is run."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from narrowing import narrow
from PIL import Image
from torch import Tensor, nn

import hyperlearn as hl
from hyperlearn import cli, training
from hyperlearn.data import as_float
from hyperlearn.methods import METHODS
from hyperlearn.tensor_files import digest, load_tensors, save_tensors

DIGITS = hl.benchmarks.split_digits()
SMALL: dict[str, Any] = {"target": "mlp-20", "iterations": 12, "batch_size": 16, "device": "cpu"}
REPLAY: dict[str, Any] = {"encoder_hidden": (20,), "decoder_hidden": (20,), "latent": 5}
every_method = pytest.mark.parametrize("method", METHODS)


def small(method: str) -> dict[str, Any]:
    made = dict(SMALL)
    if method.startswith(("hnet", "lstm", "basis")):
        made |= {"chunk_size": 300, "task_dim": 4, "chunk_dim": 4}
    if method.startswith("dgr") or method.endswith("-r"):
        made |= REPLAY
    return made


def trained(method: str, **options: Any) -> hl.Trained:
    return hl.fit(method, DIGITS, **{**small(method), **options})


def images(task: int = 1) -> Tensor:
    return narrow(Tensor, DIGITS.tasks[task].test.images)


@cache
def kept(method: str, scenario: hl.methods.Scenario | None = None) -> hl.Trained:
    """The same for tests that change nothing about it."""
    return trained(method, scenarios=[scenario] if scenario else None)


class ConvNet(nn.Module):
    """A target with buffers."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 36, outputs)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.head(self.norm(self.conv(images[:, None])).relu().flatten(1))
        return out


@every_method
def test_what_was_trained_predicts_what_was_measured(method: str) -> None:
    made = kept(method)
    for scenario, result in made.results.items():
        for task, part in enumerate(DIGITS.tasks):
            given = task if scenario == "cl1" else None
            found = made.predict(images(task), given, None if given is not None else scenario)
            right = found.labels == part.test.labels
            if scenario == "cl3":
                right &= found.tasks == task
            assert right.float().mean().item() == pytest.approx(result.accuracy_matrix[-1][task])


@every_method
@pytest.mark.parametrize("scenario", ["cl1", "cl3"])
def test_probabilities_are_those_of_the_prediction(method: str, scenario: hl.methods.Scenario) -> None:
    made = kept(method, None if METHODS[method].learner_class.serves else scenario)
    given = 1 if scenario == "cl1" else None
    found, p = made.predict(images(), given), made.predict_proba(images(), given)
    assert p.shape == (len(images()), 2 if scenario == "cl1" else 10)
    torch.testing.assert_close(p.sum(1), torch.ones(len(p)))
    labels = found.labels + (2 * found.tasks if scenario == "cl3" else 0)
    assert torch.equal(p.argmax(1), labels)


@every_method
def test_a_file_holds_all_of_it(method: str, tmp_path: Path) -> None:
    made = kept(method)
    made.save(tmp_path / "m.pt")
    again = hl.load(tmp_path / "m.pt", device="cpu")
    assert [r.to_json() for r in again.results.values()] == [r.to_json() for r in made.results.values()]
    assert again.classes == made.classes
    for task in range(5):
        if "cl1" in made.learner.setting.scenarios:
            assert torch.equal(again.predict_proba(images(), task), made.predict_proba(images(), task))
    if made.learner.serves:
        assert torch.equal(again.predict_proba(images()), made.predict_proba(images()))


def test_another_process_predicts_the_same_to_the_bit(tmp_path: Path) -> None:
    made = trained("lstm-net-grow")
    made.save(tmp_path / "m.pt")
    code = """
import sys, torch, hyperlearn as hl
images = hl.benchmarks.split_digits().tasks[1].test.images
torch.save(hl.load(sys.argv[1], device="cpu").predict_proba(images), sys.argv[2])
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.pt"), str(tmp_path / "p.pt")], check=True)
    assert torch.equal(torch.load(tmp_path / "p.pt"), made.predict_proba(images()))


@pytest.mark.parametrize("method", ["hnet", "lstm-net-iwr", "lstm-net-grow", "scratch", "finetune"])
def test_an_exported_network_is_an_ordinary_one(method: str) -> None:
    made = trained(method, target=ConvNet)
    net = made.export(task=2)
    with torch.no_grad():
        own = net(as_float(images(2)))
    assert torch.equal(own.argmax(1), made.predict(images(2), 2).labels)
    torch.testing.assert_close(own.softmax(1), made.predict_proba(images(2), 2))
    before = made.predict_proba(images(2), 2)
    for p in net.parameters():
        p.data.zero_()
    assert torch.equal(made.predict_proba(images(2), 2), before)
    assert not any(p.requires_grad for p in net.parameters())


def test_bytes_and_floats_are_the_same_images() -> None:
    made = kept("hnet")
    assert torch.equal(made.predict_proba(images()), made.predict_proba(as_float(images())))


def test_dropout_is_off_when_asked() -> None:
    made = trained(
        "hnet", target=lambda outputs: nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, outputs)), chunk_size=100
    )
    assert torch.equal(made.predict_proba(images(), 1), made.predict_proba(images(), 1))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.predict(torch.zeros(3, 7, 7), 0), r"images of shape \(3, 7, 7\); \[B, 8, 8\] is needed"),
        (lambda m: m.predict(torch.zeros(8, 8), 0), "is needed"),
        (lambda m: m.predict(torch.zeros(0, 8, 8), 0), "there are no images"),
        (lambda m: m.predict(images(), 5), "task 5 was not learnt; there are 0 to 4"),
        (lambda m: m.predict(images(), 1, "cl3"), "in cl3 no task is given"),
        (lambda m: m.predict(images(), None, "cl1"), "predicts in cl2, cl3, not in cl1"),
        (lambda m: m.export(-1), "task -1 was not learnt"),
    ],
)
def test_a_wrong_question_says_so(ask: Callable[[hl.Trained], Any], message: str) -> None:
    with pytest.raises(hl.InputError, match=message):
        ask(kept("hnet"))


def test_a_method_that_needs_the_task_asks_for_it() -> None:
    with pytest.raises(hl.InputError, match="trained for cl1: give the images' task"):
        trained("finetune").predict(images())
    with pytest.raises(hl.InputError, match="trained for cl2, where no task is given"):
        trained("finetune", scenarios=["cl2"]).predict(images(), 1)


def rewritten(path: Path, **changes: Any) -> Path:
    """A file with other content, whose digest is that of the content."""
    state = load_tensors(path)
    state.pop("digest")
    state |= changes
    save_tensors(path, state | {"digest": digest(state)})
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    kept("hnet").save(tmp_path / "m.pt")
    return tmp_path / "m.pt"


def test_damaged_foreign_and_newer_files_are_refused_by_name(file: Path, tmp_path: Path) -> None:
    with pytest.raises(hl.InputError, match=r"nothing\.pt: no such file"):
        hl.load(tmp_path / "nothing.pt")
    content = file.read_bytes()
    for wrong in (b"", b"abc", content[: len(content) // 2], content.replace(b"hnet", b"hmet", 1)):
        file.write_bytes(wrong)
        with pytest.raises(hl.InputError, match=r"m.pt is no file of Trained.save, or is damaged"):
            hl.load(file)
    torch.save({"weight": torch.zeros(3)}, file)
    with pytest.raises(hl.InputError, match=r"m\.pt is no file of"):
        hl.load(file)
    file.write_bytes(content)
    with pytest.raises(hl.InputError, match=r"was written by hyperlearn 99\.0"):
        hl.load(rewritten(file, hyperlearn="99.0"))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": "{}"},
        {"config": json.dumps({"beta": -1})},
        {"setting": {"tasks": 5}},
        {"learner": {}},
        {"results": ["{}"]},
        {"results": []},
    ],
)
def test_a_changed_file_is_refused(file: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(hl.InputError, match=r"m\.pt"):
        hl.load(rewritten(file, **changes))


def test_weights_of_other_shapes_or_values_are_refused(file: Path) -> None:
    state = load_tensors(file)["learner"]
    name = next(name for name, kept in state.items() if isinstance(kept, Tensor) and kept.dim() == 2)
    for other in (torch.zeros(1, 1), state[name].double(), state[name] * float("nan")):
        with pytest.raises(hl.InputError, match=r"m\.pt"):
            hl.load(rewritten(file, learner=state | {name: other}))


def test_a_target_of_your_own_is_given_again(tmp_path: Path) -> None:
    made = trained("hnet", target=ConvNet)
    made.save(tmp_path / "m.pt")
    again = hl.load(tmp_path / "m.pt", target=ConvNet, device="cpu")
    assert torch.equal(again.predict_proba(images()), made.predict_proba(images()))
    with pytest.raises(hl.InputError, match=r"trained with a target of your own, .*ConvNet: give target="):
        hl.load(tmp_path / "m.pt")
    with pytest.raises(hl.InputError, match=r"trained with target=.*ConvNet, and this is"):
        hl.load(tmp_path / "m.pt", target=nn.Linear)
    with pytest.raises(hl.InputError, match="no part 'net'"):
        hl.load(tmp_path / "m.pt", net=ConvNet)


def test_a_file_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    torch.save({"format": 1, "hyperlearn": hl.__version__, "method": Evil()}, tmp_path / "m.pt")
    with pytest.raises(hl.InputError, match=r"is no file of"):
        hl.load(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("method", ["hnet", "hnet-iwr", "lstm-net", "lstm-net-iwr", "lstm-net-grow", "scratch"])
def test_learning_goes_on(method: str, tmp_path: Path) -> None:
    """Three tasks, a file, and two more."""
    three = hl.benchmarks.first(DIGITS, 3)
    made = hl.fit(method, three, **{**small(method), "iterations": 120})
    made.save(tmp_path / "m.pt")
    made = hl.load(tmp_path / "m.pt", device="cpu")
    before = made.predict_proba(images(0), 0)
    for task in DIGITS.tasks[3:]:
        made.learn(task)
    assert made.tasks == 5
    assert made.classes == [task.classes for task in DIGITS.tasks]
    for number in (3, 4):
        found = made.predict(images(number), number)
        assert (found.labels == DIGITS.tasks[number].test.labels).float().mean() > 0.85
    if method in ("lstm-net-grow", "scratch"):
        assert torch.equal(made.predict_proba(images(0), 0), before)
    made.save(tmp_path / "again.pt")
    again = hl.load(tmp_path / "again.pt", device="cpu")
    assert torch.equal(again.predict_proba(images(4), 4), made.predict_proba(images(4), 4))


def test_learning_again_from_one_file_gives_the_same(file: Path) -> None:
    twice = []
    for _ in range(2):
        made = hl.load(file, device="cpu")
        made.learn(DIGITS.tasks[0])
        twice.append(made.predict_proba(images(0), 5))
    assert torch.equal(*twice)


def test_who_cannot_learn_further_says_so() -> None:
    with pytest.raises(hl.InputError, match="10 outputs, for 5 tasks and no other"):
        trained("finetune").learn(DIGITS.tasks[0])
    with pytest.raises(hl.InputError, match="trains on the images of all tasks, which are not kept"):
        trained("joint", scenarios=["cl2"]).learn(DIGITS.tasks[0])
    other = replace(DIGITS.tasks[0], classes=("a", "b", "c"))
    with pytest.raises(hl.InputError, match="of 2 classes, as the others; this one has"):
        trained("hnet").learn(other)
    plain = trained("finetune", scenarios=["cl2"])
    plain.learn(DIGITS.tasks[0])
    assert plain.tasks == 6


def folder_of_digits(folder: Path) -> Path:
    (folder / "pictures" / "below").mkdir(parents=True)
    for number, image in enumerate(images(1)[:3]):
        Image.fromarray(image.numpy()).save(folder / "pictures" / ("below" if number else "") / f"{number}.png")
    (folder / "pictures" / "notes.txt").write_text("no image")
    return folder / "pictures"


def test_the_command_line_saves_and_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, place = tmp_path / "m.pt", folder_of_digits(tmp_path)
    options = [
        "--target",
        "mlp-20",
        "--chunk-size",
        "300",
        "--iterations",
        "100",
        "--results",
        str(tmp_path / "r"),
        "--device",
        "cpu",
    ]
    assert cli.main(["run", "split-digits", "hnet", *options, "--save", str(file)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(file)
    assert cli.main(["predict", str(file), str(place), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    found = hl.load(file).predict(images(1)[:3])
    assert [Path(row["file"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert [(row["label"], row["task"]) for row in rows] == list(zip(*(x.tolist() for x in found), strict=True))
    assert {row["class"] for row in rows} <= set("0123456789")
    assert cli.main(["predict", str(file), str(place / "0.png"), "--task", "1"]) == 0
    assert "0.png: task 1, label" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: (place / "0.png").write_bytes(b"%!PS-Adobe"), "no readable image"),
        (lambda place: Image.new("L", (9, 8)).save(place / "0.png"), "has 9 x 8 pixels; images of 8 x 8 are needed"),
        (lambda place: [p.unlink() for p in place.rglob("*.png")], "no images below"),
        (lambda place: Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(place / "0.png"), None),  # taken as grey
    ],
)
def test_image_files_that_are_none(
    file: Path, tmp_path: Path, spoil: Callable[[Path], Any], message: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    place = folder_of_digits(tmp_path)
    spoil(place)
    assert cli.main(["predict", str(file), str(place)]) == (2 if message else 0)
    said = capsys.readouterr().err
    assert message is None or (message in said and len(said.splitlines()) == 1)


def test_a_further_task_begins_at_the_schedules_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warm-up goes from its first value, as in the tasks before."""
    ramp: dict[str, Any] = {"schedule": ((0.0, 0.01), (0.5, 1.0)), "interpolation": "linear", "learning_rate": 0.1}
    made = hl.fit("scratch", hl.benchmarks.first(DIGITS, 2), **SMALL | ramp)
    rates: list[float] = []
    fit_task = training.fit_task

    def watched(learner: Any, optimizer: Any, *args: Any, **options: Any) -> None:
        rates.append(optimizer.param_groups[0]["lr"])
        fit_task(learner, optimizer, *args, **options)

    monkeypatch.setattr(hl.trained, "fit_task", watched)
    made.learn(DIGITS.tasks[2])
    assert rates == [pytest.approx(0.001)]


def test_the_singular_of_scenarios_is_explained() -> None:
    """`hl.run` takes one scenario and `hl.fit` several; mixing them up was an error about `configure`."""
    with pytest.raises(hl.InputError, match=r"one training may serve several scenarios: scenarios=\['cl1'\]"):
        hl.fit("hnet", DIGITS, scenario="cl1")
