"""Damaged images, zips, caches and feature blocks: read, made again, or refused in a sentence."""

from __future__ import annotations

import io
import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import check_sentence, damaged, no_longer_than, tries
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from insphere.data import as_images, load_dataset
from insphere.errors import DataError
from insphere.features import Extractor, features, pooled_form
from insphere.features import store as feature_store
from insphere.nets.backbones import load_backbone
from insphere.studio.uploads import keep_zip
from insphere.web.uploads import Limits, one_image

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 255, (9, 7, 3), np.uint8)
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP", "TGA", "PNG16", "TIFF16", "PGM")


def encoded(kind: str, variant: int = 0) -> bytes:
    """Return a small image as a file."""
    image = Image.fromarray(np.roll(PIXELS, variant, 0))
    if kind in ("PNG16", "TIFF16"):
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    elif kind == "PGM":
        image = image.convert("L")
    buffer = io.BytesIO()
    image.save(buffer, kind.removesuffix("16").replace("PGM", "PPM"))
    return buffer.getvalue()


IMAGES = {kind: encoded(kind) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
@tries(25)
@given(data=st.data())
def test_damaged_images_are_read_or_refused(kind, tmp_path, data):
    content = data.draw(damaged(IMAGES[kind]))
    file = tmp_path / f"image.{kind.lower().removesuffix('16')}"
    file.write_bytes(content)
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (
            lambda: load_dataset(file, cache=False).images,
            lambda: as_images([str(file)]),
            lambda: one_image(content, (8, 8, 1))[None],
        ):
            try:
                images = read()
            except DataError as error:
                check_sentence(str(error), len(str(file)))
            else:
                assert images.ndim == 4
                assert np.isfinite(images).all()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for kind in ("a", "b"):
            for i in range(2):
                archive.writestr(f"{kind}/{i}.png", encoded("PNG", i))
    return buffer.getvalue()


ZIP = zipped()


@tries(50)
@given(data=st.data())
def test_damaged_zips_are_read_or_refused(tmp_path, data):
    file = tmp_path / "set.zip"
    file.write_bytes(data.draw(damaged(ZIP)))
    limits = Limits(bytes=10**6, unpacked=10**6, pixels=10**5, all_pixels=10**6)
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for skip_bad in (False, True):
            try:
                load_dataset(file, cache=False, skip_bad=skip_bad, progress=False)
            except DataError as error:
                check_sentence(str(error), len(str(file)))
        try:
            keep_zip(file, tmp_path / "kept", "set", limits)
        except DataError as error:
            check_sentence(str(error), len(str(file)))


NODES = ("pipe", "loop", "folder", "gone")


def spoil(file: Path, data: st.DataObject) -> None:
    """Change a file of the cache, or put something else in its place."""
    how = data.draw(st.sampled_from(["bytes", "bytes", "bytes", *NODES]))
    if how == "bytes":
        file.write_bytes(data.draw(damaged(file.read_bytes())))
        return
    file.unlink()
    if how == "pipe":
        os.mkfifo(file)
    elif how == "loop":
        file.symlink_to(file.name)
    elif how == "folder":
        file.mkdir()


@tries(40)
@given(data=st.data())
def test_a_changed_cache_of_images_is_made_again(tmp_path, data):
    cache = tmp_path / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    folder = tmp_path / "set"
    if not folder.exists():
        for kind in ("a", "b"):
            (folder / kind).mkdir(parents=True)
            for i in range(2):
                (folder / kind / f"{i}.png").write_bytes(encoded("PNG", i + 2 * (kind == "b")))
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = load_dataset(folder)
        images, labels = np.array(expected.images), expected.labels
        files = sorted(p for p in cache.rglob("*") if p.suffix in (".npy", ".json"))
        spoil(data.draw(st.sampled_from(files)), data)
        found = load_dataset(folder)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.class_names == expected.class_names
    assert found.paths == expected.paths


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    """Make features with a network that knows nothing."""
    network = load_backbone("resnet18", "random")
    return Extractor(network, resolution=32, precision="float32", device=torch.device("cpu"))


class Remembering:
    """An extractor that computes each image once, so that the test is about the files."""

    def __init__(self, inner: Extractor) -> None:
        self.inner, self.settings, self.known = inner, inner.settings, {}

    def __call__(self, images, forms):
        key = images.tobytes(), len(forms)
        if key not in self.known:
            self.known[key] = self.inner(images, forms)
        return self.known[key]


@pytest.fixture(scope="module")
def remembering(extractor: Extractor) -> Remembering:
    """Share what was computed between examples."""
    return Remembering(extractor)


@tries(30)
@given(data=st.data())
def test_changed_blocks_of_features_are_made_again(tmp_path, remembering, monkeypatch, data):
    monkeypatch.setattr(feature_store, "BLOCK", 64)
    cache = tmp_path / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    images = np.random.default_rng(1).integers(0, 256, (128, 4, 4, 3), np.uint8)
    forms = [pooled_form(remembering.inner.card)]
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.array(features(remembering, images, forms)[0])
        files = sorted(p for p in cache.rglob("*") if p.suffix in (".npy", ".json"))
        spoil(data.draw(st.sampled_from(files)), data)
        found = features(remembering, images, forms)[0]
    np.testing.assert_array_equal(found, expected)


def arrays_file(kind: str) -> bytes:
    buffer = io.BytesIO()
    images, labels = RNG.integers(0, 255, (6, 4, 4), np.uint8), np.arange(6) % 2
    if kind == "npy":
        np.save(buffer, images)
    elif kind == "npz":
        np.savez(buffer, images=images, labels=labels)
    else:
        np.savez_compressed(buffer, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return buffer.getvalue()


ARRAYS = {kind: arrays_file(kind) for kind in ("npy", "npz", "compressed.npz")}


@pytest.mark.parametrize("kind", sorted(ARRAYS))
@tries(50)
@given(data=st.data())
def test_damaged_arrays_are_read_or_refused(kind, tmp_path, data):
    file = tmp_path / f"set.{kind}"
    file.write_bytes(data.draw(damaged(ARRAYS[kind])))
    with no_longer_than(60), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            load_dataset(file)
        except DataError as error:
            check_sentence(str(error), len(str(file)))
