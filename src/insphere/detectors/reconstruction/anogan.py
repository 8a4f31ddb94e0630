"""AnoGAN: what a generator trained on normals cannot imitate is anomalous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.detectors.base.estimator import batches
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.base.network_state import (
    arrays_of,
    load_arrays,
    matching_weights,
    preprocess_steps,
    seed_from,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.nets.dcgan import SIDES
from insphere.preprocess.pipeline import to_batch
from insphere.preprocess.scaling import MinMaxSpec
from insphere.training.anogan import GAN, AnoGANSpec, SearchedLoss, search, train_gan
from insphere.training.callbacks import Callback
from insphere.training.device import resolve_device
from insphere.training.memory import keep_freed_memory
from insphere.training.progress_bar import ProgressBar

SEARCH_BATCH = 256


@parameters
class AnoGAN(NetworkDetector):
    """AnoGAN (Schlegl et al. 2017): distance to the nearest image that a generator can make.

    A DCGAN is trained to generate images like the normal training images. To score an image, the
    networks are kept fixed, and the latent vector is optimised whose generated image is nearest.
    The score is the remaining loss: (1 − λ) times the absolute differences of the pixels plus λ
    times those of the discriminator's features.

    Scoring is slow, because each image needs an optimisation. `fit` also scores all training
    images to place the threshold. The time grows with `search_steps` times the number of images,
    and with `width`. The authors search for 500 steps; the defaults are for machines without a
    GPU. More steps are not always better: a long search imitates anomalies as well.

    Parameters
    ----------
    latent_dim : int, default=256
        Length of the latent vector, as in Ruff et al. (2018).
    width : int, default=16
        Feature maps of both networks at half the side; doubled at each smaller side. The DCGAN of
        Radford et al. (2016) has 64.
    side : {32, 64} or None, default=None
        Images are resized to this height and width; None takes 64 for images larger than 32.
    train_steps : int, default=1500
        Training steps of both networks.
    batch_size : int, default=64
        Images in a step.
    lr : float, default=2e-4
        Learning rate of both networks.
    search_steps : int, default=20
        Steps of the search for each image.
    search_lr : float, default=0.05
        Learning rate of the search.
    starts : int, default=1
        Each search starts from the nearest of this number of latent vectors, which `fit` draws
        once. With 1, all searches start from the same random vector.
    discrimination_weight : float, default=0.1
        λ, in [0, 1].
    preprocess : str, sequence or None, default=None
        Steps by name or spec; None is the paper's contrast normalisation and min-max. A min-max
        step is added if it is not the last one, because the output of the generator is bounded.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    callbacks : sequence of Callback, default=()
        Objects that follow the training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only: scoring is deterministic.

    Attributes
    ----------
    history_ : list of dict
        One record for each epoch: phase, epoch, loss (of the generator), discriminator_loss, lr,
        seconds, images_per_second.
    spec_ : AnoGANSpec
        All settings, with the defaults filled in.
    gan_ : GAN
        The torch module with both networks.
    offset_, threshold_, score_mean_, score_std_
        See `OneClassDetector`.
    """

    _fixed_unit = True  # differences of pixels
    card = MethodCard(
        key="anogan",
        title="AnoGAN",
        family="reconstruction",
        summary="distance to the nearest image that a generative network can make",
        takes=("images",),
    )

    latent_dim: int = 256
    width: int = 16
    side: int | None = None
    train_steps: int = 1500
    batch_size: int = 64
    lr: float = 2e-4
    search_steps: int = 20
    search_lr: float = 0.05
    starts: int = 1
    discrimination_weight: float = 0.1
    preprocess: str | Sequence[Any] | None = None
    device: str = "auto"
    callbacks: Sequence[Callback] = ()
    verbose: bool = False

    # ------------------------------------------------------------------ public

    def reconstruct(self, X: Any) -> NDArray[np.float32]:
        """Return the nearest generated image for each given one, for display beside it.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, side, side, C)
            Generated images between 0 and 1, resized and preprocessed.
        """
        check_is_fitted(self)
        parts = []
        for target in self._targets(self._read(X)):
            _, z = search(self.gan_, target, self.spec_)
            with torch.no_grad():
                parts.append((self.gan_.generator(z) + 1) / 2)
        images: NDArray[np.float32] = torch.cat(parts).permute(0, 2, 3, 1).cpu().numpy()
        return images

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: the difference of each pixel from the nearest generated image.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images of the same shape as the training images.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            Absolute differences, summed over channels, and resized from the resolution of the
            generator to that of the images; higher is more anomalous.
        """
        data = self._read_images(X)
        keep_freed_memory()
        parts = []
        size = data.shape[1:3]
        for target in self._targets(data):
            _, z = search(self.gan_, target, self.spec_)
            with torch.no_grad():
                error = (target - self.gan_.generator(z)).abs().sum(dim=1, keepdim=True)
                sized = F.interpolate(error, size=size, mode="bilinear", antialias=True)
            parts.append(sized[:, 0].cpu().numpy())
        maps: NDArray[np.float32] = np.concatenate(parts)
        return maps

    @property
    def not_exported(self) -> str:
        """Why it cannot be exported."""
        return (
            "it searches a latent vector by gradients for each image, which a graph of fixed "
            "operations cannot do"
        )

    def _module(self) -> nn.Module:
        return SearchedLoss(self.gan_, self.spec_)

    # ------------------------------------------------------------------ OneClassDetector

    def _fit(self, X: NDArray[Any]) -> None:
        self._require_images("use DeepCAE for tables.")
        keep_freed_memory()
        spec = self._resolve()
        gan, history = train_gan(
            X,
            spec,
            seed=seed_from(self.random_state),
            device=resolve_device(self.device),
            callbacks=[*self.callbacks, *([ProgressBar()] if self.verbose else [])],
        )
        self.spec_, self.gan_, self.history_ = spec, gan, history

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        keep_freed_memory()
        parts = [search(self.gan_, x, self.spec_)[0].cpu() for x in self._targets(X)]
        scores: NDArray[Any] = torch.cat(parts).numpy()
        return scores

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {"spec": self.spec_.model_dump(mode="json"), "history": self.history_}
        return arrays_of(self.gan_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = AnoGANSpec.model_validate(meta["spec"])
            gan = GAN(spec, self.modality_.sample_shape)
            load_arrays(gan, arrays, device)
        self.spec_, self.gan_ = spec, gan.requires_grad_(False)
        self.history_ = list(meta["history"])

    # ------------------------------------------------------------------ inside

    @torch.no_grad()
    def _targets(self, X: NDArray[Any]) -> Iterator[torch.Tensor]:
        """Yield batches of images as the discriminator sees them; large ones are resized singly."""
        gan, device = self.gan_, self.gan_.starts.device
        few = gan.at_once(X.shape[1:])
        for part in batches(X, SEARCH_BATCH):
            yield torch.cat(
                [gan.resize(gan.preprocessor(to_batch(x, device))) for x in batches(part, few)]
            )

    def _resolve(self) -> AnoGANSpec:
        """Return the constructor's arguments as one spec."""
        steps = preprocess_steps(self.preprocess, self.modality_)
        if not steps or steps[-1].step != "minmax":
            steps = (*steps, MinMaxSpec())
        small, large = SIDES
        height, width = self.modality_.sample_shape[1:]
        side = self.side or (small if max(height, width) <= small else large)
        with settings():
            return AnoGANSpec(
                preprocess=steps,
                side=side,
                latent_dim=self.latent_dim,
                width=self.width,
                train_steps=self.train_steps,
                batch_size=self.batch_size,
                lr=self.lr,
                search_steps=self.search_steps,
                search_lr=self.search_lr,
                starts=self.starts,
                discrimination_weight=self.discrimination_weight,
            )
