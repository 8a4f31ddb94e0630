"""Values of more than 8 bits: what is read, which range is used, and what later images must fit."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from insphere.data import OneClassSplit, as_images, load_dataset
from insphere.data.pixels import image_to_array, open_image
from insphere.data.value_range import ValueRange, fitted_range, shown_as_uint8
from insphere.detectors import KNNDetector, load_detector
from insphere.errors import DataError

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


def camera(n: int, low: float = 1500, high: float = 2300, seed: int = 0) -> np.ndarray:
    """Images of a 12-bit camera that uses a part of its range."""
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, (n, 8, 8, 1)).astype(np.uint16)


def png_16(values: np.ndarray) -> bytes:
    """Write RGB or RGBA of 16 bits, which Pillow cannot."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
    return start + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ppm_16(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    return f"P6\n{width} {height}\n65535\n".encode() + values.astype(">u2").tobytes()


def tiff_16(values: np.ndarray, order: str, packed: bool) -> bytes:
    """Write RGB of 16 bits as TIFF, in either byte order, packed or not."""
    height, width, channels = values.shape
    pixels = values.astype(f"{order}u2").tobytes()
    pixels = zlib.compress(pixels) if packed else pixels
    bits_at = 8 + 2 + 9 * 12 + 4
    pixels_at = bits_at + 2 * channels

    def field(tag: int, kind: int, count: int, value: int) -> bytes:
        form = "HHIHH" if kind == 3 and count == 1 else "HHII"
        return struct.pack(order + form, tag, kind, count, value, *([0] if form[-1] == "H" else []))

    fields = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits_at),
        (259, 3, 1, 8 if packed else 1), (262, 3, 1, 2), (273, 4, 1, pixels_at),
        (277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "IH", 8, 9) + b"".join(field(*f) for f in fields)
    bits = struct.pack(f"{order}I{channels}H", 0, *[16] * channels)
    return start + directory + bits + pixels


@settings(max_examples=30)
@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_colours_of_16_bits_keep_all_of_them(values):
    files = [png_16(values), ppm_16(values)]
    files += [tiff_16(values, order, packed) for order in "<>" for packed in (False, True)]
    for content in files:
        pixels = image_to_array(open_image(content))
        assert pixels.dtype == np.uint16
        np.testing.assert_array_equal(pixels, values)


def test_transparent_colours_of_16_bits_become_black():
    values = np.zeros((1, 3, 4), np.uint16)
    values[..., :3] = (60000, 40, 7)
    values[0, :, 3] = (65535, 0, 32768)
    pixels = image_to_array(open_image(png_16(values)))
    assert pixels[0, 0].tolist() == [60000, 40, 7]
    assert pixels[0, 1].tolist() == [0, 0, 0]
    assert abs(int(pixels[0, 2, 0]) - 30000) < 3


def test_floating_point_tiffs_are_read():
    values = RNG.normal(25, 3, (5, 6)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    pixels = image_to_array(open_image(buffer.getvalue()))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels[..., 0], values)


@pytest.mark.parametrize("cache", [True, False])
def test_folders_and_arrays_keep_their_type(tmp_path, cache):
    values = camera(4)
    folder = tmp_path / "set"
    folder.mkdir()
    for i, image in enumerate(values):
        Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    data = load_dataset(folder, cache=cache)
    assert data.images.dtype == np.uint16
    np.testing.assert_array_equal(data.images, values)
    assert load_dataset(folder, cache=cache, size=4, channels=3).images.dtype == np.uint16
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(load_dataset(tmp_path / "a.npy").images, values)
    floats = values.astype(np.float64) / 7
    np.savez(tmp_path / "b.npz", images=floats)
    np.testing.assert_allclose(load_dataset(tmp_path / "b.npz").images, floats, rtol=1e-6)
    assert as_images(values) is values


def test_images_of_8_bits_among_deeper_ones_are_refused(tmp_path):
    Image.fromarray(camera(1)[0, ..., 0]).save(tmp_path / "a.png")
    Image.new("L", (8, 8), 9).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"8 bits.*b\.png.*more.*a\.png"):
        load_dataset(tmp_path)


@settings(max_examples=50)
@given(
    low=st.floats(-1e4, 1e4), width=st.floats(1e-2, 1e4), n=st.integers(20, 40),
    wrong=st.integers(0, 1), bit=st.booleans(),
)  # fmt: skip
def test_the_range_is_that_of_nearly_all_training_images(low, width, n, wrong, bit):
    rng = np.random.default_rng(n)
    images = rng.uniform(low, low + width, (n, 12, 12, 1)).astype(np.float32)
    if bit:
        images = np.clip(images, 0, 65535).astype(np.uint16)
    if images.min() == images.max():
        return
    clean = fitted_range(images)
    images[:wrong] = 65535  # a broken frame
    found = fitted_range(images)
    if not found.rescales:
        return
    if wrong and low + 20 * width < 65535:
        assert found.high <= clean.high + 0.5 * (clean.high - clean.low) + 2
    scaled = found.take(images)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 1
    inside = images[wrong:]
    back = found.read(inside) * (found.high - found.low) + found.low
    np.testing.assert_allclose(back, inside, atol=2e-3 * max(width, abs(low), 1))
    assert not found.outside(inside).any()
    assert shown_as_uint8(images, found).dtype == np.uint8


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(2, 5), st.just(3), st.just(4), st.just(1))))
def test_8_bits_are_taken_as_they_are(images):
    values = fitted_range(images)
    assert not values.rescales
    assert values.read(images) is images
    assert values.sentence() == ""
    assert not values.outside(images).any()


