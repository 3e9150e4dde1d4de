r"""Replay with hypernetworks, +R: the hypernetwork generates a generator (von Oswald et al. 2020; Chandra et al. 2022).

An ordinary classifier learns the present task's images and samples of the past tasks. The samples are from a
variational autoencoder whose *decoder* the hypernetwork writes, anew for each task, and which is kept by the same means
as a classifier would be: the output regularizer (`hnet-r`, `lstm-net-r`), the importance-weighted regularizer
(`hnet-iwr-r`, `lstm-net-iwr-r`) or growth (`lstm-net-grow-r`). The encoder is an ordinary network and may forget.

The classifier's loss in task t > 1 is

.. math::
    & (1 - \alpha)\, L_{CE}(\text{present task}) \\
    & + \alpha\, L_{KD}(\text{samples of tasks } 1 \dots t-1)

with the distillation of `dgr-distill` against the classifier as it was before the task. In each step ceil(B / (t-1))
samples of each past task are drawn, B being the batch size. A sample's task is known, so that in CL1 it is learnt by
its own task's head.

von Oswald et al. learn a task's classifier first, all steps of it, and then the task's autoencoder. While the
classifier is learnt the past decoders do not change; here they are generated once, when a task ends, and samples of all
past tasks are drawn from them at once. So each step can be a step of both: the classifier replays from decoders of
before the task, the autoencoder learns the task, they have no parameter in common, and Adam moves each parameter by its
own gradients alone. The result is the same as one after the other on the same batches. For the same reason one training
serves all three scenarios, with a classifier for each.

Two details are in von Oswald et al.'s code and not in their text, and in CL3 on Split MNIST they are worth one to five
points (chapter 12). The old classifier gives the present task's classes a logit of 0, not a probability of 0 as van de
Ven & Tolias (2019) do: a sample that it is unsure of may be one of them. And classifier and encoder, where they are
fully connected, start Xavier-uniform with zero biases.

Deviations from von Oswald et al.: classifier and autoencoder see the same batches; the last task's autoencoder is
trained too, so that there are samples of all tasks to look at. The Fisher information of a decoder is that of the
autoencoder's loss, with one code drawn for each training image; Chandra et al. do not say what it is of.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from ..data import Batch, Examples
from ..errors import InputError
from ..fisher import fisher_information
from ..inference import Prediction
from ..nets import MLP, Encoder, draw_code, vae_loss
from ..params import Params, Selection, count
from ..swap import call_with
from ..tensor_files import check_alike
from .base import SCENARIOS, Fraction, Natural, Positive, Scenario, Setting, Sizes, configuration
from .hypernet import (
    ChunkedConfig,
    GeneratingLearner,
    GrowingConfig,
    HypernetConfig,
    ImportancePenaltyConfig,
    LSTMConfig,
    OutputPenaltyConfig,
)
from .lwf import TaughtClassifier, distillation
from .replay import Classifiers, ReplayConfig, check_pixels, no_past


def start(net: nn.Module) -> nn.Module:
    """``net``, Xavier-uniform where it is an `MLP`; another network starts as it was made."""
    return net.xavier_() if isinstance(net, MLP) else net


class HypernetReplayLearner(GeneratingLearner):
    """Classifiers, and a hypernetwork that writes a decoder of each task's images."""

    serves = SCENARIOS

    def __init__(self, config: "HypernetReplayConfig", setting: Setting) -> None:
        if 0 < config.task_condition < setting.tasks:
            raise InputError(f"task_condition must be 0 or at least the number of tasks, {setting.tasks}")
        encoder = Encoder(setting.image_shape, config.encoder_hidden, config.latent)
        encoder.mlp.xavier_()
        pixels = torch.Size(setting.image_shape).numel()
        super().__init__(config, setting, MLP(config.latent + config.task_condition, config.decoder_hidden, pixels))
        self.config: HypernetReplayConfig = config
        self.encoder = encoder
        self.classifiers = Classifiers(replace(setting, make_target=lambda n: start(setting.make_target(n))))
        self.decoders: Tensor | None = None  # [learned, N], generated when the last task ended

    def training_data(self, seen: Sequence[Examples]) -> Examples:
        return check_pixels(seen[-1])

    def task_loss(self, batch: Batch) -> Tensor:
        """The losses of autoencoder and classifiers, which have no parameter in common."""
        loss = self.autoencoder_loss(batch.images)
        replayed = self.replay(-(-len(batch.images) // self.learned)) if self.learned else None
        for classifier in self.classifiers.each():
            loss = loss + self.classifier_loss(classifier, batch, replayed)
        return loss

    def autoencoder_loss(self, images: Tensor) -> Tensor:
        """The loss of the present task's autoencoder."""
        mean, log_variance = self.encoder(images)
        codes = self.with_condition(draw_code(mean, log_variance), self.learned)
        logits = self.call_target(self.hypernet(self.learned), {}, codes)
        return vae_loss(logits, images, mean, log_variance).mean()

    def classifier_loss(
        self, classifier: TaughtClassifier, batch: Batch, replayed: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Cross-entropy on the present task and distillation on the past ones."""
        if replayed is None:
            return classifier.cross_entropy(batch, seen=1)
        images, tasks = replayed
        seen, size = self.learned + 1, len(batch.images)
        logits = classifier.logits(torch.cat([batch.images, images]), torch.cat([batch.tasks, tasks]), seen)
        old = classifier.select(classifier.taught(images), tasks, self.learned)
        old = nn.functional.pad(old, (0, logits.shape[1] - old.shape[1]))  # CL3: classes it has not met
        present = self.setting.objective.loss(logits[:size], classifier.labels(batch))
        past = distillation(logits[size:], old, self.config.temperature)
        return (1 - self.config.replay_weight) * present + self.config.replay_weight * past

    def replay(self, number: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Images of each finished task, and their tasks: ``[learned * number, *image]``, ``[learned * number]``.

        Raises `InputError` before a task is finished.
        """
        if self.decoders is None:
            raise no_past()
        device = self.decoders.device
        tasks = torch.arange(self.learned, device=device)
        codes = torch.randn(self.learned, number, self.config.latent, device=device, generator=generator)
        with torch.no_grad():
            inputs = self.with_condition(codes, tasks[:, None].expand(-1, number))
            decoders = self.hypernet.complete(self.decoders)
            logits = torch.vmap(partial(call_with, self.target))(decoders, inputs)  # [learned, number, pixels]
        return logits.sigmoid().flatten(0, 1).unflatten(1, self.setting.image_shape), tasks.repeat_interleave(number)

    def with_condition(self, codes: Tensor, tasks: int | Tensor) -> Tensor:
        """Codes ``[..., latent]`` with the one-hot task behind them: ``[..., latent + task_condition]``."""
        if not self.config.task_condition:
            return codes
        if not isinstance(tasks, Tensor):
            tasks = torch.full((), tasks, device=codes.device)  # a copy from the host would wait for the device
        tasks = tasks.expand(codes.shape[:-1])
        return torch.cat([codes, nn.functional.one_hot(tasks, self.config.task_condition)], dim=-1)

    def samples(self, number: int, seed: int = 0) -> Tensor:
        """Images for a figure, of each task finished so far: ``[learned, number, *image]``.

        The same seed gives the same codes; training is not disturbed. Raises `InputError` before a task is finished.
        """
        device = next(self.parameters()).device
        images, _ = self.replay(number, torch.Generator(device).manual_seed(seed))
        return images.unflatten(0, (self.learned, number))

    @torch.no_grad()
    def importance(self, task: int, train: Examples) -> Params:
        images = torch.cat([batch.images.flatten(1) for batch in train.batches(1000)])  # [n, pixels], all in memory
        codes = torch.cat([draw_code(*self.encoder(batch.images)) for batch in train.batches(1000)])
        return fisher_information(
            self.target,
            self.hypernet(task),
            self.with_condition(codes, task),
            torch.arange(len(images), device=images.device),
            # The divergence does not depend on the decoder.
            loss=lambda logits, i: nn.functional.binary_cross_entropy_with_logits(logits, images[i]),
            names=self.hypernet.layout.names,
        )

    def end_task(self, task: int, train: Examples) -> None:
        super().end_task(task, train)
        for classifier in self.classifiers.each():
            classifier.remember()
        with torch.no_grad():
            self.decoders = self.hypernet.flat(range(self.learned))

    def predict(self, images: Tensor, task: int | None, scenario: Scenario) -> Prediction:
        return self.classifiers.of(scenario).predict(images, task, seen=max(self.learned, 1))

    def probabilities(self, images: Tensor, task: int | None, scenario: Scenario) -> Tensor:
        return self.classifiers.of(scenario).probabilities(images, task, seen=max(self.learned, 1))

    def export(self, task: int) -> nn.Module:
        return self.classifiers.each()[0].export(task, seen=max(self.learned, 1))

    def sizes(self, scenario: Scenario) -> Sizes:
        """The target is all that would be trained without a hypernetwork: classifier, encoder and decoder."""
        rest, decoder = self.classifiers.of(scenario).sizes(beside=count(self.encoder)), count(self.target)
        return Sizes(
            rest.target + decoder,
            rest.trainable + count(self.hypernet),
            self.stored_per_task(),
            rest.frozen + decoder - self.hypernet.layout.numel,
        )

    def get_extra_state(self) -> dict[str, object]:
        return {**super().get_extra_state(), "decoders": self.decoders}

    def set_extra_state(self, state: dict[str, object]) -> None:
        super().set_extra_state(state)
        self.decoders = state["decoders"]  # type: ignore[assignment]

    @torch.no_grad()
    def check_state(self, finished: int, begun: int) -> None:
        super().check_state(finished, begun)
        made = {"decoders": self.hypernet.flat(range(finished))} if finished else {}
        check_alike({} if self.decoders is None else {"decoders": self.decoders}, made)


@configuration
class HypernetReplayConfig(HypernetConfig, ReplayConfig):
    """Hyperparameters of replay with a hypernetwork."""

    task_condition: Natural = 100
    """Length of the one-hot vector that tells the decoder the task, beside the code; 0 for none."""
    replay_weight: Fraction = 0.5
    """Share of the replayed images in the classifier's loss."""
    temperature: Positive = 2.0
    """T of the distillation, by which logits are divided before the softmax."""

    def selection(self, target: nn.Module) -> Selection:
        """A target that is given by hand is the classifier, which is trained and not generated."""
        return "trainable"


@configuration
class HNETReplayConfig(HypernetReplayConfig, ChunkedConfig, OutputPenaltyConfig):
    """Replay from decoders that a chunked hypernetwork writes (von Oswald et al. 2020)."""

    learner_class = HypernetReplayLearner


@configuration
class HNETIWRReplayConfig(HypernetReplayConfig, ChunkedConfig, ImportancePenaltyConfig):
    """The same with importance-weighted regularizer (Chandra et al. 2022)."""

    learner_class = HypernetReplayLearner


@configuration
class LSTMNetReplayConfig(HypernetReplayConfig, LSTMConfig, OutputPenaltyConfig):
    """Replay from decoders that an LSTM hypernetwork writes (Chandra et al. 2022)."""

    learner_class = HypernetReplayLearner


@configuration
class LSTMNetIWRReplayConfig(HypernetReplayConfig, LSTMConfig, ImportancePenaltyConfig):
    """The same with importance-weighted regularizer (Chandra et al. 2022)."""

    learner_class = HypernetReplayLearner


@configuration
class LSTMNetGrowReplayConfig(HypernetReplayConfig, GrowingConfig):
    """Replay from decoders that a growing LSTM hypernetwork writes (Chandra et al. 2022)."""

    learner_class = HypernetReplayLearner
