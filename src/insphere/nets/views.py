"""Views of images: turned, mirrored and shifted copies, each image with its own draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class View(NamedTuple):
    """One way of looking at an image.

    Parameters
    ----------
    turns : int
        Quarter turns, counter-clockwise.
    mirrored : bool
        Whether left and right are exchanged, before the turn.
    down, right : int
        Shift in pixels, before the turn; what leaves on one side is reflected on the other.
    """

    turns: int = 0
    mirrored: bool = False
    down: int = 0
    right: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Return the view of every image, N×C×H×W."""
        if self.mirrored:
            x = x.flip(3)
        if self.down or self.right:
            x = shifted_alike(x, self.down, self.right)
        return x.rot90(self.turns, (2, 3)) if self.turns else x


def shifted_alike(x: Tensor, down: int, right: int) -> Tensor:
    """Shift all images N×C×H×W by the same number of pixels, with reflection at the border."""
    top, left = max(down, 0), max(right, 0)
    bottom, end = max(-down, 0), max(-right, 0)
    height, width = x.shape[2:]
    padded = F.pad(x, (left, end, top, bottom), mode="reflect")
    return padded[:, :, bottom : bottom + height, end : end + width]


def shifted(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift each image by its own number of pixels, with reflection at the border.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        Images.
    down, right : Tensor of int64, shape (N,)
        Pixels; smaller in magnitude than the sides.
    """
    rows = _reflected(torch.arange(x.shape[2], device=x.device) - down[:, None], x.shape[2])
    columns = _reflected(torch.arange(x.shape[3], device=x.device) - right[:, None], x.shape[3])
    image = torch.arange(len(x), device=x.device)[:, None, None]
    last = x.permute(0, 2, 3, 1)
    return last[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _reflected(index: Tensor, side: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= side, 2 * (side - 1) - index, index)


def turned(x: Tensor, turns: Tensor) -> Tensor:
    """Turn each image N×C×H×W by its own number of quarter turns, shape (N,).

    Images that are not square can be turned by an even number only.
    """
    out = x.clone()
    for quarter in (1, 2, 3):
        chosen = turns == quarter
        if bool(chosen.any()):
            out[chosen] = x[chosen].rot90(quarter, (2, 3))
    return out


def mirrored(x: Tensor, chosen: Tensor) -> Tensor:
    """Exchange left and right of the images N×C×H×W where `chosen`, shape (N,), is true."""
    return torch.where(chosen[:, None, None, None], x.flip(3), x)


def zoomed(
    x: Tensor, sides: Tensor, middles: Tensor, angles: Tensor, mirrors: Tensor | None = None
) -> Tensor:
    """Cut a part out of each image and enlarge it to the whole, with reflection at the border.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        Images.
    sides : Tensor, shape (N, 2)
        Height and width of the part, as shares of those of the image.
    middles : Tensor, shape (N, 2)
        Its middle (down, right), from -1 at one border to 1 at the other.
    angles : Tensor, shape (N,)
        Angles by which the part is turned, in radians.
    mirrors : Tensor of bool, shape (N,), optional
        Where left and right are exchanged.
    """
    height, width = x.shape[2:]
    cos, sin = angles.cos(), angles.sin()
    tall, wide = sides.unbind(dim=1)
    wide = wide if mirrors is None else torch.where(mirrors, -wide, wide)
    # a point (u, v) of the result is taken from here; angles are those of pixels, not of shares
    theta = torch.stack(
        [
            torch.stack([wide * cos, -tall * sin * (height / width), middles[:, 1]], dim=1),
            torch.stack([wide * sin * (width / height), tall * cos, middles[:, 0]], dim=1),
        ],
        dim=1,
    )
    places = F.affine_grid(theta.to(x.dtype), list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode="reflection", align_corners=False)


class BlurredPixels(nn.Module):
    """Pixels after a Gaussian blur as a vector of length 1, (N, C, H, W) to (N, d).

    The distance of such vectors is a simple rival of every network. Colours are centred on their
    mean, because brightness says little about a photograph; grey images keep their zeros, because
    most are drawn on an empty ground. Images of more than `MOST` pixels a side are averaged down.

    Parameters
    ----------
    sigma : float
        Standard deviation of the blur in pixels; 0 for none.
    centered : bool
        Subtract the mean of each image.
    """

    MOST = 32

    def __init__(self, sigma: float = 1.0, *, centered: bool = False) -> None:
        super().__init__()
        self.sigma, self.centered = sigma, centered

    @classmethod
    def size(cls, shape: Sequence[int]) -> int:
        """Return the length of the vector of an image (C, H, W)."""
        channels, height, width = shape
        by = cls.shrink(height, width)
        return channels * (height // by) * (width // by)

    @classmethod
    def shrink(cls, height: int, width: int) -> int:
        """Return the side of the squares of pixels that are averaged; they fit into the image."""
        return min(-(-max(height, width) // cls.MOST), height, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors of raw images, uint8 or float."""
        x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
        by = self.shrink(x.shape[2], x.shape[3])
        x = F.avg_pool2d(x, by) if by > 1 else x
        x = blurred(x, self.sigma).flatten(1)
        if self.centered:
            x = x - x.mean(dim=1, keepdim=True)
        return F.normalize(x, dim=1)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Blur images N×C×H×W by a Gaussian with a standard deviation in pixels; 0 leaves them."""
    if sigma == 0:
        return x
    reach = max(1, round(4 * sigma))
    places = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = (-0.5 * (places / sigma).square()).exp()
    kernel = kernel / kernel.sum()
    channels = x.shape[1]
    across = kernel.expand(channels, 1, 1, -1)
    x = F.conv2d(x, across, padding=(0, reach), groups=channels)
    return F.conv2d(x, across.transpose(2, 3), padding=(reach, 0), groups=channels)


def nearest_mean(stored: Tensor, x: Tensor, k: int, *, itself: bool = False) -> Tensor:
    """Return the mean Euclidean distance of each row to its k nearest stored rows, shape (N,).

    Products find the nearest rows. Their distances are computed from differences: where two rows
    are nearly equal, nothing but rounding is left of x·x − 2 x·y + y·y, and that is another one
    on another processor, in another batch and in an exported model.

    Parameters
    ----------
    stored : Tensor, shape (M, d)
        Rows to search.
    x : Tensor, shape (N, d)
        Rows.
    k : int
        Neighbours; fewer if fewer are stored.
    itself : bool
        `x` is `stored`, and no row counts itself.
    """
    k = max(1, min(k, len(stored) - itself))
    middle = stored.mean(dim=0)  # differences are small beside the rows: keep their digits
    x, stored = x - middle, stored - middle
    squared = stored.square().sum(dim=1) - 2 * x @ stored.T  # but for x·x, which changes no order
    index = squared.topk(min(k + itself, len(stored)), dim=1, largest=False).indices
    columns = index.unbind(dim=1)  # not all differences at once
    near = torch.stack([(x - stored[rows]).square().sum(dim=1) for rows in columns], dim=1)
    if itself:
        near = near.sort(dim=1).values[:, 1:]
    return near.clamp_min(1e-12).sqrt().mean(dim=1)