def test_16_bits_find_what_8_bits_find(tmp_path):
    """Faint defects in a camera that uses a twentieth of 16 bits."""
    rng = np.random.default_rng(1)

    def made(n: int, spot: float) -> np.ndarray:
        images = np.full((n, 16, 16, 1), 1900.0) + rng.normal(0, 30, (n, 16, 16, 1))
        images[:, 4:8, 4:8] += spot
        return images.astype(np.uint16)

    train, good, bad = made(60, 0), made(20, 0), made(20, 120)
    detector = KNNDetector(random_state=0, contamination=0.05).fit(train)
    assert detector.value_range_.dtype == "uint16"
    assert 1500 < detector.value_range_.low < 1800 < 2000 < detector.value_range_.high < 2300
    scores = detector.anomaly_score(np.concatenate([good, bad]))
    assert scores[:20].max() < scores[20:].min()
    detector.save(tmp_path / "model")
    loaded = load_detector(tmp_path / "model")
    assert loaded.value_range_ == detector.value_range_
    np.testing.assert_array_equal(loaded.anomaly_score(bad), detector.anomaly_score(bad))
    hot = good.copy()
    hot[:3, 0, 0] = 60000
    assert loaded.outside_range(hot).tolist() == [True] * 3 + [False] * 17


def test_parts_of_a_cross_calibration_keep_the_range(tmp_path):
    train = camera(40)
    detector = KNNDetector(random_state=0, false_alarm_rate=0.1, calibration=4).fit(train)
    scores = detector.anomaly_score(camera(5, seed=3))
    detector.save(tmp_path / "model")
    np.testing.assert_array_equal(
        load_detector(tmp_path / "model").anomaly_score(camera(5, seed=3)), scores
    )


UNIT = RNG.random((20, 6, 6, 1)).astype(np.float32)
BYTES = (255 * UNIT).astype(np.float32)


@pytest.mark.parametrize(
    ("trained", "new", "message"),
    [
        (UNIT, BYTES, "scale of the training images"),
        (BYTES, UNIT, "scale of the training images"),
        (BYTES, 300 * BYTES, "scale of the training images"),
        (BYTES.astype(np.uint8), BYTES, "floats must lie between 0 and 1"),
        (UNIT, BYTES.astype(np.uint8), "trained on float32 images, but these are uint8"),
        (camera(20, 0, 4000), camera(20) >> 8, "trained on uint16 images, but these are uint8"),
        (BYTES.astype(np.uint8), camera(20), "trained on uint8 images, but these are uint16"),
        (camera(20), camera(20) / 65535, "trained on uint16 images, but these are float32"),
    ],
)
def test_images_on_another_scale_are_refused(trained, new, message):
    new = new.astype(np.uint8) if message.endswith("uint8") else new
    side = trained.shape[1]
    detector = KNNDetector(random_state=0, contamination=0.05).fit(trained)
    with pytest.raises(DataError, match=message):
        detector.anomaly_score(new[:, :side, :side])


def test_dark_images_are_on_the_same_scale():
    detector = KNNDetector(random_state=0, normalize=None, contamination=0.05).fit(BYTES)
    assert np.isfinite(detector.anomaly_score(np.zeros((1, 6, 6, 1), np.float32))).all()
    deep = KNNDetector(random_state=0, normalize=None, contamination=0.05).fit(camera(20))
    assert np.isfinite(deep.anomaly_score(np.zeros((1, 8, 8, 1), np.uint16))).all()


def test_models_of_older_versions_divide_by_257():
    train = RNG.integers(0, 256, (20, 6, 6, 1), dtype=np.uint8)
    detector = KNNDetector(random_state=0, contamination=0.05).fit(train)
    scores = detector.anomaly_score(train)
    detector.value_range_ = None  # as such a model is loaded
    with pytest.warns(UserWarning, match="divided 16-bit values by 257"):
        again = detector.anomaly_score(train.astype(np.uint16) * 257)
    np.testing.assert_array_equal(again, scores)


def test_colours_in_reverse_order_are_noticed():
    train = RNG.normal((200, 120, 40), 8, (30, 6, 6, 3)).clip(0, 255).astype(np.uint8)
    detector = KNNDetector(random_state=0, contamination=0.05).fit(train)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.anomaly_score(train[:5])
        detector.anomaly_score(255 - train[:5])  # anomalous, but not reversed
    with pytest.warns(UserWarning, match=r"reverse order.*BGR"):
        detector.anomaly_score(np.ascontiguousarray(train[:5, ..., ::-1]))


def test_the_range_rests_on_what_is_trained_on(tmp_path):
    images = camera(50)
    images[40:] += 5000
    found = fitted_range(images, np.arange(50) < 40)
    assert found.high < 3000
    assert found.outside(images).tolist() == [False] * 40 + [True] * 10
    assert ValueRange("uint16", 0, 1).of_scaled() == ValueRange("float32", 0.0, 1.0)


def test_splits_keep_the_type():
    from insphere.data import ImageSet

    data = ImageSet(camera(8), np.repeat([0, 1], 4), ("a", "b"))
    assert OneClassSplit(data, "a").X_train.dtype == np.uint16
