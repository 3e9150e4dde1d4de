"""The library's own order: imports run one way, and nothing is downloaded or trained by importing it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hyperlearn"

# A module may import from its own layer's earlier entries and from all layers below it.
LAYERS = [
    ["errors", "processor", "version"],
    ["compiling", "intervals", "memory", "metrics"],
    ["datasets", "files", "objectives"],
    ["params", "data", "pictures", "records"],
    ["cifar", "doubt", "subspaces", "swap"],
    ["adapters", "nets", "hypernets", "inference", "benchmarks", "quadratic"],
    ["fisher", "regularizers"],
    ["methods"],
    ["results"],
    ["callbacks", "checkpoints", "evaluation", "provenance", "spec", "streams"],
    ["training"],
    ["replicas"],
    ["recipes"],
    ["trained"],
    ["tuning"],
    ["tables"],
    ["plots", "widgets"],
    ["live", "sweeps"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What shows results needs them and nothing that makes them.
ONLY = {
    "plots": {"results", "errors", "tables"},
    "widgets": {"results", "errors"},
    "tables": {"results", "errors", "intervals"},
    "live": {"plots", "hypernets", "inference", "data", "params", "errors"},
}


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The top-level modules of hyperlearn that a file imports."""
    names: set[str] = set()
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level < depth:
                continue  # within its own folder
            names |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hyperlearn"):
            pytest.fail(f"{path}: imports within the package are relative")
    return names


FILES = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_one_way(path: Path) -> None:
    own = top(path)
    assert own in RANK, f"{own} has no place in the layers"
    for name in imported(path):
        assert name == own or RANK[name] < RANK[own], f"{own} imports {name}, which is not below it"
        assert own not in ONLY or name in ONLY[own], f"{own} imports {name}"


def test_importing_is_free_of_effects(tmp_path: Path) -> None:
    code = "import hyperlearn, pathlib; assert not list(pathlib.Path.home().iterdir())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent), "MPLCONFIGDIR": str(tmp_path / ".." / "mpl")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
