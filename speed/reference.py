"""A training step of von Oswald et al.'s own implementation of HNET, taken from a copy of their repository.

What a step does is what their ``mnist/train_splitMNIST.py`` does in ``train_class_one_t``, with the modules of that
repository, on batches that are tensors already: no time goes into reading data, printing or figures.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from hyperlearn.data import Examples
from hyperlearn.errors import InputError
from hyperlearn.methods import HNETConfig
from hyperlearn.training import clock

MODULES = (
    "mnets.mlp",
    "mnets.classifier_interface",
    "mnist.chunked_hyper_model",
    "utils.optim_step",
    "utils.hnet_regularizer",
)


def load(folder: Path) -> dict[str, Any]:
    """Modules of the repository in ``folder``; raises `InputError` where they are not there or cannot be imported."""
    sys.path.insert(0, str(folder))
    try:
        for top in {name.partition(".")[0] for name in MODULES}:  # other packages are called "utils" too
            for name in [name for name in sys.modules if name.partition(".")[0] == top]:
                del sys.modules[name]
        toys = ModuleType("toy_example")  # its own code sets fonts, as Matplotlib does no more
        toys.__path__ = [str(folder / "toy_example")]
        sys.modules["toy_example"] = toys
        return {name.partition(".")[2]: importlib.import_module(name) for name in MODULES}
    except ImportError as error:
        raise InputError(
            f"{folder} is no copy of the reference implementation, https://github.com/chrhenning/hypercl ({error})"
        ) from error
    finally:
        sys.path.remove(str(folder))


class Reference:
    """Their HNET in the middle of a task, ready to take steps.

    Args:
        folder: a copy of the repository.
        config: the sizes of the hypernetwork, its beta and its learning rate.
        data: the images of a task.
        device: where to train.
        learned: tasks that are learnt already, of ``tasks``.
        classes: of a task; all share the outputs, as their CL2 has it, so that the target is as large as ours.
    """

    def __init__(
        self,
        folder: Path,
        config: HNETConfig,
        data: Examples,
        device: torch.device,
        *,
        learned: int,
        tasks: int,
        classes: int = 2,
    ) -> None:
        torch.manual_seed(0)
        self.their, self.config, self.data, self.learned, self.device = load(folder), config, data, learned, device
        self.classes = classes
        hidden = [int(size) for size in config.target.removeprefix("mlp-").split("-")]
        pixels = data.images.shape[1:].numel()
        self.net = self.their["mlp"].MLP(n_in=pixels, n_out=classes, hidden_layers=hidden, no_weights=True)
        self.hypernet = self.their["chunked_hyper_model"].ChunkedHyperNetworkHandler(
            self.net.param_shapes,
            tasks,
            chunk_dim=config.chunk_size,
            layers=list(config.hidden),
            te_dim=config.task_dim,
            ce_dim=config.chunk_dim,
        )
        self.hypernet.to(device)
        self.optimizer = torch.optim.Adam(list(self.hypernet.theta), lr=config.learning_rate)
        self.embedding = torch.optim.Adam([self.hypernet.get_task_emb(learned)], lr=config.learning_rate)
        self.targets = self.their["hnet_regularizer"].get_current_targets(learned, self.hypernet) if learned else None

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """One step on images ``[B, pixels]`` and one-hot labels ``[B, classes]``; returns the task's loss."""
        self.optimizer.zero_grad()
        self.embedding.zero_grad()
        logits = self.net.forward(images, self.hypernet.forward(self.learned))
        loss: Tensor = self.their["classifier_interface"].Classifier.softmax_and_cross_entropy(logits, labels)
        loss.backward(retain_graph=self.targets is not None)
        if self.targets is not None:
            change = self.their["optim_step"].calc_delta_theta(
                self.optimizer, False, lr=self.config.learning_rate, detach_dt=True
            )
            penalty = self.config.beta * self.their["hnet_regularizer"].calc_fix_target_reg(
                self.hypernet, self.learned, targets=self.targets, mnet=self.net, dTheta=change
            )
            penalty.backward()
        self.optimizer.step()
        self.embedding.step()
        return loss

    def turn(self, steps: int) -> float:
        """Seconds for one step, mean over so many."""
        order = torch.randint(len(self.data), (steps, self.config.batch_size), device=self.device)
        started = clock(self.device)
        for rows in order:
            batch = self.data[rows]
            labels = torch.nn.functional.one_hot(batch.labels, self.classes).to(batch.images.dtype)
            self.step(batch.images.flatten(1), labels)
        return (clock(self.device) - started) / steps
