"""Controls of live notebooks: what a reader moves reaches the function, and what it shows reaches the reader.

The front end is played by the test, which sends the messages that a browser would: the new value of a control, a press
of the button. A chapter's own kernel answers, in the quick profile, after all cells up to the controls.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from loading import load
from nbclient import NotebookClient
from nbclient.util import run_sync

import hyperlearn as hl

BOOK = Path(__file__).parents[1] / "book"
run, kernels = load(BOOK / "run.py"), load(BOOK / "kernels.py")
CONTROLS = "hl.live.controls("
Outputs = list[dict[str, Any]]


def up_to_controls(path: Path) -> list[str]:
    """The code of a chapter up to its controls; nothing where it has none."""
    cells = [cell.source for cell in run.read(path).cells if cell.cell_type == "code"]
    last = max((number for number, source in enumerate(cells) if CONTROLS in source), default=-1)
    return cells[: last + 1]


CHAPTERS = [path for path in run.chapters() if up_to_controls(path)]


class Reader:
    """Who sits in front of a notebook and moves its widgets."""

    def __init__(self, client: NotebookClient) -> None:
        self.client = client

    def widgets(self, kind: str) -> dict[str, dict[str, Any]]:
        """The state of each widget whose model's name ends so."""
        states: dict[str, dict[str, Any]] = self.client.widget_state
        return {name: state for name, state in states.items() if state["_model_name"].endswith(kind)}

    def send(self, widget: str, data: dict[str, Any]) -> Outputs:
        """What the kernel shows in answer to a message for a widget."""
        kernel: Any = self.client.kc
        message = kernel.session.msg("comm_msg", {"comm_id": widget, "data": data})
        kernel.shell_channel.send(message)
        shown: Outputs = []
        while True:
            answer = run_sync(kernel.get_iopub_msg)(timeout=120)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return shown
            if answer["msg_type"] in {"display_data", "stream", "error"}:
                shown.append(answer["content"])

    def move(self, widget: str, **state: Any) -> Outputs:
        return self.send(widget, {"method": "update", "state": state, "buffer_paths": []})

    def press(self, button: str) -> Outputs:
        return self.send(button, {"method": "custom", "content": {"event": "click"}})


@contextmanager
def opened(sources: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A notebook with these cells, run to its end, in a kernel that goes on."""
    monkeypatch.setenv("HYPERLEARN_PROFILE", "quick")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(BOOK)}}, config=kernels.without_ports()
    )
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        yield Reader(client)


def images(shown: Outputs) -> list[str]:
    return [content["data"]["image/png"] for content in shown if "image/png" in content.get("data", {})]


def other(state: dict[str, Any]) -> dict[str, Any]:
    """A move of a slider, from where it stands to another place."""
    if "index" in state:
        return {"index": (state["index"] + 1) % len(state["_options_labels"])}
    return {"value": state["max"] if state["value"] != state["max"] else state["min"]}


def test_at_least_six_chapters_have_controls() -> None:
    assert len(CHAPTERS) >= 6


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_each_slider_of_a_chapter_computes_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(up_to_controls(path), monkeypatch) as reader:
        sliders, buttons = reader.widgets("SliderModel"), reader.widgets("ButtonModel")
        boxes = [state["children"] for state in reader.widgets("VBoxModel").values()]
        assert boxes
        for box in boxes:
            inside = [child.removeprefix("IPY_MODEL_") for child in box]
            moved = {name: sliders[name] for name in inside if name in sliders}
            assert moved
            check(reader, moved, [name for name in inside if name in buttons])


def check(reader: Reader, sliders: dict[str, dict[str, Any]], buttons: list[str]) -> None:
    """Moves each slider of one set of controls alone."""
    drawn = [images(reader.press(button)) for button in buttons]
    for slider, state in sliders.items():
        start = {name: state[name] for name in ("index", "value") if name in state}
        shown = reader.move(slider, **other(state))
        for button in buttons:
            assert not images(shown)  # it waits for the button
            shown = reader.press(button)
        assert not [content for content in shown if "ename" in content or content.get("name") == "stderr"], shown
        assert images(shown)
        assert images(shown) not in drawn, state["description"]
        drawn.append(images(shown))
        reader.move(slider, **start)  # where another slider may change nothing, as between two equal digits


def test_the_function_is_called_with_what_the_controls_say(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = (
        "import hyperlearn as hl, torch\n"
        "def told(beta=0.1, chunk_size=3):\n"
        "    print(beta, chunk_size, torch.rand(1).item())\n"
        "torch.manual_seed(0)\n"
        "hl.live.controls(told, beta=[0.01, 0.1, 1.0], chunk_size=(1, 9))\n"
        "print(torch.rand(1).item())"
    )
    torch.manual_seed(0)
    first = torch.rand(1).item()
    with opened([cell], monkeypatch) as reader:
        printed = [output.text for output in reader.client.nb.cells[0].outputs if output.output_type == "stream"]
        assert "".join(printed).split() == [str(first)]  # what the function drew is not missing
        labels = [state["description"] for state in reader.widgets("SliderModel").values()]
        assert labels == ["beta", "chunk size"]
        (beta,), (size,) = reader.widgets("SelectionSliderModel"), reader.widgets("IntSliderModel")
        said = [content["text"].split()[:2] for content in (*reader.move(beta, index=2), *reader.move(size, value=7))]
        assert said == [["1.0", "3"], ["1.0", "7"]]


def test_a_page_stores_nothing_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = "import hyperlearn as hl\nhl.live.controls(lambda side: print(side), button='Train', side=(1, 9))"
    with opened([cell], monkeypatch) as reader:
        run.clean(reader.client.nb)
        assert reader.client.nb.cells[0].outputs == []


def test_a_script_shows_no_controls(capsys: pytest.CaptureFixture[str]) -> None:
    hl.live.controls(print, side=(1, 9))
    assert capsys.readouterr() == ("", "")
