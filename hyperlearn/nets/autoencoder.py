r"""Targets that draw the image again: their logits are densities, which can be compared between networks.

A classifier's logits say which class an image is of, given that it is of one. Those here say how likely the image is,

.. math:: \ell_y(x) = \log p(x, y) + \text{const}

with the same constant for all networks of one shape. The density is a normal distribution of unit variance around the
reconstruction :math:`\hat x`, so that a density is an error: :math:`\log p(x) = -\tfrac12 \lVert \hat x - x \rVert^2`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from math import prod

import torch
from torch import Tensor, nn

from ..errors import InputError
from .mlp import MLP

VIEW = 128
"""Values that the autoencoder beside a classifier looks at."""


def log_density(reconstruction: Tensor, view: Tensor) -> Tensor:
    r"""Minus half the squared error, :math:`-\tfrac12 \sum_p (\hat x_p - x_p)^2`: the log density but for a constant.

    Args:
        reconstruction: ``[..., P]``.
        view: what was to be drawn, ``[..., P]``, of a shape that goes with it.

    Example:
        >>> log_density(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.0, 1.0]]))
        tensor([-2.])
    """
    return -0.5 * (reconstruction - view).square().sum(-1)


class Density(nn.Module):
    """A target whose logits ``[B, K]`` are log densities log p(x, y) of image and class, but for a constant."""


class WithReconstruction(Density):
    r"""Any module that returns ``(logits, reconstruction)``, as a `Density`.

    .. math:: \ell_y(x) = \log p(y \mid x) - \tfrac12 \lVert \hat x - x \rVert^2

    Args:
        net: maps images ``[B, *image]`` to logits ``[B, K]`` and the images drawn again, ``[B, *image]``; or
            ``[B, K, *image]``, drawn again for each class. With None in the place of the logits the classes are told
            apart by their reconstructions alone.

    Shapes:
        images ``[B, *image]`` to ``[B, K]``.

    Example:
        >>> class Mean(nn.Module):
        ...     def forward(self, images):
        ...         return images[:, :2], images.mean(1, keepdim=True).expand_as(images)
        >>> WithReconstruction(Mean())(torch.tensor([[0.0, 0.0, 3.0]]))
        tensor([[-3.6931, -3.6931]])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        logits, drawn = self.net(images)
        images = as_floats(images)
        if drawn.dim() > images.dim():
            found = log_density(drawn.flatten(2), images.flatten(1)[:, None])
        else:
            found = log_density(drawn.flatten(1), images.flatten(1))[:, None]
        return found if logits is None else found + logits.log_softmax(1)


def is_density(target: nn.Module) -> bool:
    """Whether the target, or what it wraps, is a `Density`."""
    return any(isinstance(part, Density) for part in target.modules())


