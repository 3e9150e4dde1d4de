"""Continual-learning methods, one family a file."""

from .base import SCENARIOS, Config, Learner, Scenario, Setting, Sizes
from .ewc import EWCConfig, OnlineEWCConfig
from .hypernet import HNETConfig, HypernetLearner, LSTMNetConfig
from .lwf import LwFConfig
from .plain import FinetuneConfig, JointConfig, ScratchConfig
from .si import SIConfig

METHODS: dict[str, type[Config]] = {
    "finetune": FinetuneConfig,
    "scratch": ScratchConfig,
    "joint": JointConfig,
    "ewc": EWCConfig,
    "online-ewc": OnlineEWCConfig,
    "si": SIConfig,
    "lwf": LwFConfig,
    "hnet": HNETConfig,
    "lstm-net": LSTMNetConfig,
}
"""The configuration class of each method, by the method's name on the command line."""

__all__ = [
    "METHODS",
    "SCENARIOS",
    "Config",
    "EWCConfig",
    "FinetuneConfig",
    "HNETConfig",
    "HypernetLearner",
    "JointConfig",
    "LSTMNetConfig",
    "Learner",
    "LwFConfig",
    "OnlineEWCConfig",
    "SIConfig",
    "Scenario",
    "ScratchConfig",
    "Setting",
    "Sizes",
]
