"""What a GPU would fail at or wait for, on a device that is made up: see `pretended`."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pretended import CASES, PRESENT, WRONG

import hyperlearn as hl

pytestmark = [
    pytest.mark.skipif(not PRESENT, reason="this version of PyTorch cannot make a device up"),
    pytest.mark.xdist_group("pretended"),
]

READS = {
    "training.not_finite": "are there NaNs? Before a task's end, and after it",
    "training.Run.keep_curve": "the losses of a task, all at once",
    "evaluation.accuracies": "how many answers were right, on each task's test images",
    "inference._check_finite": "logits that are NaN are an error and no task",
    "fisher.fisher_information": "the Fisher information that a task leaves is finite",
    "fisher._check_labels": "labels fit the logits",
    "fisher._is_plain": "the fast form gives what the slow one gives",
    "regularizers.ImportanceWeightedRegularizer._checked": "importances are >= 0, and not all are 0",
    "remembered.writes_by_one_head": "the Gram form still holds, for a task that is to be remembered",
}
"""Where the host reads numbers from the device and what for: when tasks end, and never in a step."""


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    """What each case came to."""
    here = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": str(Path(hl.__file__).parents[1])}
    done = subprocess.run([sys.executable, here / "pretended.py"], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return {line["case"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", CASES)
def test_devices_do_not_mix_and_no_step_waits(case: str, found: dict[str, dict[str, Any]]) -> None:
    assert found[case]["error"] == ""
    assert set(found[case]["reads"]) <= set(READS)


def test_every_place_that_reads_is_one_that_is_used(found: dict[str, dict[str, Any]]) -> None:
    assert {place for case in CASES for place in found[case]["reads"]} == set(READS)


@pytest.mark.parametrize("case", WRONG)
def test_a_step_that_waits_or_mixes_devices_is_found(case: str, found: dict[str, dict[str, Any]]) -> None:
    assert WRONG[case][0] in found[case]["error"]