class ConditionalAutoencoder(Density):
    r"""Draws an image again as each of the classes; the class that draws it best is the label.

    .. math::
        \begin{aligned}
        z &= W_2\, \mathrm{relu}(W_1 (m \odot v) + b_1) + b_2 \\
        h_y &= \mathrm{relu}(W_3 [z; \mathrm{onehot}(y)] + b_3) \\
        r_y &= W_1^\top h_y + b_4, \quad \ell_y = -\tfrac12 \lVert r_y - v \rVert^2
        \end{aligned}

    The outer layer is used both ways. The view v is the image; pooled, it is twice the mean of each 2 x 2 pixels. The
    factor makes the pooling an orthogonal projection, so that errors in v are those of pixels, less what four
    neighbours differ by, which is the same for all networks.

    While it is trained, pixels of the view are left out (m): for each image a share u of ``drop``, u from U(0, 1). In
    evaluation mode the mean is taken of the error from the whole view and of that from ``2 copies`` of which half is
    left out: fixed masks and their complements.

    Args:
        image_shape: of one image.
        hidden: size of the hidden layers.
        code: size of z.
        classes: number of classes, K.
        pooled: look at means of 2 x 2 pixels. Images whose height or width is odd, or that have none, stay as they are.
        drop: the largest share of pixels that is left out in training.
        copies: pairs of masked copies in evaluation mode; 0 for the whole view alone.

    Shapes:
        images ``[B, *image]`` to ``[B, K]``; ``reconstruct(images)`` is ``[B, K, *image]``.

    Example:
        >>> from hyperlearn.params import count
        >>> net = ConditionalAutoencoder((28, 28), hidden=320, code=20, classes=2, pooled=True)
        >>> count(net), net(torch.rand(3, 28, 28)).shape
        (77016, torch.Size([3, 2]))
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        hidden: int,
        code: int,
        classes: int,
        *,
        pooled: bool = False,
        drop: float = 0.7,
        copies: int = 3,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.pooled = pooled and len(image_shape) in (2, 3) and all(side % 2 == 0 for side in image_shape[-2:])
        pixels = prod(image_shape) // (4 if self.pooled else 1)
        self.drop, self.copies = drop, copies
        self.encode = nn.Linear(pixels, hidden)
        self.code = nn.Linear(hidden, code)
        self.decode = nn.Linear(code + classes, hidden)
        self.bias = nn.Parameter(torch.zeros(pixels))

    def view(self, images: Tensor) -> Tensor:
        """What is drawn again: ``[B, P]``."""
        images = as_floats(images)
        if self.pooled:
            images = 2 * nn.functional.avg_pool2d(images, 2)
        return images.flatten(1)

    def draw(self, view: Tensor) -> Tensor:
        """The view drawn again as each class: ``[B, P]`` to ``[B, K, P]``."""
        z = self.code(self.encode(view).relu())
        by_code, by_class = self.decode.weight.split([z.shape[1], self.decode.in_features - z.shape[1]], 1)
        hidden = nn.functional.linear(z, by_code, self.decode.bias)[:, None] + by_class.T  # [B, K, hidden]
        drawn = torch.addmm(self.bias, hidden.relu().flatten(0, 1), self.encode.weight)  # one product, not one a class
        return drawn.unflatten(0, hidden.shape[:2])

    def reconstruct(self, images: Tensor) -> Tensor:
        """The images drawn again as each class, from the whole view, as pixels: ``[B, K, *image]``."""
        drawn = self.draw(self.view(images))
        if not self.pooled:
            return drawn.unflatten(2, self.image_shape)
        height, width = self.image_shape[-2:]
        small = drawn.unflatten(2, (*self.image_shape[:-2], height // 2, width // 2)) / 2
        return small.repeat_interleave(2, -1).repeat_interleave(2, -2)

    def forward(self, images: Tensor) -> Tensor:
        view = self.view(images)
        if self.training:
            share = self.drop * torch.rand(len(view), 1, device=view.device, dtype=view.dtype)
            return log_density(self.draw(view * (torch.rand_like(view) >= share)), view[:, None])
        whole = log_density(self.draw(view), view[:, None])
        if not self.copies:
            return whole
        kept = half_masks(self.copies, view.shape[1]).to(view)
        parts = sum(log_density(self.draw(view * mask), view[:, None]) for mask in torch.cat([kept, 1 - kept]))
        return (whole + parts / (2 * self.copies)) / 2

    def extra_repr(self) -> str:
        return f"pooled={self.pooled}, drop={self.drop}, copies={self.copies}"


class BesideAutoencoder(Density):
    r"""A classifier, and beside it an autoencoder that says how well it knows the image.

    .. math:: \ell_y(x) = \log p(y \mid x) - \tfrac12 \lVert g(Px) - Px \rVert^2

    The autoencoder g looks at a fixed random projection of the image, scaled so that lengths are about the same. P is a
    parameter that needs no gradient: all networks have the same one, and it is not learnt.

    Args:
        classifier: any module from images ``[B, *image]`` to logits ``[B, K]``.
        image_shape: of one image.
        hidden: sizes of the autoencoder's layers up to the code, which is the last; those behind it mirror them.
        view: values that the image is projected to; smaller images stay as they are.

    Shapes:
        images ``[B, *image]`` to ``[B, K]``.

    Example:
        >>> net = BesideAutoencoder(MLP(1024, [200, 200], 10), (32, 32), hidden=[100, 20])
        >>> sum(p.numel() for p in net.parameters() if p.requires_grad), net(torch.rand(3, 32, 32)).shape
        (277158, torch.Size([3, 10]))
    """

    def __init__(
        self, classifier: nn.Module, image_shape: Sequence[int], hidden: Sequence[int], view: int = VIEW
    ) -> None:
        super().__init__()
        pixels = prod(image_shape)
        self.classifier = classifier
        self.projection = None
        if view < pixels:
            drawn = torch.randn(pixels, view, generator=torch.Generator().manual_seed(0))
            fixed = torch.linalg.qr(drawn.double()).Q * (pixels / view) ** 0.5  # columns at right angles
            self.projection = nn.Parameter(fixed.to(torch.get_default_dtype()), requires_grad=False)
        seen = min(view, pixels)
        self.autoencoder = MLP(seen, [*hidden, *reversed(hidden[:-1])], seen)

    def forward(self, images: Tensor) -> Tensor:
        view = as_floats(images).flatten(1)
        if self.projection is not None:
            view = view @ self.projection
        return self.classifier(images).log_softmax(1) + log_density(self.autoencoder(view), view)[:, None]


def as_floats(images: Tensor) -> Tensor:
    """``images``; raises `InputError` for tokens and other whole numbers, which nothing can be near to."""
    if not images.is_floating_point():
        raise InputError(f"a reconstruction is of floats, and the images are {images.dtype}")
    return images


@cache
def half_masks(number: int, size: int) -> Tensor:
    """Fixed masks ``[number, size]`` of zeros and ones, half of each on average; the same on every machine.

    Example:
        >>> half_masks(2, 4)
        tensor([[0., 0., 1., 0.],
                [0., 0., 1., 1.]])
    """
    return (torch.rand(number, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64) < 0.5).float()


@contextmanager
def whole_views(target: nn.Module) -> Iterator[None]:
    """Within, autoencoders of ``target`` look at whole views alone in evaluation mode, at an eighth of the cost."""
    parts = [part for part in target.modules() if isinstance(part, ConditionalAutoencoder)]
    before = [part.copies for part in parts]
    try:
        for part in parts:
            part.copies = 0
        yield
    finally:
        for part, copies in zip(parts, before, strict=True):
            part.copies = copies
