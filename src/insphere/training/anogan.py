"""AnoGAN: training of a DCGAN on normal images, and the search for the nearest generated image."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.errors import InsphereError
from insphere.nets.dcgan import Discriminator, Generator
from insphere.nets.draws import initial_weights
from insphere.preprocess.pipeline import Preprocessor, StepSpec
from insphere.resources import PREPARING, rows_within
from insphere.training.adam import Adam
from insphere.training.callbacks import Callback, Record
from insphere.training.gradients import with_gradients
from insphere.training.images import TrainingImages, equal_batches
from insphere.training.loop import mixed_seed, seeded
from insphere.training.start import place

PHASE = "adversarial"
RESIZED_AT_ONCE = 256
COPY_BYTES = 32  # for each value of a raw image: a few float copies


class AnoGANSpec(BaseModel):
    """All settings that determine how an AnoGAN is trained and searched, apart from data and seed.

    Parameters
    ----------
    preprocess : tuple of StepSpec
        Steps fitted on the normal training samples; the last one scales values to [0, 1].
    side : {32, 64}
        Height and width of generated images.
    latent_dim : int
        Length of a latent vector.
    width : int
        Feature maps of the networks at half the side.
    train_steps, batch_size, lr
        Steps of both networks, images in each, learning rate of Adam (β₁ = 0.5).
    search_steps, search_lr
        Steps of the search in latent space, and its learning rate.
    starts : int
        Number of latent vectors; each search starts from the best of them.
    discrimination_weight : float
        λ: share of the discrimination loss in the loss of the search.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocess: tuple[StepSpec, ...]
    side: Literal[32, 64]
    latent_dim: PositiveInt
    width: PositiveInt
    train_steps: PositiveInt
    batch_size: int = Field(ge=2)
    lr: PositiveFloat
    search_steps: PositiveInt
    search_lr: PositiveFloat
    starts: PositiveInt
    discrimination_weight: float = Field(ge=0, le=1)


