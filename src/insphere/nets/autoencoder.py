"""A trained autoencoder as one module: raw samples in, reconstruction errors out."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from insphere.preprocess.pipeline import Preprocessor
from insphere.preprocess.step import Step


class Autoencoder(nn.Module):
    """Preprocessing, encoder and decoder together.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    encoder, decoder : torch.nn.Module
        The two halves.
    """

    def __init__(self, preprocessor: Preprocessor, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, x: Tensor) -> Tensor:
        """Return the squared error of each raw sample, summed over its preprocessed values."""
        wanted = self.preprocessor(x)
        restored: Tensor = self.decoder(self.encoder(wanted)).to(wanted.dtype)
        error: Tensor = (restored - wanted).square().flatten(1).sum(dim=1)
        return error

    def error_map(self, x: Tensor) -> Tensor:
        """Return the squared error of each pixel of raw images N×C×H×W, shape (N, H, W).

        The sum over the pixels of an image is its score.
        """
        wanted = self.preprocessor(x)
        restored: Tensor = self.decoder(self.encoder(wanted)).to(wanted.dtype)
        error: Tensor = (restored - wanted).square().sum(dim=1)
        return error

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the reconstruction of raw samples with the preprocessing undone.

        A step that normalises each sample by its own statistics is undone with those of the
        sample it was given.
        """
        steps = [cast(Step, step) for step in self.preprocessor.steps]
        before = [x.float() / 255 if x.dtype == torch.uint8 else x]
        for step in steps:
            before.append(step(before[-1]))
        restored: Tensor = self.decoder(self.encoder(before[-1])).to(before[-1].dtype)
        for position in reversed(range(len(steps))):
            undone = steps[position].inverse(restored)
            if undone is None:
                undone = _on_scale(restored, before[position + 1], before[position])
            restored = undone
        return restored


def _on_scale(x: Tensor, normalised: Tensor, original: Tensor) -> Tensor:
    """Undo, for each sample, the shift and scale between its original and its normalised form."""
    dims = tuple(range(1, x.ndim))

    def center(values: Tensor) -> Tensor:
        return values.mean(dim=dims, keepdim=True)

    contrast = (normalised - center(normalised)).abs().mean(dim=dims, keepdim=True)
    before = (original - center(original)).abs().mean(dim=dims, keepdim=True)
    scale = torch.where(contrast > 0, before / contrast, torch.zeros_like(before))
    return (x - center(normalised)) * scale + center(original)
