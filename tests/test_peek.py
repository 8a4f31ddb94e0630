"""The size of images from their headers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.data import load_dataset
from insphere.data.peek import Peeked, peek


def pictures(folder: Path, size: tuple[int, int], mode: str, suffix: str, **how: object) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i}.{suffix}", **how)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGB", "png"), ("L", "png"), ("LA", "png"), ("1", "png"), ("RGB", "jpg"), ("L", "tif"),
     ("RGBA", "tif"), ("F", "tif"), ("RGB", "webp"), ("L", "bmp")],
)  # fmt: skip
@pytest.mark.parametrize("zipped", [False, True])
def test_headers_say_what_reading_finds(
    tmp_path: Path, mode: str, suffix: str, zipped: bool
) -> None:
    source = pictures(tmp_path / "pictures", (20, 12), mode, suffix)
    if zipped:
        with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, path.name)
        source = tmp_path / "pictures.zip"
    found = load_dataset(source, cache=False).images
    assert peek(source) == Peeked(*found.shape)


def test_a_photograph_on_its_side_is_turned(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    source = pictures(tmp_path / "pictures", (20, 12), "RGB", "jpg", exif=turned.tobytes())
    assert load_dataset(source, cache=False).images.shape == (4, 12, 20, 3)
    assert peek(source) == Peeked(4, 12, 20, 3)


def test_what_is_unclear_is_left_to_reading(tmp_path: Path) -> None:
    source = pictures(tmp_path / "pictures", (20, 12), "RGB", "png")
    Image.new("RGB", (20, 13)).save(source / "other.png")
    assert peek(source) is None
    (source / "other.png").write_bytes(b"no image")
    assert peek(source) is None
    for other in (tmp_path / "nowhere", source / "0.png", "digits-8x8"):
        assert peek(other) is None
