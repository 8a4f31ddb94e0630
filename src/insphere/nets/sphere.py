"""The trained model as one module: raw samples in, distances to what encloses the normals out."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from insphere.nets.view_encoder import ViewEncoder
from insphere.preprocess.pipeline import Preprocessor


class Sphere(nn.Module):
    """Preprocessing, encoder and head together, so that no one can use them apart by mistake.

    Parameters
    ----------
    preprocessor : Preprocessor
        Fitted on the training normals.
    encoder : torch.nn.Module
        φ(x; W).
    head : torch.nn.Module
        From representations to scores, such as ‖φ(x) − c‖²; see
        `insphere.training.heads.head.Head`.
    """

    def __init__(self, preprocessor: Preprocessor, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.preprocessor = preprocessor
        self.encoder = encoder
        self.head = head
        self.register_load_state_dict_pre_hook(_with_head)  # type: ignore[no-untyped-call]

    @property
    def center(self) -> Tensor:
        """c, shape (rep_dim,), of a head that has one centre."""
        return self.head.get_buffer("center")

    def represent(self, x: Tensor) -> Tensor:
        """Map raw images N×C×H×W (uint8 or float) or rows N×F to φ(x), shape (N, rep_dim)."""
        prepared = self.preprocessor(x)
        z: Tensor = self.encoder(prepared)
        if isinstance(self.encoder, ViewEncoder):
            z = torch.cat([z, self.encoder.looks(x).to(z.dtype)], dim=1)
        return z.to(next(itertools.chain(self.head.buffers(), self.head.parameters())).dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each raw sample, shape (N,)."""
        scores: Tensor = self.head(self.represent(x))
        return scores


def _with_head(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Read models from before the centre was part of a head."""
    if f"{prefix}center" in state:
        state[f"{prefix}head.center"] = state.pop(f"{prefix}center")
