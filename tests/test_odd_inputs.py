"""Inputs that were read wrongly without a word, or not at all though their pixels are fine."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.data import load_dataset
from insphere.data.inputs import as_images
from insphere.data.pixels import image_to_array, open_image
from insphere.detectors import KNNDetector
from insphere.errors import DataError

RNG = np.random.default_rng(0)


def photo(n: int = 24) -> np.ndarray:
    return np.clip(RNG.normal(128, 25, (n, n, 3)), 0, 255).astype(np.uint8)


def write(folder: Path, names: list[str], *, mask: bool = False, binary: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        image = photo()
        if mask:
            image = np.zeros((24, 24), np.uint8)
            image[5:9, 3:11] = 255
        if binary:
            image = np.where(photo()[..., 0] > 128, 255, 0).astype(np.uint8)
        Image.fromarray(image).save(folder / name)


# ---------------------------------------------------------------------- masks without the name

NAMES = [f"{i:03}.png" for i in range(6)]


@pytest.mark.parametrize("place", ["bad_masks", "anotaciones", "outlines", "defect/m"])
def test_a_folder_of_masks_is_no_class(tmp_path: Path, place: str) -> None:
    write(tmp_path / "good", NAMES)
    write(tmp_path / "defect", NAMES)
    write(tmp_path / place, NAMES, mask=True)
    with pytest.raises(DataError, match=r"look like masks .* folder masks/, or away"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("place", ["SegmentationClass", "segmentation object", "Masks"])
def test_a_folder_named_as_masks_holds_those_of_the_defects(tmp_path: Path, place: str) -> None:
    write(tmp_path / "good", NAMES)
    write(tmp_path / "defect", NAMES)
    write(tmp_path / place, NAMES, mask=True)
    data = load_dataset(tmp_path)
    assert data.class_names == ("defect", "good")
    assert data.masks is not None
    assert (data.masks.any(axis=(1, 2)) == (data.labels == 0)).all()


@pytest.mark.parametrize("ending", ["_labelTrainIds", "-anno", ".m"])
def test_masks_beside_images_are_no_images(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "good", NAMES)
    write(tmp_path / "bad", NAMES)
    write(tmp_path / "bad", [f"{i:03}{ending}.png" for i in range(6)], mask=True)
    with pytest.raises(DataError, match="look like masks"):
        load_dataset(tmp_path)


def test_classes_of_drawings_or_photographs_are_classes(tmp_path: Path) -> None:
    for name in ("zero", "one"):
        write(tmp_path / "drawings" / name, NAMES, binary=True)
        write(tmp_path / "photographs" / name, NAMES)
        write(tmp_path / "both" / name, NAMES, binary=name == "one")
    assert len(load_dataset(tmp_path / "drawings")) == 12
    assert len(load_dataset(tmp_path / "photographs")) == 12
    with pytest.raises(DataError, match="look like masks"):
        load_dataset(tmp_path / "both")
    write(tmp_path / "other names" / "zero", NAMES)
    write(tmp_path / "other names" / "one", [f"drawn{name}" for name in NAMES], binary=True)
    assert len(load_dataset(tmp_path / "other names")) == 12


def test_objects_with_masks_are_no_normal_images(tmp_path: Path) -> None:
    """As in COCO, where each image has masks of its objects."""
    write(tmp_path / "images" / "train", NAMES)
    write(tmp_path / "images" / "val", [f"v{name}" for name in NAMES])
    write(tmp_path / "masks" / "train", NAMES, mask=True)
    with pytest.raises(DataError, match="none of them is normal"):
        load_dataset(tmp_path)


# ---------------------------------------------------------------------- depth and scale


@pytest.mark.parametrize("most", [1023, 4095, 16383, 65535])
@pytest.mark.parametrize("form", ["binary", "text"])
def test_colours_of_a_portable_map_keep_their_bits(most: int, form: str) -> None:
    values = RNG.integers(0, most + 1, (5, 4, 3)).astype(">u2")
    content = values.tobytes() if form == "binary" else b" ".join(b"%d" % v for v in values.flat)
    header = f"{'P6' if form == 'binary' else 'P3'} 4 5 {most}\n".encode()
    pixels = image_to_array(open_image(header + content))
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, values)
    with pytest.raises(OSError, match="truncated"):
        image_to_array(open_image(header + content[:30]))


def test_another_bit_depth_is_refused() -> None:
    """All values would be clipped to one, which every detector calls normal."""

    def camera(bits: int) -> np.ndarray:
        shares = RNG.uniform(0.2, 0.6, (20, 8, 8, 1))
        return (shares * 2**bits).astype(np.uint16)

    detector = KNNDetector().fit(camera(10))
    assert np.isfinite(detector.anomaly_score(camera(10))).all()
    for bits in (12, 14, 16):
        with pytest.raises(DataError, match="outside the range of the training images"):
            detector.predict(camera(bits))
    for bits in (4, 6):  # or a covered lens
        with pytest.warns(UserWarning, match="outside the range of the training images"):
            detector.predict(camera(bits))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (0, 1023):  # nothing to see, or overexposed
            detector.predict(np.full((3, 8, 8, 1), value, np.uint16))
    bright = camera(10)
    bright[:, :4] = 1023  # half of each image
    assert detector.outside_range(bright).all()
    assert np.isfinite(detector.anomaly_score(bright)).all()


def test_images_around_zero_are_not_those_from_zero_to_one() -> None:
    shares = RNG.uniform(0.2, 0.8, (30, 8, 8, 3)).astype(np.float32)
    signed = 2 * shares - 1
    for trained, scored in ((shares, signed), (signed, shares)):
        detector = KNNDetector().fit(trained)
        assert np.isfinite(detector.anomaly_score(trained)).all()
        with pytest.raises(DataError, match="bring them to the scale of the training images"):
            detector.anomaly_score(scored)


# ---------------------------------------------------------------------- broken metadata


def jpeg_with(marker: int, content: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "JPEG")
    data = file.getvalue()
    segment = bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content
    return data[:2] + segment + data[2:]


def png_with(kind: bytes, content: bytes, *, crc: int | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "PNG")
    data = file.getvalue()
    crc = zlib.crc32(kind + content) if crc is None else crc
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)
    return data[:33] + chunk + data[33:]  # behind the signature and the header


LONG_TEXT = zlib.compress(b"y" * 3_000_000)


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with(0xE0, b"JFIF\0\1"),
        jpeg_with(0xEE, b"Adobe"),
        jpeg_with(0xE2, b"MPF\0" + bytes(80)),
        jpeg_with(0xE1, b"Exif\0\0MM\0*" + bytes(range(60))),
        jpeg_with(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
        png_with(b"zTXt", b"k\0\0" + LONG_TEXT),
        png_with(b"iCCP", b"k\0\0" + LONG_TEXT),
        png_with(b"tEXt", b"k\0v", crc=1),
        png_with(b"pHYs", b"\0\0"),
        png_with(b"gAMA", b""),
        png_with(b"acTL", b"\0"),
        png_with(b"eXIf", b"garbage"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_broken_metadata_refuse_no_pixels(data: bytes) -> None:
    pixels = image_to_array(open_image(data))
    assert pixels.shape == (24, 24, 3)
    assert 110 < pixels.mean() < 145


# ---------------------------------------------------------------------- tables


def test_the_column_that_cannot_be_used_is_named() -> None:
    rows = RNG.normal(size=(30, 3))
    holed = rows.copy()
    holed[4, 1] = np.nan
    fitted = KNNDetector().fit(rows)
    for use in (KNNDetector().fit, fitted.predict):
        with pytest.raises(DataError, match="Column 1 holds NaN, or nothing, in 1 of 30 rows"):
            use(holed)


def test_images_without_pixels_in_a_list_are_refused() -> None:
    images = [np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8), np.zeros((0, 4), np.uint8)]
    with pytest.raises(DataError, match=r"1 of the 3 images in the list hold no pixels .*0×4×1"):
        as_images(images)
