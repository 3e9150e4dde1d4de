"""A variational autoencoder of fully connected networks."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from ..errors import InputError
from .mlp import MLP


class Encoder(nn.Module):
    """An `MLP` that says for each image from which normal distribution its code is.

    Args:
        image_shape: of one image.
        hidden: sizes of the hidden layers.
        latent: size of a code.

    Shapes:
        images ``[B, *image_shape]`` to mean and log variance of their codes, ``[B, latent]`` each.
    """

    def __init__(self, image_shape: Sequence[int], hidden: Sequence[int], latent: int) -> None:
        super().__init__()
        if not image_shape:
            raise InputError("an autoencoder has to know the shape of an image")
        self.mlp = MLP(prod(image_shape), hidden, 2 * latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.mlp(images).chunk(2, dim=1)
        return mean, log_variance


class VAE(nn.Module):
    """A variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114): learns to draw images like those it saw.

    Images have values in [0, 1], which the decoder takes for probabilities.

    Args:
        image_shape: of one image.
        encoder: sizes of the encoder's hidden layers.
        decoder: sizes of the decoder's hidden layers.
        latent: size of a code.

    Shapes:
        ``loss(images [B, *image_shape])`` is ``[B]``, ``sample(B)`` is ``[B, *image_shape]``.

    Example:
        >>> vae = VAE((8, 8), encoder=[40, 30], decoder=[30, 40], latent=5)
        >>> vae.loss(torch.rand(3, 8, 8)).shape
        torch.Size([3])
        >>> vae.sample(7).shape
        torch.Size([7, 8, 8])
    """

    def __init__(self, image_shape: Sequence[int], encoder: Sequence[int], decoder: Sequence[int], latent: int) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.latent = latent
        self.encoder = Encoder(image_shape, encoder, latent)
        self.decoder = MLP(latent, decoder, prod(image_shape))

    def loss(self, images: Tensor) -> Tensor:
        """`vae_loss` of each image, with a code drawn for each: ``[B]``."""
        mean, log_variance = self.encoder(images)
        return vae_loss(self.decoder(draw_code(mean, log_variance)), images, mean, log_variance)

    def sample(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Images of codes from N(0, 1): the probability that each pixel is white, ``[count, *image_shape]``."""
        codes = torch.randn(count, self.latent, device=next(self.parameters()).device, generator=generator)
        images: Tensor = self.decoder(codes).sigmoid().unflatten(1, self.image_shape)
        return images


def draw_code(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A code from N(mean, exp(log_variance)), by the reparameterization trick: ``[B, latent]``."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def vae_loss(logits: Tensor, images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""The negative evidence lower bound for each pixel.

    .. math::
        & \frac{1}{P} \Big( \sum_p \mathrm{BCE}(\hat x_p, x_p) \\
        & \quad - \tfrac{1}{2} \sum_k \big( 1 + \log \sigma_k^2 - \mu_k^2 - \sigma_k^2 \big) \Big)

    (Kingma & Welling 2014, appendix B, divided by the number of pixels P as van de Ven & Tolias 2019 do.)

    Args:
        logits: ``[B, P]``, what the decoder makes of the codes.
        images: ``[B, *image]``, with P values in [0, 1] each.
        mean: ``[B, latent]``, of the codes.
        log_variance: ``[B, latent]``, of the codes.

    Returns:
        ``[B]``, a value for each image.

    Example:
        >>> zero = torch.zeros(1, 3)  # the code tells nothing, so that it costs nothing; an even guess costs log 2
        >>> vae_loss(torch.zeros(1, 4), torch.ones(1, 2, 2), zero, zero)
        tensor([0.6931])
    """
    pixels = images.flatten(1)
    reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, pixels, reduction="none").mean(1)
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
    return reconstruction + divergence / pixels.shape[1]
