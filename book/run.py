"""Run chapters from top to bottom and store what they show; or check that what they store is what they are.

    python book/run.py                            every chapter, in the full profile
    python book/run.py 06_lstm --profile quick
    python book/run.py --profile quick --time     keeps how long it took, and leaves the chapters as they are
    python book/run.py --check                    runs nothing

A chapter stores the hash of the code that its outputs came from, so that a later edit of the code shows; its layout is
no part of it (see syntax.py). How long each profile took is kept in results/book/, which the page of the run times is
made from.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import syntax
from kernels import without_ports
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from hyperlearn.files import write_atomically
from hyperlearn.provenance import commit, environment
from hyperlearn.spec import pick_device

BOOK = Path(__file__).resolve().parent
TIMES = BOOK.parent / "results" / "book"
WIDGET = "application/vnd.jupyter.widget-view+json"

# What an author writes. Everything else in the metadata is a trace of the editor or of the machine.
NOTEBOOK_METADATA = {"accelerator", "colab", "hyperlearn", "mystnb"}
CELL_METADATA = {"cellView", "jupyter", "mystnb", "tags"}


def chapters() -> list[Path]:
    return sorted(BOOK.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def write(notebook: NotebookNode, path: Path) -> None:
    """All or nothing: whoever stops this, or reads meanwhile, finds the old chapter or the new one."""
    nbformat.validate(notebook)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False) as file:
        file.write(nbformat.writes(notebook).rstrip("\n") + "\n")
    if path.exists():
        os.chmod(file.name, path.stat().st_mode)  # a temporary file is private to its user
    os.replace(file.name, path)


def code_sha256(notebook: NotebookNode) -> str:
    return syntax.code_sha256(cell.source for cell in notebook.cells if cell.cell_type == "code")


def clean(notebook: NotebookNode) -> None:
    """Leave nothing in the notebook that differs between two runs, or two machines, that show the same."""
    kept = {key: value for key, value in notebook.metadata.items() if key in NOTEBOOK_METADATA}
    kept["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    kept["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.metadata = nbformat.from_dict(kept)
    notebook.nbformat_minor = 5
    for number, cell in enumerate(notebook.cells):
        cell.setdefault("id", f"cell-{number}")
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in CELL_METADATA})
        if cell.cell_type == "code":
            # A live widget (a progress bar, say) is dead in a page, and its text form says nothing.
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]


def execute(path: Path, profile: str, store: bool = True) -> dict[str, Any]:
    """Run a chapter, and store what it shows; the record of how long it took."""
    notebook = read(path)
    clean(notebook)
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
        config=without_ports(),
    )
    # The kernel inherits both; a fixed hash seed keeps the order of sets.
    os.environ.update(HYPERLEARN_PROFILE=profile, PYTHONHASHSEED="0")
    start, processor = time.perf_counter(), processor_seconds()
    client.execute()
    seconds, processor = round(time.perf_counter() - start, 1), round(processor_seconds() - processor, 1)
    clean(notebook)
    ran = {"code_sha256": code_sha256(notebook), "profile": profile, "seconds": seconds}
    notebook.metadata["hyperlearn"] = NotebookNode(ran)
    if found := list(problems(notebook)):
        raise ValueError("\n".join(found))
    if store:
        write(notebook, path)
    cells = sum(cell.cell_type == "code" for cell in notebook.cells)
    where = environment(pick_device("auto"))
    return {**ran, "processor_seconds": processor, "cells": cells, "environment": where, "commit": commit()}


def processor_seconds() -> float:
    """What the kernels that have ended used of the processor: unlike the clock, it leaves out other people's work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep_time(name: str, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(TIMES / record["profile"] / f"{name}.json", text.encode())


def problems(notebook: NotebookNode) -> Iterator[str]:
    """What makes the stored outputs unfit for the page, one line each."""
    stored = notebook.metadata.get("hyperlearn", {})
    if stored.get("code_sha256") != code_sha256(notebook):
        yield "the code is not the code that the stored outputs came from: run the chapter"
    count = 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        if "skip-execution" not in cell.metadata.get("tags", []):
            count += 1
            if cell.execution_count != count:
                yield f"cell {number} was not run in its turn"
        for output in cell.outputs:
            yield from (f"cell {number} {problem}" for problem in output_problems(output))


def output_problems(output: NotebookNode) -> Iterator[str]:
    if output.output_type == "error":
        yield f"ends with {output.ename}: {output.evalue}"
        return
    if output.get("name") == "stderr":
        yield f"warns: {output.text.strip()}"
    if WIDGET in output.get("data", {}):
        yield "stores a live widget, which does nothing in a built page"
    text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
    if re.search(r" at 0x[0-9a-f]{6,}>", text):
        yield "shows a memory address"
    if str(BOOK.parent) in text:
        yield "shows a path of this machine"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("chapters", nargs="*", help="names, such as 06_lstm (default: all of the book)")
    parser.add_argument("--profile", choices=["full", "quick"], default="full")
    parser.add_argument("--time", action="store_true", help="store how long it took, not what it shows")
    parser.add_argument("--check", action="store_true", help="run nothing; say what is stale or broken")
    options = parser.parse_args(arguments)
    paths = [BOOK / f"{Path(name).stem}.ipynb" for name in options.chapters] or chapters()
    if missing := [path.stem for path in paths if not path.is_file()]:
        parser.error(f"no chapter {missing[0]}: there are {', '.join(path.stem for path in chapters())}")

    failed = False
    for path in paths:
        print(path.stem, end=": ", flush=True)
        try:
            found = list(problems(read(path))) if options.check else []
            ran = read(path).metadata.get("hyperlearn", {})
            if not options.check:
                ran = execute(path, options.profile, store=not options.time)
                keep_time(path.stem, ran)
        except (CellExecutionError, DeadKernelError, ValueError) as error:
            found = [str(error), "the chapter is left as it was"]
        print("\n    ".join(["", *found]) if found else f"{ran['seconds']} s, {ran['profile']} profile")
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
