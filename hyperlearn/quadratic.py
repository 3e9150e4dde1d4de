"""A quadratic penalty that holds the parameters of a network near where they were after earlier tasks."""

import torch
from torch import Tensor, nn

from .errors import InputError
from .params import ParamLayout


class QuadraticPenalty(nn.Module):
    r"""Weighted squared distance of a network's parameters from anchors, at the same cost for any number of tasks.

    .. math::
        \sum_t \sum_i w_{t,i} (\theta_i - \theta^*_{t,i})^2 = \sum_i W_i (\theta_i - m_i)^2 + r

    where :math:`W = \sum_t w_t` is the total weight, :math:`m = \sum_t w_t \theta_t^* / W` the center, and
    :math:`r = \sum_t \sum_i w_{t,i} (\theta^*_{t,i} - m_i)^2` a constant. So 2 N + 1 numbers are stored and two passes
    over them are made, whatever the number of tasks.

    The other way to write the sum out, :math:`W \theta^2 - 2 b \theta + c`, takes a small difference of large numbers;
    with weights of 1e9 nothing is left of it in single precision. Here every term is a square, nothing cancels, and
    the running sums are updated as those of a variance are (Chan, Golub & LeVeque 1979), in double precision.

    Args:
        module: the network. It is referred to and not owned: its parameters are not this module's. Frozen ones are left
            out.

    Example:
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> penalty = QuadraticPenalty(layer)
        >>> for anchor in (1.0, 3.0):
        ...     penalty.add(torch.ones(1), torch.tensor([anchor]))
        >>> _ = torch.nn.init.constant_(layer.weight, 5.0)
        >>> penalty().item()  # (5 - 1)^2 + (5 - 3)^2
        20.0
    """

    weight: Tensor  # [N], W
    center: Tensor  # [N], m
    rest: Tensor  # [], r

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.layout = ParamLayout.of(module)
        self._module = (module,)  # in a tuple, so that its parameters are not registered here
        flat = self.flat()
        self.register_buffer("weight", torch.zeros_like(flat))
        self.register_buffer("center", flat)
        self.register_buffer("rest", flat.new_zeros(()))

    @property
    def params(self) -> list[Tensor]:
        """The network's parameters, those that are trained; a move to a device may put others in their place."""
        return [p for p in self._module[0].parameters() if p.requires_grad]

    def flat(self) -> Tensor:
        """A copy of the network's parameters as one vector [N]."""
        return torch.cat([p.detach().flatten() for p in self.params])

    def pieces(self, flat: Tensor) -> list[Tensor]:
        """Views of ``flat`` [N] in the shape of each parameter."""
        return list(self.layout.unflatten(flat).values())

    @torch.no_grad()
    def add(self, weight: Tensor, anchor: Tensor) -> None:
        """Add a term with ``weight`` [N] >= 0 around ``anchor`` [N]; raises `InputError` for other shapes."""
        self._check(weight, anchor)
        w, total = weight.double(), self.weight.double() + weight.double()
        share = torch.where(total > 0, w / total, 1.0)  # of the new term in the center
        apart = anchor.double() - self.center.double()
        self.rest += (self.weight.double() * share * apart.square()).sum().to(self.rest.dtype)
        self.center.copy_(torch.lerp(self.center.double(), anchor.double(), share))
        self.weight.copy_(total)

    @torch.no_grad()
    def replace(self, weight: Tensor, anchor: Tensor) -> None:
        """Put one term with ``weight`` [N] around ``anchor`` [N] in the place of all others.

        Raises `InputError` for other shapes.
        """
        self._check(weight, anchor)
        self.weight.copy_(weight)
        self.center.copy_(anchor)
        self.rest.zero_()

    def _check(self, weight: Tensor, anchor: Tensor) -> None:
        for what, flat in (("weight", weight), ("anchor", anchor)):
            if flat.shape != self.weight.shape:
                raise InputError(f"{what}: shape {tuple(flat.shape)}, expected {tuple(self.weight.shape)}")

    def forward(self) -> Tensor:
        """The penalty at the network's present parameters, a scalar."""
        apart = torch.cat([p.flatten() for p in self.params]) - self.center
        return (self.weight * apart.square()).sum() + self.rest

    @torch.no_grad()
    def add_gradient(self, scale: float) -> None:
        """Add the gradient of ``scale`` times the penalty to the parameters' gradients.

        The same as ``(scale * penalty()).backward()``, faster. The gradients before are left as they are: ``p.grad``
        is another tensor afterwards.
        """
        parts = zip(self.params, self.pieces(self.weight), self.pieces(self.center), strict=True)
        for p, weight, center in parts:
            if p.requires_grad:
                apart = p - center  # and then the sum, in the same memory: a pass over new memory costs more
                before = torch.zeros_like(p) if p.grad is None else p.grad
                p.grad = torch.addcmul(before, weight, apart, value=2 * scale, out=apart)
