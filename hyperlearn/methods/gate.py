r"""Which task, by reconstruction: a hypernetwork writes networks that know what they have seen.

Entropy asks each task's classifier how sure it is, and a classifier may be sure of an image that it never saw anything
like. Here the target is a `hyperlearn.nets.Density`: its logits are :math:`\log p(x, y)` of image and class, the error
of an autoencoder that draws the image again. Densities of several networks can be compared, and task and class are
those that make the image likeliest (`hyperlearn.inference.infer_by_density`). No image, no statistics and no generator
of images is kept: the output regularizer keeps the old autoencoders.

The loss of an image x of class y in task T is

.. math::
    \begin{aligned}
    & -\gamma \log p_T(x, y) - \tau \log p_T(y \mid x) \\
    & + \omega\, \mathrm{softplus}\big( m(x) - \log p_T(x, y) \big), \\
    & m(x) = \max_{t<T,\, k} \log p_t(x, k)
    \end{aligned}

in which the first term draws, the second tells the task's classes apart (Lasserre, Bishop & Minka 2006 weigh such a
sum), and the third asks the old tasks' networks about the *present* images: the present one has to be nearer to them.
The old networks are those that the hypernetwork writes at that moment, with their whole views, and get no gradient.

`lstm-net-gate` is the method. `hnet-gate` is the same behind a chunked hypernetwork with hidden layers as von Oswald et
al. have them; chapter 15 looks at what it keeps. `scratch-gate` has the same autoencoders without a hypernetwork.

Neither paper has this. An autoencoder for each task that says whose an image is is Expert Gate's idea (Aljundi,
Chakravarty & Tuytelaars 2017), which keeps them all; a generative model for each class that classifies by its density
is van de Ven, Li & Tolias' (2021, arXiv 2104.10093).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data import Batch
from ..hypernets import Hypernetwork, SeparateNetworks
from ..inference import evaluating, infer_by_density
from ..nets import BesideAutoencoder, ConditionalAutoencoder, is_density, whole_views
from ..objectives import Loss
from .base import Config, Count, Fraction, Natural, NonNegative, Parts, Setting, configuration
from .hypernet import ChunkedConfig, HypernetLearner, LSTMConfig, OutputPenaltyConfig


class GateLearner(HypernetLearner):
    """A density of image and class behind a hypernetwork, by which task and class are inferred together."""

    infers_alike = True

    def __init__(self, config: "GateConfig", setting: Setting) -> None:
        setting.objective.check_classes("a density of image and class")
        super().__init__(config, setting)  # type: ignore[arg-type]  # it has a hypernetwork, if not its sizes
        self.config: GateConfig = config
        if self.rule is None:
            self.rule = infer_by_density

    def task_loss(self, batch: Batch) -> Tensor:
        logits = self.own_logits(self.outputs(batch.images, self.batch_rows), self.learned)
        loss = self.own_loss(logits, batch.labels)
        if not self.learned or not self.config.contrast:
            return loss
        surplus = self.best_of_old(batch.images) - of_label(logits, batch.labels)
        return loss + self.config.contrast * nn.functional.softplus(surplus).mean()

    def own_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What an image's own task alone has to say: drawing it, and telling its classes apart."""
        drawn = -of_label(logits, labels).mean()
        return self.config.generative * drawn + self.config.discriminative * self.setting.objective.loss(logits, labels)

    @torch.no_grad()
    def best_of_old(self, images: Tensor) -> Tensor:
        """The largest log density that an old task's network gives each image: ``[B]``."""
        with evaluating(self.target), whole_views(self.target):
            return self.logits(images, None).amax((0, 2))

    def likelihood(self, task: int) -> Loss:
        return lambda outputs, labels: self.own_loss(self.own_logits(outputs, task), labels)


def of_label(logits: Tensor, labels: Tensor) -> Tensor:
    """The logit ``[B]`` of each image's own class, of ``[B, K]``."""
    return logits.gather(1, labels[:, None]).squeeze(1)


@configuration
class GateConfig(Config):
    """Hyperparameters of a density for each task."""

    generative: NonNegative = 0.2
    """Weight of the log density of image and class."""
    discriminative: NonNegative = 0.1
    """Weight of the class's log probability, given the image."""
    contrast: NonNegative = 0.1
    """Weight of being nearer to the present images than the old tasks' networks are."""
    drop: Fraction = 0.7
    """The largest share of pixels that a class-conditional autoencoder has to do without in training."""
    copies: Natural = 3
    """Pairs of masked copies by which it is judged in evaluation, beside the whole image."""
    autoencoder: tuple[Count, ...] = (100, 20)
    """Layers up to the code of the autoencoder that is put beside a target that is a classifier alone."""

    def target_maker(self, image_shape: tuple[int, ...], parts: Parts) -> Callable[[int], nn.Module]:
        made = super().target_maker(image_shape, parts)

        def target(outputs: int) -> nn.Module:
            net = made(outputs)
            for part in net.modules() if parts.target is None else ():
                if isinstance(part, ConditionalAutoencoder):
                    part.drop, part.copies = self.drop, self.copies
            return net if is_density(net) else BesideAutoencoder(net, image_shape, self.autoencoder)

        return target


@configuration
class ScratchGateConfig(GateConfig):
    """Autoencoders of their own for each task, without a hypernetwork, say which task and class an image is of."""

    learner_class = GateLearner

    def hypernet(self, target: nn.Module, tasks: int) -> SeparateNetworks:
        """A network for each task."""
        return SeparateNetworks(target)

    def regularizer(self, hypernet: Hypernetwork) -> None:
        """None: nothing is shared."""


@configuration
class HNETGateConfig(GateConfig, ChunkedConfig, OutputPenaltyConfig):
    """Autoencoders that a chunked hypernetwork writes say which task and class an image is of."""

    learner_class = GateLearner


@configuration
class LSTMNetGateConfig(GateConfig, LSTMConfig, OutputPenaltyConfig):
    """Autoencoders that an LSTM hypernetwork writes say which task and class an image is of."""

    learner_class = GateLearner
