"""The library's own order: imports run one way, and nothing is downloaded or trained by importing it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hyperlearn
from hyperlearn import benchmarks, catalog, methods

PACKAGE = Path(__file__).parent.parent / "hyperlearn"
HERE = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}

# A module may import from its own layer's earlier entries and from all layers below it.
LAYERS = [
    ["catalog", "errors", "notebooks", "processor", "terminal", "version"],
    ["compiling", "intervals", "memory", "metrics"],
    ["datasets", "files", "objectives"],
    ["params", "data", "pictures", "records", "tensor_files"],
    ["cifar", "doubt", "subspaces", "swap"],
    ["adapters", "nets", "hypernets", "inference", "benchmarks", "quadratic"],
    ["fisher", "remembered"],
    ["regularizers"],
    ["methods"],
    ["results"],
    ["callbacks", "checkpoints", "evaluation", "provenance", "spec", "streams"],
    ["training"],
    ["replicas"],
    ["recipes"],
    ["trained"],
    ["tuning"],
    ["tables"],
    ["plans", "plots", "widgets"],
    ["drawings", "live", "sweeps"],
    ["commands"],
    ["cli"],
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What shows results needs them and nothing that makes them.
ONLY = {
    "plots": {"results", "errors", "metrics", "tables"},
    "widgets": {"results", "errors"},
    "tables": {"results", "errors", "intervals"},
    "drawings": {"plots", "errors"},
    "live": {"plots", "hypernets", "nets", "inference", "data", "params", "swap", "errors", "notebooks"},
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


HEAVY = {"torch", "numpy", "scipy", "matplotlib", "pandas", "torchvision", "sklearn", "PIL", "dask", "distributed"}
HEAVY |= {"seaborn", "ipywidgets"}
"""What takes a tenth of a second or more to import."""

WAITS = {
    "import hyperlearn": set(),
    "from hyperlearn import cli; cli.main(['methods'])": set(),
    "from hyperlearn import cli; cli.main(['methods', '--json'])": set(),
    "from hyperlearn import cli; cli.main(['benchmarks'])": set(),
    "from hyperlearn import cli; cli.main(['run', 'split-digits'])": set(),  # says what is missing
    "from hyperlearn import cli; cli.main(['table', '1', '--results', '.'])": set(),
    "from hyperlearn import cli; cli.main(['table', '1'])": set(),
    "import hyperlearn; hyperlearn.fit, hyperlearn.benchmarks": {"torch", "numpy"},
    "from hyperlearn import commands": {"torch", "numpy"},
}
"""What each of these may have imported of it when it is done."""


@pytest.mark.parametrize("code", WAITS)
def test_nothing_is_waited_for_that_is_not_used(code: str, tmp_path: Path) -> None:
    asked = f"import sys\n{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, cwd=tmp_path, env=HERE)
    assert done.returncode == 0, done.stderr
    assert HEAVY & set(done.stdout.splitlines()[-1].split()) == WAITS[code]


def test_help_does_not_wait_for_torch(tmp_path: Path) -> None:
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); from hyperlearn import cli; cli.main()"
    for command in ([], ["run"], ["table"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, env=HERE
        )
        assert "usage: hyperlearn" in done.stdout
        assert not HEAVY & set(done.stdout.splitlines()[-1].split())


def test_type_checkers_and_python_find_the_same_names() -> None:
    (block,) = (node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(node, ast.If))
    checked = {
        alias.asname or alias.name: f"{node.module}.{alias.name}" if node.module else None
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {name: where for name, where in checked.items() if where} == hyperlearn._NAMES
    assert sorted(checked) == hyperlearn.__all__
    assert set(hyperlearn.__all__) <= set(dir(hyperlearn))
    for name in hyperlearn.__all__:
        assert getattr(hyperlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        hyperlearn.nothing  # noqa: B018


def test_the_catalog_names_what_there_is() -> None:
    assert list(catalog.METHODS) == list(methods.METHODS)
    assert list(catalog.BENCHMARKS) == list(benchmarks.BENCHMARKS) == list(catalog.TASKS) == list(catalog.MADE_FOR)
    assert {name: len(benchmarks.load(name)) for name in catalog.TASKS if "digits" in name} == {
        name: tasks for name, tasks in catalog.TASKS.items() if "digits" in name
    }


def test_importing_is_free_of_effects(tmp_path: Path) -> None:
    code = "from hyperlearn import *; import pathlib; assert not list(pathlib.Path.home().iterdir())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent), "MPLCONFIGDIR": str(tmp_path / ".." / "mpl")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_takes_more_than_seven_parameters(path: Path) -> None:
    """What travels together is one thing. PyTorch hands tensors to an autograd Function one by one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if names[:1] in (["self"], ["cls"]):
                names = names[1:]
            assert len(names) <= 7 or names[0] == "ctx", f"{node.name} takes {', '.join(names)}"
