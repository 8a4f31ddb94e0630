"""Features of a backbone whose last stages were fine-tuned, from the input maps of these stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray

from insphere.features.extract import BATCH, Extractor, Features
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
    """
    before = map_form(extractor, len(tail.steps))
    (maps,) = features(extractor, images, [before], cache=cache, progress=progress)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(maps), BATCH):
            x = torch.from_numpy(maps[start : start + BATCH]).to(extractor.device, extractor.dtype)
            parts.append(form.compute(tail.maps(x.permute(0, 3, 1, 2)), extractor.kept).cpu())
    rows: Features = torch.cat(parts).numpy()
    return rows
