"""Attention over feature maps, all of it without bias terms: zero features stay zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from insphere.nets.layers import activation
from insphere.nets.spec import EncoderSpec

REDUCTION = 4
SPATIAL_KERNEL = 7


class Gate(nn.Module):
    """Multiply features by σ(logits), each factor between 0 and 1.

    A sigmoid on the path of the features lets a network learn a constant: once saturated, it gives
    1 whatever the image (Ruff et al. 2018, proposition 3). As a factor on a path without biases it
    does not: where the features are zero the product is zero, the product is never longer than the
    features, and a saturated gate gives either the features themselves or nothing. Full saturation
    therefore leaves a network without gates, or zero, and the centre is kept away from zero.

    The module takes features *and* logits and multiplies by itself, so that the sigmoid cannot be
    used without the features. `collapse_paths` therefore accepts it and goes on refusing every
    `torch.nn.Sigmoid`. What remains possible is a gate that undoes part of the variation of its
    features over the training normals, as any trained layer may; that is what the collapse guard
    watches.
    """

    def forward(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return features · σ(logits); `logits` broadcasts over `features`."""
        return features * logits.sigmoid()


class ChannelAttention(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018, equations 2 to 4): one gate for each channel.

    Parameters
    ----------
    spec : EncoderSpec
        Activation between the two dense layers.
    channels : int
        Channels of the map.
    """

    def __init__(self, spec: EncoderSpec, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION)
        self.excite = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            activation(spec),
            nn.Linear(hidden, channels, bias=False),
        )
        self.gate = Gate()

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of a map N×C×H×W."""
        out: Tensor = self.gate(x, self.excite(x.mean(dim=(2, 3)))[:, :, None, None])
        return out


class SpatialAttention(nn.Module):
    """The spatial half of CBAM (Woo et al. 2018, equation 3): one gate for each place.

    The gate is read off the mean and the maximum over the channels by one 7×7 convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, SPATIAL_KERNEL, padding="same", bias=False)
        self.gate = Gate()

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the places of a map N×C×H×W."""
        pooled = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        out: Tensor = self.gate(x, self.conv(pooled))
        return out


class SelfAttention(nn.Module):
    """Every place looks at every other one (Wang et al. 2018, non-local block, with a skip).

    x + W·softmax(QᵀK/√C)·V with queries, keys and values linear in x and free of biases. The
    softmax only mixes values, with weights that sum to one: it gives zero for zero features, grows
    with them, and a saturated one copies the value of one place. So it adds no constant.

    Parameters
    ----------
    channels : int
        Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_key_value = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the places of a map N×C×H×W."""
        places = self.query_key_value(x).flatten(2).transpose(1, 2)
        query, key, value = (part.contiguous() for part in places.chunk(3, dim=2))
        mixed = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
        out: Tensor = x + self.out(mixed[:, 0].transpose(1, 2).reshape(x.shape))
        return out


def stage_attention(spec: EncoderSpec, channels: int) -> list[nn.Module]:
    """Return the attention that stands in every stage or block, as a list of none or one."""
    match spec.attention:
        case "channel":
            return [ChannelAttention(spec, channels)]
        case "spatial":
            return [SpatialAttention()]
        case _:
            return []


def last_attention(spec: EncoderSpec, channels: int) -> list[nn.Module]:
    """Return the attention over the last and smallest map, as a list of none or one.

    Self-attention compares all pairs of places, so it stands where there are few.
    """
    return [SelfAttention(channels)] if spec.attention == "self" else []
