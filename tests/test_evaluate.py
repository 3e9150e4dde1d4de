"""What is measured after each task, and what that leaves unknown."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hyperlearn as hl
from hyperlearn import cli, plots, results
from hyperlearn.evaluation import accuracies
from hyperlearn.methods import METHODS
from hyperlearn.training import Run

DIGITS = hl.benchmarks.split_digits()
SMALL: dict[str, Any] = {"target": "mlp-20", "iterations": 15, "batch_size": 16, "device": "cpu"}
HYPERNET: dict[str, Any] = {"chunk_size": 300, "task_dim": 4, "chunk_dim": 4}


def small(method: str) -> dict[str, Any]:
    made = SMALL | (HYPERNET if method.startswith(("hnet", "lstm")) else {})
    if method.startswith("dgr") or method.endswith("-r"):
        made |= {"encoder_hidden": (20,), "decoder_hidden": (20,), "latent": 5}
    return made


@pytest.mark.parametrize("method", ["finetune", "scratch", "hnet", "lstm-net-grow", "dgr"])
@pytest.mark.parametrize("evaluate", ["final", 2])
def test_what_is_measured_is_the_same_and_all_but_forgetting_is_known(method: str, evaluate: Any) -> None:
    whole = hl.fit(method, DIGITS, **small(method)).results
    part = hl.fit(method, DIGITS, evaluate=evaluate, **small(method)).results
    every = 5 if evaluate == "final" else evaluate
    for scenario, result in part.items():
        full = whole[scenario]
        for i, row in enumerate(result.accuracy_matrix):
            asked = range(5) if i == 4 or (i + 1) % every == 0 else (i, i + 1)
            assert [j for j, value in enumerate(row) if value is not None] == list(asked)
            assert [row[j] for j in asked] == [full.accuracy_matrix[i][j] for j in asked]
        ours, theirs = vars(result.metrics), vars(full.metrics)
        assert ours.pop("forgetting") is None
        assert theirs.pop("forgetting") is not None
        assert ours == theirs


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_measured_again_would_be_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = hl.run(method, DIGITS, **small(method))
    monkeypatch.setattr(Run, "unchanged", lambda run, task: None)
    assert hl.run(method, DIGITS, **small(method)).accuracy_matrix == saved.accuracy_matrix


@pytest.mark.parametrize(("method", "looks"), [("scratch", 5 + 5), ("lstm-net-grow", 5 + 15), ("hnet", 5 + 25)])
def test_what_cannot_have_changed_is_not_measured_again(
    method: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counting(learner: Any, examples: Any, scenarios: Any, task: int) -> Any:
        asked.append(task)
        return accuracies(learner, examples, scenarios, task)

    monkeypatch.setattr(hl.evaluation, "accuracies", counting)
    hl.run(method, DIGITS, **small(method))
    assert len(asked) == looks


def test_a_subclass_is_measured_again_unless_it_says_otherwise() -> None:
    class Swapping(hl.methods.plain.Scratch):
        def predict(self, images: Any, task: int | None, scenario: Any) -> Any:
            return super().predict(images, max(self.learned - 1, 0), scenario)

    class SwappingConfig(hl.methods.Config):
        learner_class = Swapping

    made = hl.run(SwappingConfig(target="mlp-20", iterations=15), DIGITS)
    assert made.accuracy_matrix[0][1:] != made.untrained_accuracy[1:]


@pytest.mark.parametrize("evaluate", [0, -1, True, 1.5, "last", None])
def test_what_evaluate_may_be_is_said(evaluate: Any) -> None:
    with pytest.raises(hl.InputError, match="'all', 'final' or a number"):
        hl.run("finetune", DIGITS, evaluate=evaluate)


def test_a_record_says_what_was_not_measured_and_a_checkpoint_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "split-digits", "hnet", "--evaluate", "final", "--results", str(tmp_path), "--scenario", "cl1"]
    words += ["--target", "mlp-20", "--iterations", "5", "--chunk-size", "300", "--checkpoint", str(tmp_path / "c")]
    assert cli.main(words) == 0
    (file,) = tmp_path.glob("split-digits/*.json")
    assert json.loads(file.read_text())["accuracy_matrix"][0][2] is None
    first = results.read(file)
    file.unlink()
    assert cli.main(words) == 0  # by the checkpoint of the finished run
    assert results.read(file).accuracy_matrix == first.accuracy_matrix
    assert cli.main([*words, "--evaluate", "some"]) == 2
    assert cli.main([*words, "--evaluate", "0"]) == 2
    assert "number of tasks from 1 on" in capsys.readouterr().err


def test_a_record_without_what_every_run_measures_is_refused(tmp_path: Path) -> None:
    made = hl.run("finetune", DIGITS, **SMALL)
    fields = json.loads(made.to_json())
    fields["accuracy_matrix"][1][1] = None
    (tmp_path / "a.json").write_text(json.dumps(fields))
    with pytest.raises(hl.InputError, match="task 1 after learning task 1 was not measured"):
        results.read(tmp_path / "a.json")


def test_figures_leave_out_what_was_not_measured() -> None:
    made = hl.run("finetune", DIGITS, evaluate="final", **SMALL)
    shown = [text.get_text() for text in plots.accuracy_matrix(made.accuracy_matrix).axes[0].texts]
    assert len(shown) == sum(value is not None for row in made.accuracy_matrix for value in row)
    (line, *_) = plots.accuracy_over_time({"finetune": made}).axes[0].lines
    assert np.asarray(line.get_xdata()).tolist() == [1, 5]
