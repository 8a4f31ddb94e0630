"""The forms of features: pooled vectors of all stages, patches on one grid, or one whole map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from insphere.nets.backbones import BackboneCard, Stage

LARGEST = 60_000.0  # of float16, nearly


@dataclass(frozen=True)
class Form:
    """A form of features.

    Parameters
    ----------
    kind : {"pooled", "patches", "map"}
        "pooled": mean and maximum of every stage's map, one after the other. "patches": the maps
        of some stages, each averaged over neighbourhoods, resized to one grid and joined. "map":
        the map of one stage.
    stages : tuple of str
        Stages, in the order of the network.
    neighbourhood : int
        Side of the square over which a map is averaged around each position, odd.
    grid : int
        Positions in a row and in a column of the patches.
    columns : int or None
        Positions in a row, if they are others than in a column.
    stride : int or None
        Pixels of the network's input for each position; for photographs of which each may have
        fewer positions than `grid` and `columns`.
    focus : float or None
        "pooled": standard deviation of the weights of positions in the mean; see `middle_weights`.
    """

    kind: Literal["pooled", "patches", "map"]
    stages: tuple[str, ...]
    neighbourhood: int = 1
    grid: int = 0
    focus: float | None = None
    columns: int | None = None
    stride: int | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the patches."""
        return self.grid, self.columns or self.grid

    def settings(self) -> dict[str, Any]:
        """Return what the values depend on, as JSON values."""
        settings = asdict(self)
        if self.focus is None:  # named only if it is set, so that older cached features are found
            del settings["focus"]
        for name in ("columns", "stride"):
            if settings[name] is None:
                del settings[name]
        return settings

    def compute(self, maps: Mapping[str, Tensor], kept: torch.dtype) -> Tensor:
        """Return the features of a batch from its maps, one row for each image.

        Parameters
        ----------
        maps : mapping of str to Tensor
            By name of the stage.
        kept : torch.dtype
            Number format of the features; see `insphere.features.extract.Extractor.kept`.

        Returns
        -------
        Tensor
            "pooled": (N, 2 ΣC). "patches": (N, grid, columns, ΣC). "map": (N, H, W, C).
        """
        chosen = [maps[name] for name in self.stages]
        if self.kind == "pooled":
            values = torch.cat([pooled(m, self.focus) for m in chosen], dim=1)
        elif self.kind == "map":
            values = chosen[0].permute(0, 2, 3, 1)
        else:
            values = patches(chosen, self.neighbourhood, self.shape)
        return within_range(values, kept).contiguous()


def within_range(values: Tensor, kept: torch.dtype) -> Tensor:
    """Return features in the number format in which they are kept, within what float16 holds."""
    return values.clamp(-LARGEST, LARGEST).to(kept)


def pooled_form(
    card: BackboneCard, stages: Sequence[str] | None = None, focus: float | None = None
) -> Form:
    """Return the form that contains all pooled vectors of these stages."""
    return Form("pooled", card.stage_names if stages is None else tuple(stages), focus=focus)


def pooled(m: Tensor, focus: float | None = None) -> Tensor:
    """Mean and maximum of each channel, side by side: N×C×H×W to N×2C, float32.

    On a CPU, means of float32 are taken in float64: the order in which torch adds up positions
    depends on the batch.
    """
    wide = torch.float64 if m.dtype == torch.float32 and m.device.type == "cpu" else torch.float32
    if focus is None:
        mean = m.mean(dim=(2, 3), dtype=wide)
    else:
        weights = middle_weights(m.shape[2], m.shape[3], focus).to(m.device, wide)
        mean = torch.einsum("nchw,hw->nc", m.to(wide), weights)
    highest = F.max_pool2d(m, m.shape[2:]).flatten(1)  # several times faster than amax on CPUs
    return torch.cat([mean.float(), highest.float()], dim=1)


def middle_weights(height: int, width: int, focus: float) -> Tensor:
    """Return weights for the positions of a map: a normal density around its middle.

    Parameters
    ----------
    height, width : int
        Size of the map.
    focus : float
        Standard deviation; half the side of the map is 1.

    Returns
    -------
    Tensor, float32, shape (height, width)
        Their sum is 1.
    """
    down, across = ((torch.arange(n) + 0.5) / n * 2 - 1 for n in (height, width))
    exponents = -(down[:, None] ** 2 + across**2) / (2 * focus**2)
    return exponents.flatten().softmax(dim=0).view(height, width)


def choose_pooled(
    values: NDArray[Any],
    described: Sequence[Stage],
    stages: Sequence[str],
    statistics: Sequence[str],
) -> NDArray[Any]:
    """Select the columns of some stages and statistics from features of `pooled_form`.

    Parameters
    ----------
    values : ndarray, shape (N, 2 ΣC)
        Features of `pooled_form`.
    described : sequence of Stage
        The stages in it.
    stages : sequence of str
        Stages to select.
    statistics : sequence of {"mean", "max"}
        Statistics to select.
    """
    columns = []
    start = 0
    for stage in described:
        for statistic in ("mean", "max"):
            if stage.name in stages and statistic in statistics:
                columns.append(np.arange(start, start + stage.channels))
            start += stage.channels
    return values[:, np.concatenate(columns)]


def joined(maps: Mapping[str, Tensor], form: Form, size: tuple[int, int]) -> Tensor:
    """Return the patches of photographs that have other numbers of them than the form.

    Parameters
    ----------
    maps : mapping of str to Tensor
        By name of the stage.
    form : Form
        Of kind "patches", with a stride.
    size : (int, int)
        Height and width, in pixels, of what the maps were computed from.

    Returns
    -------
    Tensor, float32, shape (N, rows, columns, ΣC)
    """
    chosen = [maps[name] for name in form.stages]
    assert form.stride is not None
    return patches(chosen, form.neighbourhood, (size[0] // form.stride, size[1] // form.stride))


def patches(maps: Sequence[Tensor], neighbourhood: int, grid: int | tuple[int, int]) -> Tensor:
    """Return patches: for every position of a grid, the means of several maps around it.

    Each map N×C×H×W is averaged over squares around each position (cut off at the
    edges), then resized to the grid: by averaging if it is finer, else by bilinear
    interpolation. `grid` has rows and columns.

    Returns
    -------
    Tensor, float32, shape (N, *grid, ΣC)
    """
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    joined = []
    for m in maps:
        m = m.float()
        if neighbourhood > 1:
            m = F.avg_pool2d(
                m, neighbourhood, stride=1, padding=neighbourhood // 2, count_include_pad=False
            )
        if m.shape[2] >= rows and m.shape[3] >= columns:
            m = F.adaptive_avg_pool2d(m, (rows, columns))
        else:
            m = F.interpolate(m, (rows, columns), mode="bilinear", align_corners=False)
        joined.append(m)
    return torch.cat(joined, dim=1).permute(0, 2, 3, 1)
