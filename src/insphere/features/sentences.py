"""Embeddings of texts with a frozen language model, for the cache of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from insphere.nets.language.model_folder import LanguageModel

BATCH_TOKENS = 4096


@dataclass(frozen=True)
class LayerMeans:
    """The form of embeddings: the mean of the tokens after each layer, each of length 1.

    Attributes
    ----------
    kind : str
        Name in the cache.
    """

    kind: str = "layer-means"

    def settings(self) -> dict[str, Any]:
        """Return what the values depend on, as JSON values."""
        return {"kind": self.kind}


class SentenceExtractor:
    """A language model with everything that its embeddings depend on.

    Parameters
    ----------
    model : LanguageModel
        The frozen network.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def settings(self) -> dict[str, Any]:
        """Return all settings that embeddings depend on besides the text, as JSON values."""
        model = self.model
        return {
            "language model": model.name,
            "weights": model.fingerprint,
            "longest": model.longest,
            "device": model.device.type,
        }

    def __call__(
        self, samples: NDArray[Any], forms: Sequence[LayerMeans], /
    ) -> list[NDArray[np.float16]]:
        """Return the embeddings of texts, (N, L, D), in batches of texts of about one length.

        A text gets the same values whatever else is in the batch, up to rounding of float16.
        """
        tokens = self.model.tokens([str(text) for text in samples])
        order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        out: NDArray[np.float16] | None = None
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(tokens[order[end]]) <= BATCH_TOKENS:
                end += 1
            part = order[start:end]
            means = self.model.means([tokens[i] for i in part])
            rows = F.normalize(means, dim=2).to(torch.float16).numpy()
            if out is None:
                out = np.empty((len(tokens), *rows.shape[1:]), np.float16)
            out[part] = rows
            start = end
        assert out is not None, "there are texts"
        return [out for _ in forms]
