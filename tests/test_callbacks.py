"""What looks on: written where it should be, and nothing where it should not."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pandas
import pytest
from nbclient import NotebookClient
from rich.console import Console

import hyperlearn as hl
from hyperlearn import callbacks

TWO = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)
SMALL: dict[str, Any] = {"target": "mlp-20", "iterations": 100, "device": "cpu"}


@pytest.mark.filterwarnings("default")  # its library's own
def test_tensorboard_reads_what_was_measured(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = hl.run("finetune", TWO, callbacks=[callbacks.TensorBoard(tmp_path)], **SMALL)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert {*read.Tags()["scalars"]} == {"loss", "cl1/task 0", "cl1/task 1"}
    assert [event.step for event in read.Scalars("loss")] == [50, 100, 150, 200]
    ends = [(event.step, event.value) for event in read.Scalars("cl1/task 0")]
    expected = [(100, made.accuracy_matrix[0][0]), (200, made.accuracy_matrix[1][0])]
    assert [(step, pytest.approx(value, abs=1e-6)) for step, value in expected] == ends


def test_without_its_library_tensorboard_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(hl.InputError, match="pip install tensorboard"):
        callbacks.TensorBoard(tmp_path)


def test_a_csv_file_is_what_pandas_reads(tmp_path: Path) -> None:
    made = hl.run("finetune", TWO, callbacks=[callbacks.CSVWriter(tmp_path / "a.csv")], evaluate="final", **SMALL)
    table = pandas.read_csv(tmp_path / "a.csv")
    last = table[(table.what == "cl1") & (table.task == 1)]
    assert last.value.tolist() == made.accuracy_matrix[1]
    assert (table.what == "loss").sum() == 4


def test_in_a_terminal_a_bar_is_shown_and_goes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(callbacks, "Console", lambda stderr: Console(stderr=True, force_terminal=True, width=80))
    hl.run("finetune", TWO, **SMALL)
    assert capsys.readouterr().err == ""  # colours that are asked for make no terminal
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    hl.run("finetune", TWO, **SMALL)
    assert "task 2 of 2" in capsys.readouterr().err
    hl.run("finetune", TWO, progress=False, **SMALL)
    assert capsys.readouterr().err == ""


def test_where_nobody_looks_nothing_is_written(capfd: pytest.CaptureFixture[str]) -> None:
    hl.run("finetune", TWO, **SMALL)
    assert capfd.readouterr() == ("", "")


def test_a_notebook_shows_a_bar_and_keeps_no_line_of_it() -> None:
    code = "import hyperlearn as hl\nd = hl.benchmarks.first(hl.benchmarks.split_digits(), 2)\n"
    code += "hl.run('finetune', d, target='mlp-20', iterations=100).average_accuracy > 0"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown, value = notebook.cells[0].outputs
    assert list(shown.data) == ["application/vnd.jupyter.widget-view+json"]
    assert value.data["text/plain"] == "True"


def test_a_notebook_bar_moves_and_is_closed_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class Widget(SimpleNamespace):
        def _repr_mimebundle_(self) -> dict[str, str]:
            return {"text/plain": "Widget()", "view": "shown"}

        def close(self) -> None:
            seen.append((self.value, self.description, "closed"))

    fake = ModuleType("ipywidgets")
    fake.FloatProgress = Widget  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    monkeypatch.setattr(callbacks, "find_spec", lambda name: object())
    monkeypatch.setattr(callbacks, "Console", lambda stderr: SimpleNamespace(is_jupyter=True, is_terminal=False))
    monkeypatch.setattr("IPython.display.display", lambda data, raw: seen.append(data))

    class Stop(callbacks.Callback):
        def on_evaluate(self, run: Any, accuracy: Any) -> None:
            if run.task == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hl.run("finetune", TWO, callbacks=[Stop()], **SMALL)
    assert seen == [{"view": "shown"}, (1.0, "task 2 of 2", "closed")]
