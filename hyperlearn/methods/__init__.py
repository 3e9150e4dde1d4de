"""Continual-learning methods, one family a file."""

from .base import SCENARIOS, Config, Learner, Scenario, Setting, Sizes
from .hypernet import HNETConfig, HypernetLearner, LSTMNetConfig
from .plain import FinetuneConfig, JointConfig, ScratchConfig

METHODS: dict[str, type[Config]] = {
    "finetune": FinetuneConfig,
    "scratch": ScratchConfig,
    "joint": JointConfig,
    "hnet": HNETConfig,
    "lstm-net": LSTMNetConfig,
}
"""The configuration class of each method, by the method's name on the command line."""

__all__ = [
    "METHODS",
    "SCENARIOS",
    "Config",
    "FinetuneConfig",
    "HNETConfig",
    "HypernetLearner",
    "JointConfig",
    "LSTMNetConfig",
    "Learner",
    "Scenario",
    "ScratchConfig",
    "Setting",
    "Sizes",
]
