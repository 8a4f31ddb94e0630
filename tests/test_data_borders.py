"""What lies at the border of a source: nodes, bombs, other kinds of files, other orders of axes."""

from __future__ import annotations

import gzip
import io
import os
import socket
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from insphere.data import as_images, load_dataset
from insphere.data.degenerate import check_informative
from insphere.data.idx import read_idx
from insphere.data.limits import Limits, limits
from insphere.detectors import IsolationForestDetector, KNNDetector, OCSVMDetector
from insphere.errors import DataError, SpecError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 9, 10, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    path.mkdir()
    for i in range(3):
        Image.new("L", (4, 4), 40 * i).save(path / f"{i}.png")
    return path


# ---------------------------------------------------------------------- nodes of the file system


def test_only_regular_files_below_the_folder_are_read(folder, tmp_path):
    (folder / "loop").symlink_to("loop")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "up").symlink_to("..")
    (folder / "out.png").symlink_to("/dev/zero")
    (folder / "nowhere.png").symlink_to("missing.png")
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket.png"))
        data = load_dataset(folder)
    assert len(data) == 3
    assert data.ignored == {
        "broken links": 3, "links out of the folder": 2, "pipes, devices and sockets": 2,
    }  # fmt: skip
    for name, word in (("pipe.png", "pipe"), ("loop", "symbolic links"), ("out.png", "device")):
        with pytest.raises(DataError, match=word):
            load_dataset(folder / name)


def test_a_pipe_in_the_cache_is_not_waited_for(folder, tmp_path):
    load_dataset(folder)
    for file in (tmp_path / "cache").rglob("*"):
        if file.suffix in (".npy", ".json"):
            file.unlink()
            os.mkfifo(file)
    assert len(load_dataset(folder)) == 3


def test_paths_that_cannot_be_are_one_sentence():
    for path in ("a" * 5000, "x\0y", "/".join(["d"] * 3000), "~nobody-here/x"):
        with pytest.raises(DataError):
            load_dataset(path)


# ---------------------------------------------------------------------- bombs


def test_sparse_files_are_not_read(folder):
    with (folder / "big.png").open("wb") as file:
        file.truncate(6 << 30)
    started = time.monotonic()
    with pytest.raises(DataError, match=r"big\.png: too large"):
        load_dataset(folder)
    data = load_dataset(folder, skip_bad=True)
    assert len(data) == 3
    assert "big.png" in data.skipped[0]
    assert time.monotonic() - started < 5


def flat_png(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (side, side)).save(buffer, "PNG")
    return buffer.getvalue()


def test_zips_of_empty_giants_are_refused_before_they_cost_time(tmp_path):
    content = flat_png(6300)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(60):
            archive.writestr(f"{i}.png", content)
    assert (tmp_path / "bomb.zip").stat().st_size < 40_000
    started = time.monotonic()
    with pytest.raises(DataError, match="decompression bomb"):
        load_dataset(tmp_path / "bomb.zip", size=32, skip_bad=True)
    assert time.monotonic() - started < 8


def test_zips_that_unpack_to_far_more_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1 << 22))
    monkeypatch.setenv("INSPHERE_FREE_BYTES", "1000")
    with pytest.raises(DataError, match="times its size"):
        load_dataset(path)
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((200, 200, 200), np.uint8))
    with pytest.raises(DataError, match="times its size"):
        load_dataset(tmp_path / "bomb.npz")
    monkeypatch.setenv("INSPHERE_FREE_BYTES", "many")
    with pytest.raises(SpecError, match="INSPHERE_FREE_BYTES"):
        limits()
    monkeypatch.delenv("INSPHERE_FREE_BYTES")
    assert limits() == Limits()


def test_too_many_files(folder, monkeypatch):
    monkeypatch.setenv("INSPHERE_MAX_FILES", "2")
    with pytest.raises(DataError, match="more than 2 files"):
        load_dataset(folder)


def test_a_folder_that_goes_away_meanwhile_is_one_sentence(folder, monkeypatch):
    (folder / "below").mkdir()
    listed = os.scandir

    def gone(path):
        return listed(f"{path}/gone" if str(path).endswith("below") else path)

    monkeypatch.setattr(os, "scandir", gone)
    with pytest.raises(DataError, match=r"folder .*below cannot be read: No such file"):
        load_dataset(folder, progress=False)


