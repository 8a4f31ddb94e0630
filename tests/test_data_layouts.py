"""Folders, zips, archives of arrays and single files, in every layout."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.data import load_dataset
from insphere.errors import DataError, SpecError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


def write(root: Path, files: dict[str, int]) -> Path:
    """Write grey 6×4 images filled with a value each."""
    for name, value in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 6), value).save(path)
    return root


def zipped(root: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(root).as_posix())
    return path


def values(data) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def names(data) -> list[str]:
    return [data.class_names[label] for label in data.labels]


PARTS = {
    "train/cat/1.png": 1,
    "train/cat/10.png": 2,
    "train/cat/9.png": 3,
    "train/dog/a.png": 4,
    "test/cat/b.png": 5,
    "test/eel/c.png": 6,
}
MVTEC = {
    "train/good/000.png": 1,
    "train/good/001.png": 2,
    "test/good/000.png": 3,
    "test/crack/000.png": 4,
    "test/hole/000.png": 5,
    "ground_truth/crack/000_mask.png": 255,
    "ground_truth/hole/000_mask.png": 1,
}


@pytest.mark.parametrize("prefix", [None, "", "top/", "a/b/"])
@pytest.mark.parametrize("cache", [True, False])
def test_parts_in_a_folder_or_zip(tmp_path, prefix, cache):
    source = write(tmp_path / "set", PARTS)
    if prefix is not None:
        source = zipped(source, tmp_path / "set.zip", prefix)
    data = load_dataset(source, cache=cache)
    assert data.name == "set"
    assert data.class_names == ("cat", "dog", "eel")
    assert values(data) == [1, 3, 2, 4, 5, 6]  # 9 before 10, training before test
    assert data.is_test.tolist() == [False] * 4 + [True] * 2
    assert names(data) == ["cat", "cat", "cat", "dog", "cat", "eel"]
    assert data.masks is None
    assert data.paths[0] == f"{source}/{prefix or ''}train/cat/1.png"
    assert data.image_shape == (6, 4, 1)


def test_wrapped_folder_and_other_names_of_parts(tmp_path):
    write(tmp_path / "set/inner", {"Training/a/1.png": 1, "Testing/a/1.png": 2})
    data = load_dataset(tmp_path / "set")
    assert values(data) == [1, 2]
    assert data.is_test.tolist() == [False, True]


def test_val_is_the_test_part_only_if_there_is_no_other(tmp_path):
    two = load_dataset(write(tmp_path / "two", {"train/a/1.png": 1, "val/a/1.png": 2}))
    assert two.is_test.tolist() == [False, True]
    three = {"train/a/1.png": 1, "val/a/1.png": 2, "test/a/1.png": 3}
    data = load_dataset(write(tmp_path / "three", three))
    assert values(data)[2] == 3
    assert data.is_test.tolist() == [False, False, True]


@pytest.mark.parametrize("zip_it", [False, True])
def test_class_folders(tmp_path, zip_it):
    source = write(tmp_path / "set", {"b/x/1.png": 1, "a/1.png": 2, "train/1.png": 3})
    if zip_it:
        source = zipped(source, tmp_path / "set.zip", "set/")
    data = load_dataset(source)
    assert data.class_names == ("a", "b", "train")  # a train is a thing, too
    assert values(data) == [2, 1, 3]
    assert data.is_test is None


def test_one_class_folder_keeps_its_name(tmp_path):
    assert load_dataset(write(tmp_path / "set", {"cats/1.png": 1})).class_names == ("cats",)
    path = zipped(tmp_path / "set", tmp_path / "set.zip", "set/")
    assert load_dataset(path).class_names == ("cats",)


def test_flat_folder_of_normals(tmp_path):
    source = write(tmp_path / "flat", {"10.png": 1, "9.png": 2})
    for path in (
        source,
        zipped(source, tmp_path / "a.zip"),
        zipped(source, tmp_path / "b.zip", "flat/"),
    ):
        data = load_dataset(path)
        assert data.class_names == ("normal",)
        assert values(data) == [2, 1]


def test_flat_training_part_takes_the_normal_name_of_the_test_part(tmp_path):
    files = {"train/1.png": 1, "test/good/1.png": 2, "test/bad/1.png": 3}
    assert names(load_dataset(write(tmp_path / "set", files))) == ["good", "bad", "good"]


@pytest.mark.parametrize("zip_it", [False, True])
@pytest.mark.parametrize("cache", [False, True])
def test_mvtec_with_masks(tmp_path, zip_it, cache):
    source = write(tmp_path / "bottle", MVTEC)
    if zip_it:
        source = zipped(source, tmp_path / "bottle.zip", "mvtec/bottle/")
    data = load_dataset(source, cache=cache)
    assert data.class_names == ("crack", "good", "hole")
    assert names(data) == ["good", "good", "crack", "good", "hole"]
    assert values(data) == [1, 2, 4, 3, 5]
    assert data.masks.shape == (5, 6, 4)
    assert data.masks[:, 0, 0].tolist() == [0, 0, 255, 0, 255]
    small = load_dataset(source, cache=cache, size=3)
    assert small.masks.shape == (5, 3, 3)


def test_mvtec_without_a_mask(tmp_path):
    files = {key: value for key, value in MVTEC.items() if "hole/000_mask" not in key}
    with pytest.raises(DataError, match=r"no mask .* 1 of .*test/hole/000.png"):
        load_dataset(write(tmp_path / "set", files))


def test_mask_of_another_size(tmp_path):
    source = write(tmp_path / "set", MVTEC)
    Image.new("L", (5, 5)).save(source / "ground_truth/hole/000_mask.png")
    with pytest.raises(DataError, match="mask has 5×5"):
        load_dataset(source)


def test_other_files_are_ignored(tmp_path):
    source = write(tmp_path / "set", {"a.png": 1, ".hidden/b.png": 2, ".c.png": 3})
    write(source, {"__MACOSX/d.png": 4})
    for name in ("README.txt", "Thumbs.db", ".DS_Store"):
        (source / name).write_text("x")
    assert values(load_dataset(source)) == [1]
    assert values(load_dataset(zipped(source, tmp_path / "set.zip"))) == [1]


def test_other_folders_beside_parts_are_named(tmp_path):
    source = write(tmp_path / "set", {**PARTS, "docs/figure.png": 9})
    with pytest.warns(UserWarning, match="1 images in docs were left out"):
        data = load_dataset(source)
    assert len(data) == 6
    assert len(data.notes) == 1


def test_ambiguous_folders_are_refused(tmp_path):
    mixed = write(tmp_path / "mixed", {"1.png": 1, "a/1.png": 2})
    with pytest.raises(DataError, match="1 images beside its class folders"):
        load_dataset(mixed)
    loose = write(tmp_path / "loose", {"train/a/1.png": 1, "test/1.png": 2})
    with pytest.raises(DataError, match="outside class folders"):
        load_dataset(loose)
    several = write(tmp_path / "several", {"x/train/good/1.png": 1, "y/train/good/1.png": 2})
    with pytest.raises(DataError, match=r"several data sets \(x, y\)"):
        load_dataset(several)


def test_links_out_of_the_folder_are_followed_when_asked_for_and_once(tmp_path):
    source = write(tmp_path / "set", {"a/1.png": 1})
    outside = write(tmp_path / "outside", {"2.png": 2})
    (source / "b").symlink_to(outside)
    (source / "a" / "loop").symlink_to(source)
    data = load_dataset(source, follow_links=True)
    assert names(data) == ["a", "b"]
    data = load_dataset(source)
    assert names(data) == ["a"]
    assert data.ignored == {"links out of the folder": 1}


def test_zip_entries_that_climb_out_are_left_alone(tmp_path):
    source = write(tmp_path / "set", {"a.png": 1})
    content = (source / "a.png").read_bytes()
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("ok/a.png", "../out.png", "/abs.png", "x/../../out.png", "C:/out.png"):
            archive.writestr(name, content)
    before = sorted(tmp_path.rglob("*.png"))
    data = load_dataset(path)
    assert data.paths == (f"{path}/ok/a.png",)
    assert sorted(tmp_path.rglob("*.png")) == before


def test_damaged_zips(tmp_path):
    path = tmp_path / "bad.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(DataError, match="not a readable zip"):
        load_dataset(path)
    source = write(tmp_path / "set", {"a.png": 1, "b.png": 2})
    content = bytearray(zipped(source, path).read_bytes())
    content[45] ^= 0xFF  # inside the first stored image
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"1 of 2 .*a.png"):
        load_dataset(path)
    assert values(load_dataset(path, skip_bad=True)) == [2]


def test_single_image(tmp_path):
    write(tmp_path, {"a.png": 7})
    data = load_dataset(tmp_path / "a.png")
    assert values(data) == [7]
    assert data.paths == (f"{tmp_path}/a.png",)
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(DataError, match=r"notes.md: not an image"):
        load_dataset(tmp_path / "notes.md")


def test_nothing_there(tmp_path):
    with pytest.raises(DataError, match="no file or folder"):
        load_dataset(tmp_path / "missing")
    with pytest.raises(DataError, match="did you mean mnist-5k"):
        load_dataset("mnist5k")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        load_dataset(tmp_path / "empty")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(DataError, match="holds no images"):
        load_dataset(tmp_path / "empty.zip")


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"size": (3, 2.5)}, {"size": "x"}, {"channels": 2}, {"roi": "whole"}]
)
def test_options_out_of_range(tmp_path, options):
    with pytest.raises(SpecError, match=next(iter(options))):
        load_dataset(write(tmp_path / "set", {"a.png": 1}), **options)


RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 5, 4), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (4, 5, 4, 3), dtype=np.uint8)


def test_keras_archive(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(
        path, x_train=GREY[:4], y_train=[3, 11, 3, 7], x_test=GREY[4:], y_test=[7, 3]
    )
    data = load_dataset(path)
    np.testing.assert_array_equal(data.images[..., 0], GREY)
    assert data.class_names == ("3", "7", "11")
    assert names(data) == ["3", "11", "3", "7", "7", "3"]
    assert data.is_test.tolist() == [False] * 4 + [True] * 2
    assert load_dataset(path, size=3, channels=3).images.shape == (6, 3, 3, 3)


def test_medmnist_archive(tmp_path):
    path = tmp_path / "set.npz"
    labels = np.array([[0], [1], [1], [0]], np.uint8)
    np.savez(
        path,
        train_images=COLOUR[:2],
        train_labels=labels[:2],
        val_images=COLOUR[2:3],
        val_labels=labels[2:3],
        test_images=COLOUR[3:],
        test_labels=labels[3:],
    )
    data = load_dataset(path)
    np.testing.assert_array_equal(data.images, COLOUR)
    assert data.labels.tolist() == [0, 1, 1, 0]
    assert data.is_test.tolist() == [False, False, False, True]


@pytest.mark.parametrize(("images", "labels"), [("images", "labels"), ("X", "y"), ("X", None)])
def test_plain_archive(tmp_path, images, labels):
    path = tmp_path / "set.npz"
    content = {images: GREY.astype(np.int64)}
    if labels:
        content[labels] = np.array(["b", "a"] * 3)
    np.savez(path, **content)
    data = load_dataset(path, name="mine")
    np.testing.assert_array_equal(data.images[..., 0], GREY)
    assert data.name == "mine"
    assert data.is_test is None
    assert data.class_names == (("a", "b") if labels else ("normal",))
    assert data.labels.tolist() == ([1, 0] * 3 if labels else [0] * 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": GREY}, "expected are"),
        ({"images": GREY, "labels": [0, 1]}, "6 images but 2 labels"),
        ({"images": GREY, "labels": np.zeros((6, 14))}, "one class for each image"),
        ({"images": GREY, "labels": np.full(6, 0.5)}, "no whole numbers"),
        ({"images": np.full((2, 4, 5), np.nan)}, "no finite numbers"),
        ({"images": np.full((2, 4, 5), 2**53 + 1)}, "do not fit 32 bits"),
        ({"images": GREY[0]}, "shape"),
        ({"images": GREY[:0]}, "no images"),
        ({"images": np.moveaxis(COLOUR, -1, 1)}, "moveaxis"),
        ({"images": np.array([[["a"]]])}, "uint8"),
        ({"x_train": GREY, "y_train": np.zeros(6), "x_test": GREY}, "some of its parts"),
        ({"x_train": GREY, "x_test": COLOUR}, "different shapes"),
        ({"images": np.array([None, {}], dtype=object)}, "not a readable .npz"),
    ],
)
def test_archives_that_do_not_fit(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path / "set.npz")


def test_damaged_arrays(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    content = (tmp_path / "a.npz").read_bytes()
    for cut in (b"text", content[: len(content) // 2], content[:60] + b"\0" * 9 + content[69:]):
        (tmp_path / "b.npz").write_bytes(cut)
        with pytest.raises(DataError, match=r"not a readable \.npz"):
            load_dataset(tmp_path / "b.npz")
    np.save(tmp_path / "a.npy", GREY)
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"not a readable \.npy"):
        load_dataset(tmp_path / "b.npy")


def test_npy_stays_on_disk(tmp_path):
    np.save(tmp_path / "set.npy", COLOUR)
    data = load_dataset(tmp_path / "set.npy")
    assert isinstance(data.images, np.memmap)
    np.testing.assert_array_equal(data.images, COLOUR)
    assert data.class_names == ("normal",)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_a_member_that_is_no_array(tmp_path, name):
    path = tmp_path / "set.npz"
    arrays = {"images": np.zeros((3, 4, 4), np.uint8), "labels": np.arange(3)}
    with zipfile.ZipFile(path, "w") as archive:
        for own, values in arrays.items():
            with archive.open(f"{own}.npy", "w") as file:
                if own == name:
                    file.write(b"no array")
                else:
                    np.lib.format.write_array(file, values)
    with pytest.raises(DataError, match=rf"not a readable .npz archive: {name} is no array"):
        load_dataset(path)
