"""Small trainable additions to a network that is otherwise frozen: what a hypernetwork writes for a large backbone."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from .errors import InputError
from .params import ParamLayout, matching


class LowRank(nn.Module):
    r"""A low-rank update of a weight, as a parametrization: :math:`W + s\, B A`.

    Args:
        weight: the weight ``[d, *rest]``; of a convolution it is taken as a matrix ``[d, k]``.
        rank: r, of the update; at most min(d, k).
        scale: s.

    Attributes:
        A: ``[r, k]``, from N(0, 1/k), so that A x is about as large as an entry of x.
        B: ``[d, r]``, zero, so that the weight starts as it was.
    """

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        rank = min(rank, rows, columns)
        self.A = nn.Parameter(torch.randn(rank, columns).to(weight) / columns**0.5)
        self.B = nn.Parameter(weight.new_zeros(rows, rank))
        self.scale = scale

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.scale * (self.B @ self.A)).view_as(weight)

    def extra_repr(self) -> str:
        return f"rank={len(self.A)}, scale={self.scale}"


def lora(net: nn.Module, rank: int, *, scale: float = 1.0, layers: Sequence[str] = ("*",)) -> nn.Module:
    r"""A copy of a network in which low-rank updates of its weights are the only trainable parameters.

    .. math::
        & y = W_0 x + s\, B A x, \\
        & A \in \mathbb{R}^{r \times k},\ B \in \mathbb{R}^{d \times r}

    (Hu et al. 2021, arXiv 2106.09685, equation 3.) :math:`W_0` and all other parameters are frozen. :math:`B` starts at
    zero, so the copy computes at first what ``net`` does. A hypernetwork of it writes :math:`A` and :math:`B` for each
    task, over one backbone that no task changes.

    Updated are the weights of linear layers, those of convolutions, whose kernels are taken as one matrix
    ``[outputs, inputs * height * width]``, and the projections of `torch.nn.MultiheadAttention`. The update is a
    parametrization (`torch.nn.utils.parametrize`): a layer still has its ``weight``, which is now computed. Buffers are
    no parameters: the running statistics of batch norm still follow the images, for each task its own.

    Args:
        net: any module; it is not changed.
        rank: r; an update of a smaller matrix has that matrix's rank.
        scale: s, alpha / r in the paper.
        layers: shell patterns of the names of the layers to update, such as ``["encoder.*"]``.

    Raises:
        InputError: a rank below 1, a pattern that matches no layer of these kinds, or a network that cannot be a
            target: without parameters, without shapes yet, or wrapped for several devices.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> adapted = lora(net, rank=1)
        >>> [name for name, p in adapted.named_parameters() if p.requires_grad][:2]
        ['0.parametrizations.weight.0.A', '0.parametrizations.weight.0.B']
        >>> images = torch.rand(3, 4)
        >>> torch.equal(adapted(images), net(images))
        True
        >>> from hyperlearn.params import count
        >>> count(adapted, trainable=True), count(net)
        (22, 58)
    """
    if rank < 1:
        raise InputError(f"a low-rank update has at least rank 1, got {rank}")
    ParamLayout.of(net, ["*"])  # it has parameters, and they have shapes
    adapted = deepcopy(net).requires_grad_(False)
    found = {name: (layer, weights) for name, layer in adapted.named_modules() if (weights := _weights(layer))}
    chosen = matching(list(found), layers, f"linear or convolutional layer of {type(net).__name__}")
    for name, (layer, weights) in found.items():
        for weight in weights if name in chosen else ():
            parametrize.register_parametrization(layer, weight, LowRank(getattr(layer, weight), rank, scale))
    return adapted


def _weights(layer: nn.Module) -> list[str]:
    """Names of the weights in ``layer`` that a low-rank update is for."""
    if isinstance(layer, nn.MultiheadAttention):
        projections = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")  # the first, or the others
        return [name for name in projections if getattr(layer, name) is not None]
    return ["weight"] if isinstance(layer, nn.Linear | _ConvNd) else []
