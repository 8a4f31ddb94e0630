"""Features of a backbone whose last stages were fine-tuned, from the input maps of these stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from insphere.features.extract import BATCH, Extractor, Features, both_sides
from insphere.features.form import Form
from insphere.features.store import features
from insphere.nets.backbones.network import Tail


def map_form(extractor: Extractor, trained: int) -> Form:
    """Return the form of the input map of the last `trained` stages."""
    return Form("map", (extractor.card.stage_names[-trained - 1],))


def adapted_features(
    extractor: Extractor,
    tail: Tail,
    images: NDArray[Any],
    form: Form,
    *,
    mirrored: bool = False,
    cache: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Features:
    """Return features of the fine-tuned stages.

    The output of the frozen part is computed once and cached on disk as by `features`. The output
    of the fine-tuned stages is not cached, because it belongs to one detector.

    Parameters
    ----------
    extractor : Extractor
        The frozen backbone.
    tail : Tail
        Its last stages, fine-tuned; in the extractor's number format.
    images, cache, progress
        As in `features`.
    form : Form
        Of stages in the tail.
    mirrored : bool
        Average the maps of each image and of its mirror image (mirrored back).
    """
    before = map_form(extractor, len(tail.steps))
    (maps,) = features(extractor, images, [before], cache=cache, progress=progress)
    others = None
    if mirrored:
        (others,) = features(extractor, mirror_images(images), [before], cache=cache)

    def tuned(rows: Features) -> dict[str, Tensor]:
        x = torch.from_numpy(np.array(rows)).to(extractor.device, extractor.dtype)
        return tail.maps(x.permute(0, 3, 1, 2))

    parts = []
    with torch.inference_mode():
        for start in range(0, len(maps), BATCH):
            part = slice(start, start + BATCH)
            found = tuned(maps[part])
            if others is not None:
                found = both_sides(found, tuned(others[part]))
            parts.append(form.compute(found, extractor.kept).cpu())
    rows: Features = torch.cat(parts).numpy()
    return rows


def mirror_images(images: NDArray[Any]) -> NDArray[Any]:
    """Return images N×H×W×C with left and right exchanged."""
    return np.ascontiguousarray(images[:, :, ::-1])
