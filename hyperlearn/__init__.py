"""Continual learning with hypernetworks: the library that the book is written with."""

from . import (
    benchmarks,
    cifar,
    data,
    datasets,
    evaluation,
    inference,
    methods,
    nets,
    objectives,
    params,
    plots,
    recipes,
    records,
    results,
    sweep,
    tables,
    training,
    tuning,
    widgets,
)
from .errors import DataError, InputError
from .fisher import fisher_information
from .hypernets import ChunkedHypernet, EmbeddingHypernet, GrowingLSTMHypernet, Hypernetwork, LSTMHypernet
from .params import ParamLayout, Params, compression_ratio, count
from .quadratic import QuadraticPenalty
from .recipes import run, run_scenarios
from .regularizers import ImportanceWeightedRegularizer, OutputRegularizer, lookahead
from .results import Result
from .version import __version__

__all__ = [
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
    "Result",
    "__version__",
    "benchmarks",
    "cifar",
    "compression_ratio",
    "count",
    "data",
    "datasets",
    "evaluation",
    "fisher_information",
    "inference",
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
    "run_scenarios",
    "sweep",
    "tables",
    "training",
    "tuning",
    "widgets",
]
