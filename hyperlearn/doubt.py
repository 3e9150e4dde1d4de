r"""Doubt: a network is taught to be unsure of images that are none of its task's, made from the batch itself.

A task is inferred by entropy, and a network may be sure of what it never saw. Outlier exposure (Hendrycks, Mazeika &
Dietterich 2019, arXiv 1812.04606, equation 1 and section 4.3) adds to the loss of each batch the cross-entropy from the
uniform distribution over K classes to the prediction on outliers :math:`\tilde x`,

.. math::
    L + \lambda \, \mathbb{E}_{\tilde x} \Big[ -\frac{1}{K} \sum_{k=1}^K \log p_k(\tilde x) \Big]

with :math:`\lambda = 0.5` for images. Their outliers are a second data set; here they are halves of the batch's own
images put together wrongly, so that no further data are needed (`outliers`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .data import Batch
from .errors import InputError
from .objectives import Loss

KINDS = 4
"""Of outliers, see `outliers`."""


def check_halves(shape: Sequence[int]) -> None:
    """Raise `InputError` unless images of ``shape`` have halves: ``[..., h, w]``, two pixels or more each way."""
    if len(shape) < 2 or min(shape[-2:]) < 2:
        raise InputError(f"doubt puts halves of images together, [..., height, width]; these have shape {tuple(shape)}")


def outliers(images: Tensor, labels: Tensor) -> Tensor:
    """Images that are no class's, of halves of a batch's images: half as many as there are images.

    Of each kind an eighth of the batch, one at least, of images drawn at random:

    1. the top half of one image on the bottom half of an image of another class;
    2. one image whose top and bottom halves have changed places;
    3. the left half of one beside the right half of an image of another class;
    4. one whose left and right halves have changed places.

    Nothing is turned: a turned 0 is a 0. Where all images of a batch are of one class, 2 takes the place of 1, and 4
    that of 3.

    Args:
        images: ``[B, ..., h, w]``.
        labels: ``[B]``.

    Returns:
        ``[4 max(1, B // 8), ..., h, w]``, on the same device.

    Raises:
        InputError: images without two dimensions.

    Example, two images of 2 x 2 pixels:
        >>> images = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
        >>> made = outliers(images[:1].expand(8, 2, 2), torch.zeros(8))
        >>> made.shape
        torch.Size([4, 2, 2])
        >>> made[1].tolist(), made[3].tolist()
        ([[3.0, 4.0], [1.0, 2.0]], [[2.0, 1.0], [4.0, 3.0]])
    """
    check_halves(images.shape[1:])
    each = max(1, len(images) // 8)
    rows = torch.randint(len(images), (KINDS, each), device=images.device)
    made = []
    for dim, mixed, swapped in ((-2, rows[0], rows[1]), (-1, rows[2], rows[3])):
        size, half = images.shape[dim], images.shape[dim] // 2
        other = _of_another_class(labels, mixed)  # [each]; the image itself where there is none
        first, second = images[mixed], images[other]
        patched = torch.cat([first.narrow(dim, 0, half), second.narrow(dim, half, size - half)], dim)
        alone = (labels[mixed] == labels[other]).view(-1, *[1] * (images.dim() - 1))
        made += [torch.where(alone, first.roll(-half, dim), patched), images[swapped].roll(-half, dim)]
    return torch.cat(made)


def _of_another_class(labels: Tensor, rows: Tensor) -> Tensor:
    """For each of ``rows`` [n] one at random whose label is another; the row itself where there is none. No waiting."""
    differs = labels[rows][:, None] != labels[None]  # [n, B]
    drawn = torch.rand(differs.shape, device=labels.device).masked_fill(~differs, -1.0).argmax(1)
    return torch.where(differs.any(1), drawn, rows)


def uniform_cross_entropy(logits: Tensor) -> Tensor:
    """The cross-entropy from the uniform distribution over the classes to predictions ``[n, K]``: a mean, in nats.

    Its least value is log K, where all classes are as likely.

    Example:
        >>> uniform_cross_entropy(torch.zeros(3, 2))
        tensor(0.6931)
    """
    return -logits.log_softmax(-1).mean()


def loss_with_doubt(
    batch: Batch, logits: Callable[[Tensor], Tensor], loss: Loss, weight: float | None = None
) -> Tensor:
    """The loss of a batch, and ``weight`` times the doubt about its outliers, whose logits come from the same call.

    Args:
        batch: the images and labels of one step.
        logits: images ``[n, *image]`` to logits ``[n, K]``. The first of the images are the batch's.
        loss: what the batch is learnt by.
        weight: of the doubt; None for the loss alone.
    """
    if weight is None:
        return loss(logits(batch.images), batch.labels)
    out = logits(torch.cat([batch.images, outliers(batch.images, batch.labels)]))
    known, unknown = out.split([len(batch.images), len(out) - len(batch.images)])
    return loss(known, batch.labels) + weight * uniform_cross_entropy(unknown)
