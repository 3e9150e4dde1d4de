"""What there is by name. Whoever reads this, records or the paper's tables does not wait until PyTorch is imported."""

from typing import Literal

Scenario = Literal["cl1", "cl2", "cl3"]
SCENARIOS: tuple[Scenario, ...] = ("cl1", "cl2", "cl3")
"""Task-, domain- and class-incremental learning (van de Ven & Tolias 2019)."""

Compile = Literal["auto", "on", "off"]
"""Whether target networks are trained through `torch.compile`; see `hyperlearn.compiling`."""

BENCHMARKS: dict[str, str] = {
    "split-digits": "Five tasks of two digits each, 8 x 8 pixels: needs no file and no network.",
    "permuted-digits": "Ten digits under ten permutations of their 8 x 8 pixels: needs no file and no network.",
    "split-mnist": "Split MNIST (Zenke et al. 2017): five tasks (0, 1) (2, 3) (4, 5) (6, 7) (8, 9) of 28 x 28 pixels.",
    "permuted-mnist": "Permuted MNIST: ten digits under ten permutations of 32 x 32 pixels (padded by 2).",
    "split-fashion-mnist": "Split Fashion-MNIST: five tasks of two kinds of clothing each, 28 x 28 pixels.",
    "cifar-10-100": "CIFAR-10/100: ten classes of CIFAR-10, then five times ten of CIFAR-100, 3 x 32 x 32; CL1 only.",
}
"""Every benchmark that `hyperlearn.benchmarks.load` makes, in one line."""

TASKS = {
    "split-digits": 5,
    "permuted-digits": 10,
    "split-mnist": 5,
    "permuted-mnist": 10,
    "split-fashion-mnist": 5,
    "cifar-10-100": 6,
}
"""How many tasks each of `BENCHMARKS` has, unless it was changed."""

MADE_FOR = dict.fromkeys(BENCHMARKS, SCENARIOS) | {"cifar-10-100": ("cl1",)}
"""The scenarios of each of `BENCHMARKS`, for what is planned before images are read."""

METHODS: dict[str, str] = {
    "finetune": "Train one network on one task after the other: the lower bound.",
    "scratch": "Train a new network for each task and keep them all.",
    "joint": "Train one network on all tasks so far at once, which needs all old data: the upper bound.",
    "ewc": "Hold each parameter where earlier tasks had it, by its Fisher information, with one anchor a task.",
    "online-ewc": "Hold each parameter where the last task left it, by a running Fisher information.",
    "si": "Hold each parameter where the last task left it, by its share in the fall of earlier losses.",
    "lwf": "Hold the network to what it said of the present task's images before it learnt them.",
    "dgr": "Replay what a generator remembers, with the old classifier's labels (Shin et al. 2017).",
    "dgr-distill": "Replay what a generator remembers, with the old classifier's softened predictions.",
    "hnet": "Chunked hypernetwork with output regularizer (von Oswald et al. 2020).",
    "hnet-iwr": "Chunked hypernetwork with importance-weighted regularizer (Chandra et al. 2022).",
    "lstm-net": "LSTM hypernetwork with output regularizer (Chandra et al. 2022).",
    "lstm-net-iwr": "LSTM hypernetwork with importance-weighted regularizer (Chandra et al. 2022).",
    "lstm-net-grow": "LSTM hypernetwork that grows with each task, without regularizer (Chandra et al. 2022).",
    "hnet-r": "Replay from decoders that a chunked hypernetwork writes (von Oswald et al. 2020).",
    "hnet-iwr-r": "The same with importance-weighted regularizer (Chandra et al. 2022).",
    "lstm-net-r": "Replay from decoders that an LSTM hypernetwork writes (Chandra et al. 2022).",
    "lstm-net-iwr-r": "The same with importance-weighted regularizer (Chandra et al. 2022).",
    "lstm-net-grow-r": "Replay from decoders that a growing LSTM hypernetwork writes (Chandra et al. 2022).",
    "scratch-gate": "Class-conditional autoencoders for each task; task and class are those that reconstruct best.",
    "hnet-gate": "A chunked hypernetwork that writes class-conditional autoencoders.",
    "lstm-net-gate": "An LSTM hypernetwork that writes class-conditional autoencoders.",
    "basis-growth": "A frozen network to which each task adds coefficients on a basis and low rank.",
}
"""Every method, in one line; `hyperlearn.methods.METHODS` has its configuration."""