def test_encrypted_zips_are_one_sentence(folder, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + at] |= 1
            place = content.find(mark, place + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        load_dataset(path)


@settings(max_examples=60)
@given(st.data())
def test_damaged_zips_are_read_or_refused_with_a_sentence(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("zips")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(3):
            image = io.BytesIO()
            Image.new("L", (4, 4), i).save(image, "PNG")
            archive.writestr(f"{i}.png", image.getvalue())
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 2, len(content)))]
    (folder / "set.zip").write_bytes(content)
    try:
        load_dataset(folder / "set.zip", cache=False, skip_bad=True)
    except DataError as error:
        message = str(error)
    else:
        message = ""
    assert "\n" not in message


# ---------------------------------------------------------------------- other kinds of files


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", b"x,y\n1,2\n", "table"),
        ("a.tar.gz", b"\x1f\x8b", "packed file"),
        ("a.tgz", b"\x1f\x8b", "tar archive"),
        ("a", bytes(257) + b"ustar" + bytes(300), "tar archive"),
        ("b", b"\x1f\x8b\x08" + bytes(20), "gzip archive"),
        ("c.dat", b"%PDF-1.7", "PDF document"),
        ("a.mat", b"MATLAB", "MATLAB"),
        ("a.pkl", b"\x80\x04", "pickle"),
        ("a.mp4", b"", "video"),
        ("a.cr2", b"II*\0", "raw photo"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=kind):
        load_dataset(tmp_path / name)


def test_what_is_seen_and_not_read_is_counted_and_named(folder, monkeypatch):
    (folder / "2.png").rename(folder / "frame_0002")
    for name in ("a.cr2", "b.mp4", "c.psd"):
        (folder / name).write_bytes(b"x")
    pages = [Image.new("L", (4, 4), v) for v in (9, 10, 11)]
    pages[0].save(folder / "scan.tif", save_all=True, append_images=pages[1:])
    (folder / "IMG.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (folder / "notes.txt").write_text("x")
    data = load_dataset(folder)
    assert len(data) == 4
    assert [line.partition(":")[0] for line in data.skipped] == [
        "a.cr2", "b.mp4", "c.psd", "IMG.HEIC", "scan.tif",
    ]  # fmt: skip
    assert "pages 2 to 3" in data.skipped[-1]
    assert data.ignored == {".txt": 1}
    monkeypatch.setattr("insphere.data.file_kinds.reads_heif", lambda: False)
    (line,) = (s for s in load_dataset(folder, cache=False).skipped if s.startswith("IMG"))
    assert 'pip install "insphere[heif]"' in line


def test_heic_and_avif(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    image = Image.fromarray(COLOUR[0]).resize((64, 64))
    image.save(tmp_path / "a.heic")
    image.save(tmp_path / "b.avif")
    image.save(tmp_path / "c.png")
    data = load_dataset(tmp_path)
    assert data.images.shape == (3, 64, 64, 3)
    assert data.skipped == ()
    assert np.abs(data.images[0].astype(int) - data.images[2]).mean() < 12


@settings(max_examples=60)
@given(st.binary(max_size=60), st.sampled_from([1, 3, 6, 8]))
def test_broken_metadata_are_no_reason_to_refuse_pixels(junk, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = exif.tobytes() + junk
    buffer = io.BytesIO()
    image = Image.fromarray(COLOUR[0])
    image.save(buffer, "PNG", exif=content)
    shape = as_images([Image.open(buffer)]).shape
    assert shape in ((1, 9, 10, 3), (1, 10, 9, 3))


def test_only_the_orientation_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x011A] = 1.5
    buffer = io.BytesIO()
    Image.fromarray(COLOUR[0]).save(buffer, "JPEG", exif=exif)
    content = buffer.getvalue().replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x63")
    (tmp_path / "a.jpg").write_bytes(content)
    assert load_dataset(tmp_path / "a.jpg").image_shape == (10, 9, 3)


# ---------------------------------------------------------------------- arrays and their like

SMOOTH = np.linspace(0, 200, 40)[:, None] + np.linspace(0, 50, 40)[None]
STACK = np.stack([np.roll(SMOOTH, 7 * k, axis=k % 2) for k in range(30)]).astype(np.uint8)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.moveaxis(COLOUR, -1, 1), r"moveaxis\(images, 1, -1\)"),
        (np.moveaxis(COLOUR, 0, -1), r"moveaxis\(images, -1, 0\)"),
        (np.moveaxis(COLOUR, -1, 0), r"moveaxis\(images, 0, -1\)"),
        (np.concatenate([COLOUR, COLOUR[..., :1]], axis=3), r"images\[..., :3\]"),
        (np.moveaxis(STACK, 0, -1), r"moveaxis\(images, -1, 0\)"),
        (np.moveaxis(STACK[:, :30], 0, -1), r"moveaxis\(images, -1, 0\)"),
        (np.ma.masked_less(COLOUR, 9), "masked"),
        (np.ma.masked_less(RNG.random((20, 3)), 0.2), "masked"),
        (np.full((3, 4, 5), 3e38, np.float32), "scale them"),
        (torch.empty(2, 1, 3, 3, device="meta"), "meta tensor"),
        (["missing.png"], "do not exist"),
    ],
)
def test_arrays_whose_meaning_is_in_doubt_are_refused(X, message):
    with pytest.raises(DataError, match=message):
        as_images(X)
    with pytest.raises(DataError, match=message):
        KNNDetector(random_state=0, contamination=0.05).fit(X)


