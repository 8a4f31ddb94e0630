"""Image files of every kind become the pixels that a viewer would show."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from insphere.data import load_dataset
from insphere.data.pixels import image_to_array, open_image
from insphere.errors import DataError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image: Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    return image_to_array(open_image(encoded(image, kind, **options)))


def test_grey_and_rgb_are_exact():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (5, 7), dtype=np.uint8)
    colour = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    for kind in ("PNG", "BMP", "TIFF", "PPM"):
        np.testing.assert_array_equal(decoded(Image.fromarray(grey), kind)[..., 0], grey)
        np.testing.assert_array_equal(decoded(Image.fromarray(colour), kind), colour)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_keeps_all_bits(kind):
    values = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    pixels = decoded(Image.fromarray(values), kind)
    assert pixels.dtype == np.uint16
    assert pixels.shape == (1, 6, 1)
    assert pixels[0, :, 0].tolist() == values[0].tolist()


def test_one_bit_becomes_black_and_white():
    values = np.array([[True, False], [False, True]])
    assert decoded(Image.fromarray(values))[..., 0].tolist() == [[255, 0], [0, 255]]


def test_palettes_are_resolved_and_grey_ones_stay_grey():
    image = Image.new("P", (2, 1))
    image.putdata([0, 1])
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert decoded(image).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    image.putpalette([10, 10, 10, 40, 40, 40])
    assert decoded(image).tolist() == [[[10], [40]]]


def test_transparency_shows_black():
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(200, 100, 50, 255), (200, 100, 50, 0), (200, 100, 50, 128)])
    assert decoded(rgba)[0, :2].tolist() == [[200, 100, 50], [0, 0, 0]]
    np.testing.assert_allclose(decoded(rgba)[0, 2], [100, 50, 25], atol=1)
    grey = Image.new("LA", (2, 1))
    grey.putdata([(200, 255), (200, 0)])
    assert decoded(grey).tolist() == [[[200], [0]]]
    keyed = Image.new("RGB", (2, 1))
    keyed.putdata([(9, 9, 9), (8, 8, 8)])
    assert decoded(keyed, transparency=(9, 9, 9)).tolist() == [[[0, 0, 0], [8, 8, 8]]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = decoded(image, "JPEG", quality=100)
    np.testing.assert_allclose(pixels[4, 4], [255, 0, 0], atol=4)


def test_exif_rotation_is_applied():
    image = Image.new("L", (4, 2))
    image.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90° clockwise
    pixels = decoded(image, "PNG", exif=exif)
    assert pixels.shape == (4, 2, 1)
    assert pixels[0, 1, 0] == 255


def test_first_frame_of_an_animation():
    frames = [Image.new("L", (3, 3), value) for value in (30, 200)]
    pixels = decoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels == 30).all()


def test_border_and_box_cut_the_right_sides():
    image = Image.new("L", (20, 10))
    image.putpixel((2, 1), 77)
    assert image_to_array(image, border=0.1).shape == (8, 16, 1)
    assert image_to_array(image, border=0.1)[0, 0, 0] == 77
    cut = image_to_array(image, box=(0.1, 0.1, 0.5, 1.0))
    assert cut.shape == (9, 8, 1)
    assert cut[0, 0, 0] == 77
    with pytest.raises(ValueError, match="outside"):
        image_to_array(image, box=(0.1, 0.1, 1.1, 1.0))


def test_resizing_large_jpegs_keeps_their_mean():
    ramp = np.tile(np.linspace(0, 255, 1024).astype(np.uint8), (512, 1))
    image = open_image(encoded(Image.fromarray(ramp), "JPEG", quality=95))
    pixels = image_to_array(image, size=(16, 32))[..., 0].astype(float)
    np.testing.assert_allclose(pixels.mean(0), np.arange(32) * 8 + 3.5, atol=2.5)


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    size=st.none() | st.tuples(st.integers(1, 20), st.integers(1, 20)),
    channels=st.sampled_from([None, 1, 3]),
)
def test_any_mode_and_size(mode, width, height, size, channels):
    image = Image.new(mode, (width, height))
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG")
    pixels = image_to_array(open_image(data), size=size, channels=channels)
    assert pixels.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    assert pixels.shape[:2] == (size or (height, width))
    assert pixels.shape[2] == (channels or (3 if mode in ("RGB", "RGBA", "CMYK") else 1))
    assert len(np.unique(pixels)) == 1


def test_channels_follow_the_images(folder):
    Image.new("L", (4, 4), 50).save(folder / "a.png")
    assert load_dataset(folder).image_shape == (4, 4, 1)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(folder / "b.png")
    Image.new("L", (4, 4), 60).save(folder / "c.png")
    for cache in (True, False):
        data = load_dataset(folder, cache=cache)
        assert data.images[:, 0, 0].tolist() == [[50, 50, 50], [1, 2, 3], [60, 60, 60]]
    assert load_dataset(folder, channels=1).image_shape == (4, 4, 1)


def test_mixed_sizes_lie_on_a_canvas_and_a_size_overrides_it(folder):
    Image.new("L", (8, 6)).save(folder / "a.png")
    Image.new("L", (5, 5)).save(folder / "b.png")
    with pytest.warns(UserWarning, match=r"canvas of 6×8 pixels.*size="):
        assert load_dataset(folder).images.shape == (2, 6, 8, 1)
    assert load_dataset(folder, size=4).images.shape == (2, 4, 4, 1)
    assert load_dataset(folder, size=(3, 7)).images.shape == (2, 3, 7, 1)


def fill_with_bad_files(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    good = Image.fromarray(noise)
    good.save(folder / "good.png")
    (folder / "cut.jpg").write_bytes(encoded(good, "JPEG")[:-300])
    (folder / "cut.png").write_bytes(encoded(good)[:-300])
    (folder / "empty.png").write_bytes(b"")
    (folder / "script.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    (folder / "text.png").write_text("no image")


@pytest.mark.parametrize("cache", [True, False])
def test_bad_files_are_refused_or_skipped(folder, cache):
    fill_with_bad_files(folder)
    for _ in range(2):
        with pytest.raises(DataError, match=r"^5 of 6 images in .*cut.jpg.*skip_bad=True"):
            load_dataset(folder, cache=cache)
        data = load_dataset(folder, cache=cache, skip_bad=True)
        assert len(data) == 1
        names = [line.partition(":")[0] for line in data.skipped]
        assert names == ["cut.jpg", "cut.png", "empty.png", "script.png", "text.png"]
        assert data.skipped[-1] == "text.png: not an image"
        assert data.paths == (f"{folder}/good.png",)


def test_nothing_but_bad_files(folder):
    (folder / "text.png").write_text("no image")
    with pytest.raises(DataError, match="None of the 1 images"):
        load_dataset(folder, skip_bad=True)


@pytest.mark.parametrize("limit", [600, 1000])  # Pillow itself warns, or raises from twice as many
def test_decompression_bombs_are_never_decoded(folder, limit, monkeypatch):
    Image.new("L", (40, 40)).save(folder / "bomb.png")
    Image.new("L", (10, 10)).save(folder / "good.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"bomb\.png: too large"):
            load_dataset(folder)
        data = load_dataset(folder, skip_bad=True)
    assert data.image_shape == (10, 10, 1)


def test_progress_goes_to_stderr_when_asked_for(folder, capsys):
    Image.new("L", (4, 4)).save(folder / "a.png")
    load_dataset(folder, progress=True, cache=False)
    shown = capsys.readouterr()
    assert "Decoding images" in shown.err
    assert shown.out == ""
    load_dataset(folder, cache=False)
    assert capsys.readouterr().err == ""
