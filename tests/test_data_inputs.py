"""What a detector accepts, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from scipy import sparse

from insphere.data import ImageSet, as_images, load_dataset, training_images
from insphere.errors import DataError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
GREY = COLOUR[..., 0].copy()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


def write(root: Path, names: list[str]) -> Path:
    for value, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), value).save(path)
    return root


def values(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_uint8_and_float32_are_passed_through(tmp_path):
    assert as_images(COLOUR) is COLOUR
    floats = COLOUR.astype(np.float32)
    assert as_images(floats) is floats
    np.save(tmp_path / "a.npy", COLOUR)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert as_images(mapped) is mapped
    grey = as_images(np.load(tmp_path / "a.npy", mmap_mode="r")[..., 0])
    assert isinstance(grey, np.memmap)
    assert grey.shape == (4, 6, 5, 1)
    assert np.shares_memory(as_images(GREY), GREY)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4", np.longdouble])
def test_floats_become_float32(dtype):
    images = as_images((GREY / 255).astype(dtype))
    assert images.dtype == np.float32
    assert images.dtype.isnative
    np.testing.assert_allclose(images[..., 0], GREY / 255, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int64, np.uint32])
def test_whole_numbers_within_range_become_uint8(dtype):
    images = as_images((GREY // 2).astype(dtype))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images[..., 0], GREY // 2)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((2, 3, 4), np.nan), "NaN or infinite"),
        (np.full((2, 3, 4), -np.inf, np.float32), "NaN or infinite"),
        (np.full((2, 3, 4), 1e300), "NaN or infinite"),
        (np.zeros((2, 3, 4), object), "object"),
        (np.zeros((2, 3, 4), complex), "complex128"),
        (np.zeros((2, 3, 4), bool), "bool"),
        (np.full((2, 3, 4), "a"), "<U1"),
        (np.zeros((2, 3, 4), "M8[s]"), "datetime64"),
        (np.full((2, 3, 4), 256), "0…255"),
        (np.full((2, 3, 4), -1), "0…255"),
        (np.zeros(3), "1 dimensions"),
        (np.float64(3), "0 dimensions"),
        (np.zeros((1, 2, 3, 3, 1)), "5 dimensions"),
        (np.zeros((2, 3, 3, 2)), "1 or 3 channels"),
        (np.zeros((2, 3, 8, 8)), "moveaxis"),
        (np.zeros((8, 8, 3)), "one single RGB image"),
        (np.zeros((0, 3, 3)), "no images"),
        (np.zeros((2, 0, 3, 1)), "no images"),
        ([], "empty list"),
        ([np.zeros((3, 3)), np.zeros((4, 3))], r"differ in shape \(3×3×1, 4×3×1\)"),
        ([[[1, 2], [3]], [[1]]], "do not form one array"),
        (None, "object"),
        (torch.zeros(2, 8, 8, 3), "permute"),
        (torch.zeros(2, 2, 8, 8), "N×C×H×W"),
        (torch.full((2, 1, 3, 3), torch.nan), "NaN"),
    ],
)
def test_refusals(X, message):
    with pytest.raises(DataError, match=message) as caught:
        as_images(X)
    assert isinstance(caught.value, ValueError)


def test_nan_far_inside_is_found():
    images = np.zeros((300, 128, 128, 1), np.float32)
    images[299, 127, 127] = np.nan
    with pytest.raises(DataError, match="NaN"):
        as_images(images)


def test_tensors_have_channels_first():
    tensor = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)
    np.testing.assert_array_equal(as_images(tensor), COLOUR)
    np.testing.assert_array_equal(as_images(torch.from_numpy(GREY))[..., 0], GREY)
    half = as_images(tensor.to(torch.bfloat16).requires_grad_())
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, COLOUR, rtol=0.01)
    assert as_images(torch.zeros(3, 7)).shape == (3, 7)
    assert as_images(torch.zeros(3, 1, 7, 7)).shape == (3, 7, 7, 1)


def test_torch_is_not_imported_for_arrays():
    code = (
        "import sys, numpy as np; from insphere.data import as_images; "
        "as_images(np.zeros((2, 3, 4))); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lists_of_images():
    np.testing.assert_array_equal(as_images(list(COLOUR)), COLOUR)
    np.testing.assert_array_equal(as_images([Image.fromarray(x) for x in GREY])[..., 0], GREY)
    np.testing.assert_array_equal(as_images(Image.fromarray(GREY[0]))[0, ..., 0], GREY[0])
    mixed = as_images([Image.fromarray(GREY[0]), COLOUR[1]])
    np.testing.assert_array_equal(mixed[0], np.repeat(GREY[0][..., None], 3, axis=2))
    np.testing.assert_array_equal(mixed[1], COLOUR[1])


@pytest.mark.parametrize(
    "table",
    [
        np.zeros((3, 2)),
        np.full((3, 2), np.nan),
        [[1.0, 2.0], [3.0, 4.0]],
        sparse.csr_array(np.eye(3)),
        np.zeros((2, 2), complex),
    ],
)
def test_tables_are_left_to_scikit_learn(table):
    assert as_images(table) is table


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(
        st.one_of(
            hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
            hnp.boolean_dtypes(), hnp.complex_number_dtypes(),
        ),
        hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4),
    )
)  # fmt: skip
def test_any_array_is_either_images_or_refused_with_a_sentence(array):
    try:
        images = as_images(array)
    except DataError as error:
        text = str(error)
        assert text[0].isupper()
        assert "\n" not in text
        return
    if array.ndim == 2:
        assert images is array
        return
    assert images.dtype in (np.uint8, np.uint16, np.float32)
    assert images.ndim == 4
    assert images.shape[:3] == array.shape[:3]
    assert images.shape[3] in (1, 3)
    assert np.isfinite(images).all()
    np.testing.assert_allclose(images.reshape(array.shape), array, rtol=1e-6, atol=1e-37)


def test_paths_and_sets(tmp_path):
    source = write(tmp_path / "set", ["a/1.png", "b/2.png"])
    assert values(as_images(source)) == [0, 1]
    assert as_images(str(source), size=3, channels=3).shape == (2, 3, 3, 3)
    data = load_dataset(source)
    assert as_images(data) is data.images
    assert as_images("digits-8x8").shape == (1797, 8, 8, 1)


def test_training_images_are_the_normals(tmp_path):
    flat = write(tmp_path / "flat", ["1.png", "2.png"])
    assert values(training_images(flat)) == [0, 1]
    mvtec = ["test/good/1.png", "train/good/1.png", "train/good/2.png", "test/crack/1.png"]
    assert values(training_images(write(tmp_path / "mvtec", mvtec))) == [1, 2]
    one = write(tmp_path / "one", ["train/cat/1.png", "test/dog/1.png", "test/cat/1.png"])
    assert values(training_images(str(one), size=2)) == [0]
    assert training_images(COLOUR) is COLOUR
    data = load_dataset(tmp_path / "mvtec")
    assert np.shares_memory(training_images(data), data.images)


def test_training_on_several_classes_needs_a_choice(tmp_path):
    with pytest.raises(DataError, match=r"2 classes to train on \(a, b\).*OneClassSplit.*--normal"):
        training_images(write(tmp_path / "set", ["a/1.png", "b/2.png"]))
    with pytest.raises(DataError, match="10 classes"):
        training_images("digits-8x8")


def test_training_needs_a_training_part():
    images = np.zeros((2, 3, 3, 1), np.uint8)
    data = ImageSet(images, np.zeros(2, np.int64), ("a",), is_test=np.ones(2, bool))
    with pytest.raises(DataError, match="nothing to train on"):
        training_images(data)
