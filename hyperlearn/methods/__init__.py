"""Continual-learning methods, one family a file."""

from .base import PARTS, SCENARIOS, Config, DoubtConfig, Learner, Parts, Scenario, Setting, Sizes, configuration
from .basis_growth import BasisGrowthConfig, BasisGrowthLearner
from .ewc import EWCConfig, OnlineEWCConfig
from .gate import GateConfig, GateLearner, HNETGateConfig, LSTMNetGateConfig, ScratchGateConfig
from .hypernet import (
    ClassifierConfig,
    HNETConfig,
    HNETIWRConfig,
    HypernetConfig,
    HypernetLearner,
    ImportancePenaltyConfig,
    LSTMNetConfig,
    LSTMNetGrowConfig,
    LSTMNetIWRConfig,
    OutputPenaltyConfig,
    PartConfig,
)
from .hypernet_replay import (
    HNETIWRReplayConfig,
    HNETReplayConfig,
    HypernetReplayLearner,
    LSTMNetGrowReplayConfig,
    LSTMNetIWRReplayConfig,
    LSTMNetReplayConfig,
)
from .lwf import LwFConfig
from .plain import Finetune, FinetuneConfig, JointConfig, ScratchConfig
from .replay import DGR, DGRConfig, DGRDistillConfig
from .si import SIConfig

METHODS: dict[str, type[Config]] = {
    "finetune": FinetuneConfig,
    "scratch": ScratchConfig,
    "joint": JointConfig,
    "ewc": EWCConfig,
    "online-ewc": OnlineEWCConfig,
    "si": SIConfig,
    "lwf": LwFConfig,
    "dgr": DGRConfig,
    "dgr-distill": DGRDistillConfig,
    "hnet": HNETConfig,
    "hnet-iwr": HNETIWRConfig,
    "lstm-net": LSTMNetConfig,
    "lstm-net-iwr": LSTMNetIWRConfig,
    "lstm-net-grow": LSTMNetGrowConfig,
    "hnet-r": HNETReplayConfig,
    "hnet-iwr-r": HNETIWRReplayConfig,
    "lstm-net-r": LSTMNetReplayConfig,
    "lstm-net-iwr-r": LSTMNetIWRReplayConfig,
    "lstm-net-grow-r": LSTMNetGrowReplayConfig,
    "scratch-gate": ScratchGateConfig,
    "hnet-gate": HNETGateConfig,
    "lstm-net-gate": LSTMNetGateConfig,
    "basis-growth": BasisGrowthConfig,
}
"""The configuration class of each method, by the method's name on the command line."""

__all__ = [
    "DGR",
    "METHODS",
    "PARTS",
    "SCENARIOS",
    "BasisGrowthConfig",
    "BasisGrowthLearner",
    "ClassifierConfig",
    "Config",
    "DGRConfig",
    "DGRDistillConfig",
    "DoubtConfig",
    "EWCConfig",
    "Finetune",
    "FinetuneConfig",
    "GateConfig",
    "GateLearner",
    "HNETConfig",
    "HNETGateConfig",
    "HNETIWRConfig",
    "HNETIWRReplayConfig",
    "HNETReplayConfig",
    "HypernetConfig",
    "HypernetLearner",
    "HypernetReplayLearner",
    "ImportancePenaltyConfig",
    "JointConfig",
    "LSTMNetConfig",
    "LSTMNetGateConfig",
    "LSTMNetGrowConfig",
    "LSTMNetGrowReplayConfig",
    "LSTMNetIWRConfig",
    "LSTMNetIWRReplayConfig",
    "LSTMNetReplayConfig",
    "Learner",
    "LwFConfig",
    "OnlineEWCConfig",
    "OutputPenaltyConfig",
    "PartConfig",
    "Parts",
    "SIConfig",
    "Scenario",
    "ScratchConfig",
    "ScratchGateConfig",
    "Setting",
    "Sizes",
    "configuration",
]