def test_arrays_in_order_are_taken():
    assert as_images(STACK).shape == (30, 40, 40, 1)
    assert as_images(np.moveaxis(STACK, 0, -1)[..., None]).shape == (40, 40, 30, 1)  # said so
    plain = np.ma.MaskedArray(COLOUR)
    np.testing.assert_array_equal(as_images(plain), COLOUR)
    assert not isinstance(as_images(plain), np.ma.MaskedArray)


class Pictures(torch.utils.data.Dataset):
    """Images with labels; like many, it does not end by itself."""

    def __init__(self, form):
        self.form = form

    def __len__(self):
        return len(COLOUR)

    def __getitem__(self, i):
        return self.form(COLOUR[i % len(COLOUR)])


def tensor(image):
    return torch.from_numpy(image).permute(2, 0, 1)


@pytest.mark.parametrize(
    ("form", "in_batches"),
    [
        (lambda image: (tensor(image), 1), True),
        (lambda image: {"image": tensor(image), "label": 1}, True),
        (lambda image: (image, "cat"), False),
        (Image.fromarray, False),
    ],
)
def test_torch_data_sets_are_read(form, in_batches):
    np.testing.assert_array_equal(as_images(Pictures(form)), COLOUR)
    if in_batches:
        loader = torch.utils.data.DataLoader(Pictures(form), batch_size=4)
        np.testing.assert_array_equal(as_images(loader), COLOUR)


def test_torch_data_sets_that_yield_something_else_are_refused():
    with pytest.raises(DataError, match="yields str"):
        as_images(Pictures(lambda image: "a.png"))
    with pytest.raises(DataError, match="none of"):
        as_images(Pictures(lambda image: {"label": 1}))


def test_lists_of_paths_are_read(folder):
    paths = sorted(folder.iterdir())
    assert as_images(paths)[:, 0, 0, 0].tolist() == [0, 40, 80]
    assert as_images([str(path) for path in reversed(paths)])[:, 0, 0, 0].tolist() == [80, 40, 0]
    with pytest.raises(DataError, match="names the folder"):
        as_images([folder])
    (folder / "bad.png").write_text("x")
    with pytest.raises(DataError, match=r"bad\.png: not an image"):
        as_images([*paths, folder / "bad.png"])


# ---------------------------------------------------------------------- data that teach nothing


@pytest.mark.parametrize("detector", [KNNDetector, OCSVMDetector, IsolationForestDetector])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.repeat(COLOUR[:1], 20, axis=0), "All 20 training images are identical"),
        (np.repeat(COLOUR[:1], 2, axis=0), "All 2 training images are identical"),
        (np.repeat(COLOUR[:2], 9, axis=0), "only two are different"),
        (COLOUR[:2], "only two are different"),
        (np.tile([0.0, 9.0], (20, 1)), "All 20 training rows are identical"),
        (np.zeros((20, 4, 4), np.uint8), "All values of the 20 training samples equal 0"),
    ],
)
def test_data_that_teach_nothing_are_refused_before_training(detector, X, message):
    with pytest.raises(DataError, match=message):
        detector(random_state=0).fit(X)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=3000))
def test_three_different_samples_are_enough(kinds):
    data = np.array(kinds, np.float64)[:, None] + np.array([0.0, 1.0])
    enough = len(set(kinds)) >= 3
    if enough:
        check_informative(data)
    else:
        with pytest.raises(DataError):
            check_informative(data)


def test_packed_digits_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):

    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(1 << 20)))
    monkeypatch.setenv("INSPHERE_MAX_FILE_BYTES", "1000")
    with pytest.raises(DataError, match="unpacks to more than 1000 bytes"):
        read_idx(tmp_path / "a.gz")
