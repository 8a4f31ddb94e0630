"""Training of CVDD: attention heads and context vectors that enclose normal texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from insphere.nets.draws import initial_weights
from insphere.nets.language.contexts import ContextAttention
from insphere.training.adam import Adam
from insphere.training.gradients import with_gradients

BATCH = 64
SHARPEST = 10.0  # α at the end of the training; it grows from 0
ORTHOGONALITY = 1.0  # λ


def padded(texts: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
    """Return token numbers of texts as one tensor, and where there are some, both (N, T)."""
    width = max(1, *map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.int64)
    mask = torch.zeros(len(texts), width, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.from_numpy(text)
        mask[row, : len(text)] = True
    return ids, mask


@with_gradients
def train_contexts(
    texts: Sequence[NDArray[np.int64]],
    vectors: Tensor,
    *,
    heads: int,
    width: int,
    epochs: int,
    lr: float,
    seed: int,
) -> ContextAttention:
    """Train attention heads so that each finds words near its context in normal texts.

    Minimised is the mean over texts of Σ_k σ_k d_k + λ ‖C Cᵀ − I‖², where d_k is the cosine
    distance of head k from its context and σ = softmax(−α d): a text belongs most to the context
    that is nearest, the more so the further the training is. Contexts start as the centres of
    k-means of the mean word vectors.

    Parameters
    ----------
    texts : sequence of ndarray of int64
        Numbers of the words of each normal text; none is empty.
    vectors : Tensor of float32, shape (V, D)
        The word vectors, which are not trained.
    heads, width, epochs : int
        Heads, inner width of the attention, passes over the texts.
    lr : float
        Learning rate of Adam; a tenth of it in the last third.
    seed : int
        Of contexts, weights and batches.
    """
    means = torch.stack([vectors[torch.from_numpy(text)].mean(dim=0) for text in texts])
    means = torch.nn.functional.normalize(means, dim=1)
    centers = KMeans(min(heads, len(texts)), n_init=1, random_state=seed).fit(means.numpy())
    start = torch.from_numpy(centers.cluster_centers_.astype(np.float32))
    with initial_weights(seed):
        network = ContextAttention(start, width)
    optimizer = Adam(network.parameters(), lr=lr)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        if epoch == 2 * epochs // 3:
            optimizer.param_groups[0]["lr"] = lr / 10
        sharpness = SHARPEST * epoch / max(1, epochs - 1)
        order = torch.randperm(len(texts), generator=generator).tolist()
        for first in range(0, len(texts), BATCH):
            ids, mask = padded([texts[i] for i in order[first : first + BATCH]])
            distances = network(vectors[ids], mask)
            weights = torch.softmax(-sharpness * distances, dim=1)
            loss = (weights * distances).sum(dim=1).mean()
            loss = loss + ORTHOGONALITY * network.orthogonality()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()
