"""Continual learning with hypernetworks: the library that the book is written with."""

from . import (
    adapters,
    benchmarks,
    callbacks,
    cifar,
    data,
    datasets,
    doubt,
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
