r"""The key: what a task's images look like, in a mean and a few principal directions, as a rule of task inference.

An image is from the task whose subspace it is nearest to. With the mean :math:`\mu` and the orthonormal principal
directions :math:`V` of a task's images, its distance is what is left of an image when both are taken away,

.. math:: \lVert x - \mu \rVert^2 - \lVert V (x - \mu) \rVert^2

(subspace methods of classification; Oja 1983). Nothing of a network is asked, so that the rule stands beside any
method, and does as well or as badly beside all of them.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .data import Examples
from .errors import InputError


def principal_directions(rows: Tensor, number: int) -> Tensor:
    """The directions in which ``rows [m, n]`` vary most about their mean: orthonormal, ``[number, n]``.

    Each has its value of largest size above 0, so that all machines find the same. Computed from the covariance, in
    double precision.

    Raises `InputError` for more directions than dimensions.

    Example:
        >>> principal_directions(torch.tensor([[0.0, 1.0], [4.0, 1.0], [2.0, 1.5]]), 1)
        tensor([[1., 0.]])
    """
    if not 1 <= number <= rows.shape[1]:
        raise InputError(f"there are 1 to {rows.shape[1]} directions, not {number}")
    covariance = rows.double().T.cov(correction=0)  # [n, n]
    vectors = torch.linalg.eigh(covariance).eigenvectors.T.flip(0)[:number]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return (vectors * largest.sign()).to(rows.dtype)


class NearestSubspace(nn.Module):
    """The task whose subspace is nearest to the image; it learns a mean and principal directions of each task.

    An `hyperlearn.inference.InferenceRule`: ``hl.fit("lstm-net", benchmark, infer=NearestSubspace())``.

    Args:
        directions: how many principal directions of each task, or of each class.
        per_class: one subspace for each class of a task, and a task is as near as its nearest class.

    It keeps the means ``[subspaces, n]`` of flattened images, the axes ``[subspaces, directions, n]``, and the owners
    ``[subspaces]``, the task of each. Raises `InputError` for less than one direction.

    Example:
        >>> import hyperlearn as hl
        >>> tasks = hl.benchmarks.split_digits().tasks
        >>> key = NearestSubspace(directions=4)
        >>> for number, task in enumerate(tasks):
        ...     key.remember(number, task.train)
        >>> key.stored_per_task  # 64 pixels: a mean and four directions
        320
        >>> images = tasks[2].test[:].images
        >>> f"{(key(torch.zeros(5, len(images), 2), images) == 2).float().mean():.0%}"
        '97%'
    """

    means: Tensor
    axes: Tensor
    owners: Tensor

    def __init__(self, directions: int = 8, per_class: bool = False) -> None:
        super().__init__()
        if directions < 1:
            raise InputError(f"a subspace needs at least one direction, got {directions}")
        self.directions, self.per_class = directions, per_class
        self.register_buffer("means", torch.zeros(0, 0))
        self.register_buffer("axes", torch.zeros(0, directions, 0))
        self.register_buffer("owners", torch.zeros(0, dtype=torch.int64))

    @property
    def stored_per_task(self) -> int:
        """Values kept of a task, means and directions; of the one with most classes, where each class has its own."""
        if not len(self.owners):
            return 0
        each = (1 + self.directions) * self.means.shape[1]
        return each * int(self.owners.bincount().max())

    @torch.no_grad()
    def remember(self, task: int, train: Examples) -> None:
        """Learn the subspaces of ``task`` from its training images."""
        images = torch.cat([batch.images.flatten(1) for batch in train.batches(1000)])
        groups = [images[train.labels == label] for label in train.labels.unique()] if self.per_class else [images]
        for group in groups:
            mean, axes = group.mean(0), principal_directions(group, self.directions)
            self.means = torch.cat([self.means.to(mean).reshape(-1, len(mean)), mean[None]])
            self.axes = torch.cat([self.axes.to(mean).reshape(-1, *axes.shape), axes[None]])
            self.owners = torch.cat([self.owners, self.owners.new_tensor([task]).to(mean.device)])

    def distances(self, images: Tensor) -> Tensor:
        """What is left of ``images [B, *image]`` beside each subspace, squared: ``[subspaces, B]``."""
        rows = images.flatten(1) - self.means[:, None]  # [subspaces, B, n]
        inside = rows @ self.axes.transpose(1, 2)  # [subspaces, B, directions]
        return rows.square().sum(-1) - inside.square().sum(-1)

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """The tasks ``[B]``, task 0 before any was learnt; ``logits`` are not looked at."""
        if not len(self.owners):
            return logits.new_zeros(len(images), dtype=torch.int64)
        return self.owners[self.distances(images).argmin(0)]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for name in ("means", "axes", "owners"):  # as many as were learnt
            if (kept := state_dict.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(kept, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)
