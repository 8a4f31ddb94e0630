"""An autoencoder: the pretraining of Deep SVDD in the paper, and also a detector."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from insphere.nets.build import build_decoder
from insphere.nets.draws import initial_weights
from insphere.nets.ranks import jointly
from insphere.training.batch import Batch, weighted_mean
from insphere.training.loop import mixed_seed
from insphere.training.objectives import Objective
from insphere.training.pretraining.pretraining import Pretraining
from insphere.training.start import StageSpec, Start, place


class AutoencoderPretraining(Pretraining):
    """The encoder and a decoder, its mirror image, reconstruct each sample (Ruff et al. 2018)."""

    kind: Literal["autoencoder"] = "autoencoder"

    def objective(self, start: Start, stage: StageSpec, seed: int) -> Reconstruction:
        """Return the squared error of the reconstruction."""
        with initial_weights(mixed_seed(seed, 1)):
            decoder = build_decoder(
                stage.encoder, start.images.shape, bounded_output=bounded_output(stage)
            )
        return Reconstruction(start.encoder, place(decoder, start.device, start.dtype))

    def identity(self, stage: StageSpec) -> dict[str, Any]:
        """Return what decides the result: checkpoints are named as when this was the only form."""
        return stage.model_dump(mode="json")


class Reconstruction(Objective):
    """Squared reconstruction error of an autoencoder, summed over each sample.

    Parameters
    ----------
    encoder, decoder : torch.nn.Module
        The two halves.
    """

    by_many = True

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch."""
        return weighted_mean(jointly(self._errors, batch.x), batch.weights)

    def _errors(self, x: Tensor) -> Tensor:
        restored: Tensor = self.decoder(self.encoder(x)).to(x.dtype)
        return (restored - x).square().flatten(1).sum(dim=1)


def bounded_output(stage: StageSpec) -> bool:
    """Whether the values to reconstruct are between 0 and 1."""
    return bool(stage.preprocess) and stage.preprocess[-1].step == "minmax"
