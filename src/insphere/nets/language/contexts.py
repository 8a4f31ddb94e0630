"""Self-attention with several heads over word vectors, and the context of each head."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ContextAttention(nn.Module):
    """CVDD: each head sums the word vectors of a text to one vector, near to its context.

    Parameters
    ----------
    contexts : Tensor, shape (r, D)
        Where the context vectors start.
    width : int
        Inner width of the attention, d_a of the paper.

    Notes
    -----
    Ruff et al. 2019, "Self-attentive, multi-context one-class classification for unsupervised
    anomaly detection on text", equations 1 to 4.
    """

    def __init__(self, contexts: Tensor, width: int) -> None:
        super().__init__()
        heads, size = contexts.shape
        self.first = nn.Linear(size, width, bias=False)
        self.second = nn.Linear(width, heads, bias=False)
        self.contexts = nn.Parameter(contexts.clone())

    def attention(self, words: Tensor, mask: Tensor) -> Tensor:
        """Return how much each head looks at each word, (N, r, T); sums to 1 over the words.

        Parameters
        ----------
        words : Tensor, shape (N, T, D)
            Word vectors.
        mask : Tensor of bool, shape (N, T)
            False at padded places.
        """
        logits = self.second(torch.tanh(self.first(words))).transpose(1, 2)
        return torch.softmax(logits.masked_fill(~mask[:, None], -torch.inf), dim=2)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Return the cosine distance, 0…1, of each head's vector from its context, (N, r)."""
        vectors = self.attention(words, mask) @ words
        alike = F.cosine_similarity(vectors, self.contexts[None], dim=2)
        return (1 - alike) / 2

    def orthogonality(self) -> Tensor:
        """Return ‖C Cᵀ − I‖² of the contexts, each of length 1: they are to differ."""
        unit = F.normalize(self.contexts, dim=1)
        gram = unit @ unit.T
        return (gram - torch.eye(len(gram))).square().sum()
