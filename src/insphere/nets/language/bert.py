"""The encoder of BERT (Devlin et al. 2019), for sentence embeddings; no dropout, no training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}


@dataclass(frozen=True)
class BertSizes:
    """Sizes of a network, under the names of `config.json`.

    Parameters
    ----------
    vocab_size, max_position_embeddings, type_vocab_size : int
        Numbers of tokens, of positions and of segments.
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        Width of a token, blocks, heads of attention, width inside of a block.
    layer_norm_eps : float
        Added to the variance.
    hidden_act : str
        A key of `ACTIVATIONS`.
    """

    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the sizes in a `config.json`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If one is missing, is no positive number, or the network is of another kind.
        """
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise ValueError("its positions are not absolute")
        found = {name: config[name] for name in cls.__dataclass_fields__ if name in config}
        sizes = cls(**found)
        for name, value in found.items():
            if name == "hidden_act":
                if value not in ACTIVATIONS:
                    raise ValueError(f"its activation is {value!r}")
            elif name == "layer_norm_eps":
                if not isinstance(value, float) or not 0 < value < 1:
                    raise ValueError(f"{name} is {value!r}")
            elif type(value) is not int or not 0 < value <= 1_000_000:
                raise ValueError(f"{name} is {value!r}")
        if sizes.hidden_size % sizes.num_attention_heads:
            raise ValueError("hidden_size is no multiple of num_attention_heads")
        return sizes


class Bert(nn.Module):
    """Token ids to one vector for each token; names of weights are those of published files.

    Parameters
    ----------
    sizes : BertSizes
        Sizes of the network.
    """

    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.embeddings = _Embeddings(sizes)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Block(sizes) for _ in range(sizes.num_hidden_layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the vectors of the last layer.

        Parameters
        ----------
        ids : Tensor of int64, shape (N, T)
            Tokens; what stands at padded places does not matter.
        mask : Tensor of bool, shape (N, T)
            False at padded places.

        Returns
        -------
        Tensor, shape (N, T, D)
        """
        return self.layers(ids, mask)[-1]

    def layers(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Return the vectors after the embedding and after each block, each (N, T, D)."""
        x = self.embeddings(ids)
        seen = mask[:, None, None, :]
        found = [x]
        for block in cast(nn.ModuleList, self.encoder.layer):
            x = block(x, seen)
            found.append(x)
        return found


class _Embeddings(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.word_embeddings = nn.Embedding(sizes.vocab_size, width)
        self.position_embeddings = nn.Embedding(sizes.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(sizes.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=sizes.layer_norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        places = self.position_embeddings.weight[: ids.shape[1]]
        x: Tensor = self.word_embeddings(ids) + places + self.token_type_embeddings.weight[0]
        return cast(Tensor, self.LayerNorm(x))


class _Output(nn.Module):
    """A linear map of what a block computed, added to its input, and normalised."""

    def __init__(self, inside: int, sizes: BertSizes) -> None:
        super().__init__()
        self.dense = nn.Linear(inside, sizes.hidden_size)
        self.LayerNorm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return cast(Tensor, self.LayerNorm(self.dense(x) + before))


class _Attention(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        width = sizes.hidden_size
        self.heads = sizes.num_attention_heads
        self.self = nn.ModuleDict({n: nn.Linear(width, width) for n in ("query", "key", "value")})
        self.output = _Output(width, sizes)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        parts = (self.self[n](x) for n in ("query", "key", "value"))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return cast(Tensor, self.output(y.transpose(1, 2).flatten(2), x))


class _Block(nn.Module):
    def __init__(self, sizes: BertSizes) -> None:
        super().__init__()
        self.attention = _Attention(sizes)
        self.intermediate = nn.ModuleDict(
            {"dense": nn.Linear(sizes.hidden_size, sizes.intermediate_size)}
        )
        self.output = _Output(sizes.intermediate_size, sizes)
        self.approximate = ACTIVATIONS[sizes.hidden_act]

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        x = self.attention(x, seen)
        inside = F.gelu(self.intermediate["dense"](x), approximate=self.approximate)
        return cast(Tensor, self.output(inside, x))


def mean_of_tokens(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the tokens that are there: N×T×D to N×D."""
    weights = mask.to(vectors.dtype)[:, :, None]
    return (vectors * weights).sum(1) / weights.sum(1).clamp(min=1)


def empty(sizes: BertSizes) -> Bert:
    """Return a network without values, to be filled with `load_state_dict(assign=True)`."""
    with torch.device("meta"):
        return Bert(sizes)
