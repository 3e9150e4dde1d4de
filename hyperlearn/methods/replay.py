r"""Deep generative replay, DGR (Shin et al. 2017), as van de Ven & Tolias (2019) have it.

A variational autoencoder learns beside the classifier. When a task ends, a copy of both is kept. In each step of the
next tasks the old generator draws as many images as the batch holds, the old classifier labels them, and both networks
learn from the batch and from the replayed images, the number of tasks so far being t:

.. math::
    & \frac{1}{t} L(\text{present task's images}) \\
    & + \left(1 - \frac{1}{t}\right) L(\text{replayed images})

L is the classifier's cross-entropy, and for the generator `hyperlearn.nets.vae_loss`. On replayed images the classifier
learns either the old classifier's most likely class (`dgr`), or its whole prediction, softened by a temperature T
(`dgr-distill`). The logits are

- CL1: those of each earlier task's head, since nobody knows which task a replayed image is of; the mean over the heads;
- CL2: those of the shared head;
- CL3: those of all classes seen so far; the old classifier gives the present task's classes probability 0.

Generator and classifier share one Adam, kept across tasks; they have no parameter in common, so that this is the same
as one each. The generator does not depend on the scenario: one training serves all three, with a classifier for each.
Deviation from van de Ven & Tolias' code (branch "preprints"): the encoder's output layer has a bias for the log
variance too.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..data import Batch, Examples, in_pieces
from ..errors import InputError
from ..inference import Prediction
from ..nets import VAE
from ..params import count
from .base import SCENARIOS, Config, Count, Learner, Positive, Scenario, Setting, Sizes, configuration
from .lwf import TaughtClassifier, distillation


def check_pixels(examples: Examples) -> Examples:
    """``examples`` as they are; raises `InputError` unless pixels can be taken for probabilities."""
    if examples.images.dtype != torch.uint8:
        ends = [piece.aminmax() for piece in in_pieces(examples.images)]
        low, high = float(min(end.min for end in ends)), float(max(end.max for end in ends))
        if not (low >= 0 and high <= 1):
            where = f"task {int(examples.tasks[0])}"
            raise InputError(f"{where}: replay needs images with values in [0, 1], these have {low:g} to {high:g}")
    return examples


def no_past() -> InputError:
    """What to raise where images of past tasks are asked for before there is one."""
    return InputError("there is no past task to replay: no task is finished yet")


class Classifiers(nn.ModuleDict):
    """A classifier for each scenario of ``setting``. What one of them is does not depend on which others are there."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        setting.objective.check_classes("replay")
        seed = int(torch.randint(2**31, ()))
        for scenario in setting.scenarios:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                self[scenario] = TaughtClassifier(setting, scenario)

    def each(self) -> list[TaughtClassifier]:
        """All of them."""
        return [cast(TaughtClassifier, classifier) for classifier in self.values()]

    def of(self, scenario: Scenario) -> TaughtClassifier:
        """That of ``scenario``."""
        return cast(TaughtClassifier, self[scenario])


class DGR(Learner):
    """Classifiers and a generator that both learn from what the generator remembers."""

    serves = SCENARIOS

    def __init__(self, config: "ReplayConfig", setting: Setting) -> None:
        super().__init__(config, setting)
        self.config: ReplayConfig = config
        self.classifiers = Classifiers(setting)
        self.generator = VAE(setting.image_shape, config.encoder_hidden, config.decoder_hidden, config.latent)
        self.old_generator = deepcopy(self.generator).requires_grad_(False)
        self.temperature = config.temperature if isinstance(config, DGRDistillConfig) else None

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.old_generator.eval()
        return self

    def training_data(self, seen: Sequence[Examples]) -> Examples:
        return check_pixels(seen[-1])

    def loss(self, batch: Batch) -> Tensor:
        images = batch.images if not self.learned else torch.cat([batch.images, self.replay(len(batch.images))])
        losses = self.generator.loss(images)  # [B] or [2 B], the present task's before the replayed ones
        present, past = losses[: len(batch.images)].mean(), losses[len(batch.images) :]
        parts = [self.classifier_losses(classifier, images, batch) for classifier in self.classifiers.each()]
        present = present + sum(part[0] for part in parts)
        if not self.learned:
            return present
        share = 1 / (self.learned + 1)
        return share * present + (1 - share) * (past.mean() + sum(part[1] for part in parts))

    def classifier_losses(self, classifier: TaughtClassifier, images: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """A classifier's loss on the images of ``batch``, and on those that follow them in ``images``, if any."""
        out: Tensor = classifier(images)
        present, past, replayed = out[: len(batch.images)], out[len(batch.images) :], images[len(batch.images) :]
        logits = classifier.select(present, batch.tasks, self.learned + 1)
        loss = self.setting.objective.loss(logits, classifier.labels(batch))
        return loss, self.remembered(classifier, past, replayed) if self.learned else torch.zeros_like(loss)

    def replay(self, number: int) -> Tensor:
        """Images of past tasks, drawn from the generator as it was before the present task: ``[number, *image]``.

        Raises `InputError` before a task is finished.
        """
        if not self.learned:
            raise no_past()
        with torch.no_grad():
            return self.old_generator.sample(number)

    def remembered(self, classifier: TaughtClassifier, out: Tensor, images: Tensor) -> Tensor:
        """The loss of the outputs ``out`` on replayed ``images``, against what the old classifier makes of them."""
        new, old = classifier.to_distill(out, images, self.learned)
        if self.temperature is None:
            return cross_entropy(new.flatten(0, -2), old.argmax(-1).flatten())
        return distillation(new, old, self.temperature)

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        for classifier in self.classifiers.each():
            classifier.remember()
        self.old_generator.load_state_dict(self.generator.state_dict())

    @torch.no_grad()
    def samples(self, number: int, seed: int = 0) -> Tensor:
        """Images for a figure, of all tasks finished so far, mixed: ``[number, *image]``.

        The same seed gives the same codes; training is not disturbed. Raises `InputError` before a task is finished.
        """
        if not self.learned:
            raise no_past()
        device = next(self.parameters()).device
        return self.old_generator.sample(number, torch.Generator(device).manual_seed(seed))

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        return self.classifiers.of(scenario).predict(images, task, seen=max(self.learned, 1))

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        return self.classifiers.of(scenario).probabilities(images, task, seen=max(self.learned, 1))

    def export(self, task: int) -> nn.Module:
        return self.classifiers.each()[0].export(task, seen=max(self.learned, 1))

    def sizes(self, scenario: Scenario) -> Sizes:
        return self.classifiers.of(scenario).sizes(beside=count(self.generator))


@configuration
class ReplayConfig(Config):
    """Hyperparameters of a generator of images."""

    encoder_hidden: tuple[Count, ...] = (400, 400)
    """Sizes of the encoder's hidden layers."""
    decoder_hidden: tuple[Count, ...] = (400, 400)
    """Sizes of the decoder's hidden layers."""
    latent: Count = 100
    """Size of a code."""


@configuration
class DGRConfig(ReplayConfig):
    """Replay what a generator remembers, with the old classifier's labels (Shin et al. 2017)."""

    learner_class = DGR


@configuration
class DGRDistillConfig(ReplayConfig):
    """Replay what a generator remembers, with the old classifier's softened predictions."""

    learner_class = DGR

    temperature: Positive = 2.0
    """T, by which logits are divided before the softmax."""
