"""A small convolutional network for images of digits."""

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import InputError
from .layout import channels_last

CHANNELS = (20, 50)
KERNEL = 5
HIDDEN = 500


class LeNet(nn.Module):
    """The convolutional network of LeCun et al. (1998), as Caffe's examples made it common on MNIST.

    Two convolutions of 5 x 5 with 20 and 50 channels, each followed by ReLU and a maximum over 2 x 2 pixels, 500 hidden
    units, and the logits. Henning et al. (2021) compare it with a fully connected target on Split MNIST.

    Args:
        image_shape: of one image, ``(h, w)`` or ``(channels, h, w)``, at least 16 x 16 pixels.
        outputs: number of logits.

    Shapes:
        images ``[B, *image_shape]`` to logits ``[B, outputs]``.

    Raises:
        InputError: images that are too small, or no images.

    Example:
        >>> from hyperlearn.params import count
        >>> count(LeNet((28, 28), outputs=2))
        427072
    """

    def __init__(self, image_shape: Sequence[int], outputs: int) -> None:
        super().__init__()
        if len(image_shape) not in (2, 3) or min(image_shape[-2:]) < 16:
            raise InputError(f"a LeNet takes images of at least 16 x 16 pixels, got shape {tuple(image_shape)}")
        self.gray = len(image_shape) == 2
        height, width = image_shape[-2:]
        for _ in CHANNELS:
            height, width = (height - KERNEL + 1) // 2, (width - KERNEL + 1) // 2
        self.conv1 = nn.Conv2d(1 if self.gray else image_shape[0], CHANNELS[0], KERNEL)
        self.conv2 = nn.Conv2d(*CHANNELS, KERNEL)
        self.hidden = nn.Linear(CHANNELS[1] * height * width, HIDDEN)
        self.head = nn.Linear(HIDDEN, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = images[:, None] if self.gray else channels_last(images)  # [B, channels, h, w]
        for conv in (self.conv1, self.conv2):
            x = nn.functional.max_pool2d(conv(x).relu(), 2)
        return self.head(self.hidden(x.flatten(1)).relu())