class GAN(nn.Module):
    """Preprocessing, both networks and the starts of every search together.

    Parameters
    ----------
    spec : AnoGANSpec
        What to build.
    shape : tuple (C, H, W)
        Shape of the images.
    """

    starts: Tensor

    def __init__(self, spec: AnoGANSpec, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.side = spec.side
        self.preprocessor = Preprocessor(spec.preprocess, shape)
        self.generator = Generator(spec.latent_dim, shape[0], spec.side, spec.width)
        self.discriminator = Discriminator(shape[0], spec.side, spec.width)
        self.register_buffer("starts", torch.randn(spec.starts, spec.latent_dim))

    def resize(self, x: Tensor) -> Tensor:
        """Resize preprocessed images and scale them to the range of the generator, −1 to 1."""
        if x.shape[2:] != (self.side, self.side):
            size = (self.side, self.side)
            x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        scaled: Tensor = 2 * x - 1
        return scaled

    def at_once(self, shape: tuple[int, ...]) -> int:
        """Return how many raw images (C, H, W) are resized at once; only small ones are kept."""
        return rows_within(COPY_BYTES * math.prod(shape), RESIZED_AT_ONCE, parts=PREPARING)


@with_gradients
def train_gan(
    X: NDArray[Any],
    spec: AnoGANSpec,
    *,
    seed: int,
    device: torch.device,
    callbacks: Sequence[Callback] = (),
) -> tuple[GAN, list[Record]]:
    """Train generator and discriminator on normal images with the standard loss of a GAN.

    The discriminator minimises the cross-entropy of classifying real and generated images. The
    generator minimises that of its images being classified as real (Goodfellow et al. 2014, section
    3).

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C)
        Normal training samples.
    spec : AnoGANSpec
        Settings of the training.
    seed : int
        Seed of all randomness, including the starts of later searches.
    device : torch.device
        Device of the training.
    callbacks : sequence of Callback
        Objects that follow the training; an epoch is a pass over the images, the last one perhaps
        cut short.

    Returns
    -------
    gan : GAN
        In evaluation mode, its weights frozen.
    history : list of dict
        One record for each epoch: phase, epoch, loss (of the generator), discriminator_loss, lr,
        seconds, images_per_second.
    """
    with initial_weights(mixed_seed(seed)):
        gan = GAN(spec, (X.shape[3], X.shape[1], X.shape[2]))
    place(gan, device, torch.float32)
    gan.preprocessor.fit(X)
    images = TrainingImages(X, gan.preprocessor, device)
    adversaries = _Adversaries(gan, spec, device)
    per_epoch = math.ceil(len(images) / spec.batch_size)
    epochs = math.ceil(spec.train_steps / per_epoch)
    history: list[Record] = []
    for callback in callbacks:
        callback.phase_start(PHASE, epochs, 0, len(images))
    try:
        for epoch in range(epochs):
            started, seen, total = time.perf_counter(), 0, torch.zeros(2, device=device)
            steps = min(per_epoch, spec.train_steps - epoch * per_epoch)
            with seeded(seed, epoch + 1) as random:
                batches = equal_batches(len(images), spec.batch_size, random)
                for _, index in zip(range(steps), batches, strict=False):
                    real = _resized(gan, images, index)
                    total += adversaries.step(real, random) * len(real)
                    seen += len(real)
                    for callback in callbacks:
                        callback.batch_end(PHASE, len(real))
            history.append(_record(epoch, total / seen, spec.lr, seen, started))
            for callback in callbacks:
                callback.epoch_end(history[-1])
    finally:
        for callback in callbacks:
            callback.phase_end(PHASE)
    gan.zero_grad()
    return gan.eval().requires_grad_(False), history


@torch.no_grad()
def _resized(gan: GAN, images: TrainingImages, index: Tensor) -> Tensor:
    """Return a batch as the discriminator sees it, of large images a few at a time."""
    parts = torch.split(index, gan.at_once(images.shape))
    return torch.cat([gan.resize(images.take(part).x) for part in parts])


class _Adversaries:
    """Both networks with their optimisers."""

    def __init__(self, gan: GAN, spec: AnoGANSpec, device: torch.device) -> None:
        self.generator, self.discriminator = gan.generator, gan.discriminator
        self.latent_dim, self.device = spec.latent_dim, device
        self.optimizers = [
            Adam(
                network.parameters(),
                lr=spec.lr,
                betas=(0.5, 0.999),
                fused=device.type in ("cpu", "cuda"),
            )
            for network in (self.generator, self.discriminator)
        ]

    def step(self, real: Tensor, random: torch.Generator) -> Tensor:
        """Update the discriminator, then the generator; return the losses of generator and it."""
        z = torch.randn(len(real), self.latent_dim, generator=random).to(self.device)
        fake = self.generator(z)
        loss_d = (
            F.softplus(-self.discriminator(real)).mean()
            + F.softplus(self.discriminator(fake.detach())).mean()
        )
        self._descend(1, loss_d, self.discriminator)
        loss_g = F.softplus(-self.discriminator(fake)).mean()
        self._descend(0, loss_g, self.generator)
        return torch.stack([loss_g.detach(), loss_d.detach()])

    def _descend(self, which: int, loss: Tensor, network: nn.Module) -> None:
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self.optimizers[which].step()


@with_gradients
def search(gan: GAN, target: Tensor, spec: AnoGANSpec) -> tuple[Tensor, Tensor]:
    """Search for the generated image that is nearest to each given one.

    The loss is (1 − λ) Σ|x − G(z)| + λ Σ|f(x) − f(G(z))|, with the discriminator's last map as f
    (Schlegl et al. 2017, equations 3, 5 and 6). Adam changes only z. The images of a batch are
    optimised together, but independently of each other. Each search starts from that of the fixed
    latent vectors whose image is nearest.

    Parameters
    ----------
    gan : GAN
        Trained, in evaluation mode.
    target : Tensor, shape (N, C, side, side)
        Preprocessed and resized images; see `GAN.resize`.
    spec : AnoGANSpec
        Settings of the search.

    Returns
    -------
    loss : Tensor, shape (N,)
        The smallest loss of the search.
    z : Tensor, shape (N, latent_dim)
        The latent vector of that loss.
    """
    with torch.no_grad():
        wanted = gan.discriminator.features(target)
        candidates = gan.generator(gan.starts).flatten(1)
        nearest = torch.cdist(target.flatten(1), candidates, p=1).argmin(dim=1)
    z = gan.starts[nearest].clone().requires_grad_()
    adam = Adam([z], lr=spec.search_lr)

    best = torch.full((len(target),), torch.inf, device=target.device)
    found = z.detach().clone()
    for step in range(spec.search_steps + 1):
        last = step == spec.search_steps
        with torch.set_grad_enabled(not last):
            loss = _distance(gan, target, wanted, z, spec.discrimination_weight)
        better = loss.detach() < best
        best = torch.where(better, loss.detach(), best)
        found = torch.where(better[:, None], z.detach(), found)
        if not last:
            (z.grad,) = torch.autograd.grad(loss.sum(), z)
            adam.step()
    return best, found


class SearchedLoss(nn.Module):
    """Computes the remaining loss after a search, from raw images.

    Parameters
    ----------
    gan : GAN
        Trained, in evaluation mode.
    spec : AnoGANSpec
        Settings of the search.
    """

    def __init__(self, gan: GAN, spec: AnoGANSpec) -> None:
        super().__init__()
        self.gan = gan
        self.spec = spec

    def forward(self, x: Tensor) -> Tensor:
        """Map raw images N×C×H×W to (N,); differentiable at the end of the search."""
        target = self.gan.resize(self.gan.preprocessor(x))
        with torch.enable_grad():
            _, z = search(self.gan, target.detach(), self.spec)
        wanted = self.gan.discriminator.features(target)
        return _distance(self.gan, target, wanted, z, self.spec.discrimination_weight)


def _distance(gan: GAN, target: Tensor, wanted: Tensor, z: Tensor, share: float) -> Tensor:
    """Return the weighted differences of pixels and features between images and G(z)."""
    image = gan.generator(z)
    residual = (target - image).abs().flatten(1).sum(dim=1)
    features = gan.discriminator.features(image)
    discrimination = (wanted - features).abs().flatten(1).sum(dim=1)
    total: Tensor = (1 - share) * residual + share * discrimination
    return total


def _record(epoch: int, losses: Tensor, lr: float, images: int, started: float) -> Record:
    generator, discriminator = losses.tolist()
    if not math.isfinite(generator + discriminator):
        raise InsphereError(
            f"The losses of epoch {epoch + 1} are not finite numbers; lower the learning rate "
            f"(now {lr:g}) or check the preprocessing."
        )
    seconds = time.perf_counter() - started
    return {
        "phase": PHASE,
        "epoch": epoch + 1,
        "loss": generator,
        "discriminator_loss": discriminator,
        "lr": lr,
        "seconds": seconds,
        "images_per_second": images / seconds,
    }
