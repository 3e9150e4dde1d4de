"""A few trials of tests/fuzz_files.py."""

import subprocess
import sys
from pathlib import Path


def test_no_structure_of_a_file_crashes_or_changes_results_in_silence() -> None:
    words = [sys.executable, str(Path(__file__).with_name("fuzz_files.py")), "--trials", "60", "--seed", "1"]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert "60 trials" in done.stdout
