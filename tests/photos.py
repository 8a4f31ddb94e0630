"""Real photographs of surfaces for tests: magnetic tiles where they are, else pieces of a photo."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def good_and_new(folder: Path, n: int = 30, n_new: int = 24) -> tuple[list[Path], list[Path]]:
    """Write photos of good parts, and new ones of which the last third is defective.

    Without `INSPHERE_DATA`, these are pieces of scikit-learn's photograph of a temple, and a hole
    is painted into the defective ones.
    """
    for name in ("good", "new"):
        (folder / name).mkdir(parents=True)
    data = Path(os.environ.get("INSPHERE_DATA", "/nowhere")) / "magnetic-tiles.zip"
    bad = n_new // 3
    if data.is_file():
        with zipfile.ZipFile(data) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            read = {
                "good": [name for name in names if "/train/good/" in name][:: 521 // n][:n],
                "new": [name for name in names if "/test/good/" in name][:: 176 // n_new][
                    : n_new - bad
                ]
                + [name for name in names if "/test/blowhole/" in name or "/test/break/" in name][
                    :: 156 // bad
                ][:bad],
            }
            pictures = {
                kind: [Image.open(BytesIO(archive.read(name))).convert("L") for name in some]
                for kind, some in read.items()
            }
    else:
        from sklearn.datasets import load_sample_image

        roof = Image.fromarray(load_sample_image("china.jpg")).convert("L")
        rng = np.random.default_rng(0)
        pieces = []
        for _ in range(n + n_new):
            left, top = int(rng.integers(0, 500)), int(rng.integers(180, 300))
            pieces.append(roof.crop((left, top, left + 128, top + 112)))
        for piece in pieces[-bad:]:
            ImageDraw.Draw(piece).ellipse((40, 30, 90, 80), fill=255)
        pictures = {"good": pieces[:n], "new": pieces[n:]}
    written: dict[str, list[Path]] = {"good": [], "new": []}
    for kind, images in pictures.items():
        for number, image in enumerate(images):
            part = "bad" if kind == "new" and number >= n_new - bad else "ok"
            path = folder / kind / f"{part}-{number:03}.png"
            image.save(path)
            written[kind].append(path)
    return written["good"], written["new"]
