"""The masks of the defects of magnetic tiles, in the order of `choosing.tiles`."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from choosing import TILE


def tile_masks(data: Path) -> dict[str, np.ndarray]:
    """Return the masks by defect, bool, N×H×W."""
    found: dict[str, list[np.ndarray]] = {}
    with zipfile.ZipFile(data / "magnetic-tiles.zip") as archive:
        root = "magnetic-tiles/ground_truth/"
        names = [n for n in archive.namelist() if n.startswith(root) and n.endswith(".png")]
        for name in sorted(names, key=lambda name: name.replace("_mask.png", ".jpg")):
            mask = Image.open(BytesIO(archive.read(name))).convert("L")
            small = mask.resize(TILE[::-1], Image.Resampling.BILINEAR)
            found.setdefault(name.removeprefix(root).split("/")[0], []).append(
                np.asarray(small) > 127
            )
    return {name: np.stack(listed) for name, listed in found.items()}
