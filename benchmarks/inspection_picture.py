"""The most severe test tiles with their maps: ``python benchmarks/inspection_picture.py``.

Trains the first detector of `inspection.py` on the photographs of good tiles, by tile, and draws
the twenty test tiles with the highest severity above their maps to ``docs/images/tiles.png``.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspection import RUNS, parts
from insphere.data.letterbox import content_size
from insphere.data.load import load_dataset
from insphere.detectors.registry import build_detector
from insphere.explain.heat import heat_scale
from insphere.figures.grid import image_grid
from insphere.figures.overlay import heat_overlay

PICTURE = Path(__file__).parent.parent / "docs" / "images" / "tiles.png"
SHOWN, COLUMNS, SIDE = 20, 10, 200


def fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Scale a photograph into a white square of `SIDE` pixels, with its aspect kept."""
    picture = Image.fromarray(image).convert("RGB")
    picture.thumbnail((SIDE, SIDE))
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(picture, ((SIDE - picture.width) // 2, (SIDE - picture.height) // 2))
    return np.asarray(square)


def main() -> None:
    """Train and draw."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the note about the canvas
        data = load_dataset(Path(os.environ["INSPHERE_DATA"]) / "magnetic-tiles.zip")
    train, test = parts(data, "by tile")
    method, params = next(iter(RUNS.values()))
    settings = params | {"false_alarm_rate": 0.05}
    detector: Any = build_detector(method, settings, seed=0).fit(data.images[train])
    severities = detector.severity(data.images[test])
    first = np.argsort(-severities, kind="stable")[:SHOWN]
    images = data.images[test[first]]
    maps = detector.anomaly_map(images)
    scale = heat_scale(detector.anomaly_map(data.images[train[::5]]), maps)
    plain, painted, captions = [], [], []
    for i, image, heat in zip(first, images, maps, strict=True):
        height, width = content_size(image)
        own = image[:height, :width]
        over = heat_overlay(own, heat[:height, :width], scale.threshold, scale.top)
        plain.append(fitted(np.repeat(own, 3, axis=2)))
        painted.append(fitted(over))
        name = data.class_names[int(data.labels[test[i]])]
        captions.append(f"{name}, {severities[i]:.1f}")
    rows, names = [], []
    for start in range(0, SHOWN, COLUMNS):
        part = slice(start, start + COLUMNS)
        rows += [*plain[part], *painted[part]]
        names += [*captions[part], *[""] * COLUMNS]
    figure = image_grid(np.stack(rows), names, columns=COLUMNS)
    figure.savefig(PICTURE, dpi=130)


if __name__ == "__main__":
    main()
