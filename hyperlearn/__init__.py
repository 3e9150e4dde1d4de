"""Continual learning with hypernetworks: the library that the book is written with.

Everything is imported when it is first asked for: ``import hyperlearn`` waits neither for PyTorch nor for a plotting
library, and a program imports what it uses.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors read
    from . import (
        adapters,
        benchmarks,
        callbacks,
        cifar,
        data,
        datasets,
        doubt,
        drawings,
        evaluation,
        inference,
        live,
        methods,
        nets,
        objectives,
        params,
        plots,
        recipes,
        records,
        results,
        subspaces,
        sweeps,
        tables,
        trained,
        training,
        tuning,
        widgets,
    )
    from .errors import DataError, InputError
    from .fisher import fisher_information
    from .hypernets import (
        BasisGrowthHypernet,
        ChunkedHypernet,
        EmbeddingHypernet,
        GrowingLSTMHypernet,
        Hypernetwork,
        LSTMHypernet,
        SeparateNetworks,
    )
    from .params import ParamLayout, Params, compression_ratio, count
    from .quadratic import QuadraticPenalty
    from .regularizers import ImportanceWeightedRegularizer, OutputRegularizer, Regularizer, lookahead
    from .results import Result
    from .spec import RunSpec
    from .sweeps import sweep
    from .trained import Trained, fit, load, run
    from .tuning import search as tune
    from .version import __version__

_NAMES = {
    "BasisGrowthHypernet": "hypernets.BasisGrowthHypernet",
    "ChunkedHypernet": "hypernets.ChunkedHypernet",
    "DataError": "errors.DataError",
    "EmbeddingHypernet": "hypernets.EmbeddingHypernet",
    "GrowingLSTMHypernet": "hypernets.GrowingLSTMHypernet",
    "Hypernetwork": "hypernets.Hypernetwork",
    "ImportanceWeightedRegularizer": "regularizers.ImportanceWeightedRegularizer",
    "InputError": "errors.InputError",
    "LSTMHypernet": "hypernets.LSTMHypernet",
    "OutputRegularizer": "regularizers.OutputRegularizer",
    "ParamLayout": "params.ParamLayout",
    "Params": "params.Params",
    "QuadraticPenalty": "quadratic.QuadraticPenalty",
    "Regularizer": "regularizers.Regularizer",
    "Result": "results.Result",
    "RunSpec": "spec.RunSpec",
    "SeparateNetworks": "hypernets.SeparateNetworks",
    "Trained": "trained.Trained",
    "__version__": "version.__version__",
    "compression_ratio": "params.compression_ratio",
    "count": "params.count",
    "fisher_information": "fisher.fisher_information",
    "fit": "trained.fit",
    "load": "trained.load",
    "lookahead": "regularizers.lookahead",
    "run": "trained.run",
    "sweep": "sweeps.sweep",
    "tune": "tuning.search",
}
"""Where each name that is no module's comes from."""


def __getattr__(name: str) -> Any:
    """A module of the package, or one of `_NAMES`; Python asks once, and for what the package does not have yet."""
    if name in _NAMES:
        module, _, there = _NAMES[name].partition(".")
        globals()[name] = found = getattr(import_module(f"{__name__}.{module}"), there)
        return found
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "BasisGrowthHypernet",
    "ChunkedHypernet",
    "DataError",
    "EmbeddingHypernet",
    "GrowingLSTMHypernet",
    "Hypernetwork",
    "ImportanceWeightedRegularizer",
    "InputError",
    "LSTMHypernet",
    "OutputRegularizer",
    "ParamLayout",
    "Params",
    "QuadraticPenalty",
    "Regularizer",
    "Result",
    "RunSpec",
    "SeparateNetworks",
    "Trained",
    "__version__",
    "adapters",
    "benchmarks",
    "callbacks",
    "cifar",
    "compression_ratio",
    "count",
    "data",
    "datasets",
    "doubt",
    "drawings",
    "evaluation",
    "fisher_information",
    "fit",
    "inference",
    "live",
    "load",
    "lookahead",
    "methods",
    "nets",
    "objectives",
    "params",
    "plots",
    "recipes",
    "records",
    "results",
    "run",
    "subspaces",
    "sweep",
    "sweeps",
    "tables",
    "trained",
    "training",
    "tune",
    "tuning",
    "widgets",
]
