"""The order in which the values of images lie in memory."""

from torch import Tensor


def channels_last(images: Tensor) -> Tensor:
    """The same images ``[B, channels, h, w]``, their colours side by side in memory, where convolutions are fastest.

    As ``contiguous(memory_format=torch.channels_last)``, which `torch.vmap` does not take.
    """
    return images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
