"""The cache of decoded images: fast, whole or not there, whoever is killed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from insphere.data import cache_info, clear_cache, load_dataset
from insphere.data.cache import cache_key, cached
from insphere.data.stack import FileStack
from insphere.errors import DataError


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    rng = np.random.default_rng(0)
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)).save(path / f"{i}.png")
    return path


def leftovers(root: Path) -> list[str]:
    return [path.name for path in (root / "images").iterdir() if path.name.startswith(".")]


def refuse_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("insphere.data.load.decode_entries", fail)


def test_second_load_only_opens_a_map(folder, monkeypatch):
    first = load_dataset(folder)
    refuse_to_decode(monkeypatch)
    second = load_dataset(folder)
    assert isinstance(second.images, np.memmap)
    assert not second.images.flags.writeable
    assert second.fingerprint == first.fingerprint == load_dataset(folder, name="x").fingerprint
    assert second.paths == first.paths
    with pytest.raises(AssertionError, match="decoded again"):
        load_dataset(folder, cache=False)


def test_memory_and_disk_agree(folder):
    assert load_dataset(folder).fingerprint == load_dataset(folder, cache=False).fingerprint
    assert cache_info().entries == 1


def test_changes_of_files_and_options_are_noticed(folder):
    first = load_dataset(folder)
    assert load_dataset(folder, size=4).image_shape == (4, 4, 3)
    assert load_dataset(folder, channels=1).image_shape == (6, 5, 1)
    Image.new("RGB", (5, 6), 9).save(folder / "0.png")
    os.utime(folder / "0.png", (1, 1))
    assert load_dataset(folder).fingerprint != first.fingerprint
    (folder / "1.png").unlink()
    assert len(load_dataset(folder)) == 19
    assert cache_info().entries == 5


def test_changed_zip_is_noticed(folder, tmp_path):
    path = tmp_path / "set.zip"
    seen = []
    for name in ("1.png", "2.png"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("a.png"), (folder / name).read_bytes())
        os.utime(path, (1, 1))
        seen.append(load_dataset(path).fingerprint)
    assert seen[0] != seen[1]


def test_skipped_files_are_remembered(folder, monkeypatch):
    (folder / "bad.png").write_text("x")
    assert len(load_dataset(folder, skip_bad=True).skipped) == 1
    refuse_to_decode(monkeypatch)
    assert len(load_dataset(folder, skip_bad=True).skipped) == 1
    with pytest.raises(DataError, match="1 of 21 images"):
        load_dataset(folder)


DAMAGES = [
    *("truncate", "shorten header", "other shape", "no meta", "no json", "other json", "no array"),
    *("one pixel", "other names", "pipe for images", "pipe for meta", "deep json"),
]


@pytest.mark.filterwarnings("ignore:Decoded images in the cache")
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_entries_are_rebuilt(folder, cache_root, damage):
    first = load_dataset(folder)
    wanted = first.fingerprint
    del first
    (images,) = cache_root.glob("images/*/images.npy")
    meta = images.parent / "meta.json"
    if damage == "truncate":
        images.write_bytes(images.read_bytes()[:-1])
    elif damage == "shorten header":
        images.write_bytes(b"\x93NUM")
    elif damage == "other shape":
        np.save(images, np.zeros((20, 6, 5, 1), np.uint8))
    elif damage == "no meta":
        meta.unlink()
    elif damage == "no json":
        meta.write_bytes(b'{"arrays": \xff')
    elif damage == "other json":
        meta.write_text("[1]")
    elif damage == "one pixel":
        content = bytearray(images.read_bytes())
        content[-7] ^= 1
        images.write_bytes(content)
    elif damage == "other names":
        meta.write_text(meta.read_text().replace('"9.png"', '"8.png"'))
    elif damage == "pipe for images":
        images.unlink()
        os.mkfifo(images)
    elif damage == "pipe for meta":
        meta.unlink()
        os.mkfifo(meta)
    elif damage == "deep json":
        meta.write_text("[" * 3000 + "]" * 3000)
    else:
        images.unlink()
    assert load_dataset(folder).fingerprint == wanted
    assert load_dataset(folder).fingerprint == wanted
    assert leftovers(cache_root) == []
    assert cache_info().entries == 1


def test_a_changed_entry_is_said_and_not_believed(folder, cache_root):
    first = load_dataset(folder)
    wanted = first.images.tobytes()
    (images,) = cache_root.glob("images/*/images.npy")
    content = bytearray(images.read_bytes())
    content[-1] ^= 128
    images.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged or were changed, and are decoded again"):
        again = load_dataset(folder)
    assert again.images.tobytes() == wanted
    assert again.paths == first.paths


def test_refused_sources_leave_nothing(folder, cache_root):
    whole = next(folder.rglob("*.png")).read_bytes()
    (folder / "other.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="skip"):
        load_dataset(folder)
    assert leftovers(cache_root) == []
    assert cache_info().entries == 0


def test_full_disk(folder, cache_root, monkeypatch):
    def full(_stack: FileStack, _row: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(FileStack, "append", full)
        with pytest.raises(DataError, match=r"disk is full.*INSPHERE_CACHE.*cache=False"):
            load_dataset(folder)
        assert leftovers(cache_root) == []
        assert len(load_dataset(folder, cache=False)) == 20
    assert len(load_dataset(folder)) == 20


def test_cache_folder_that_cannot_be_made(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("INSPHERE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be written .*INSPHERE_CACHE"):
        load_dataset(folder)


def test_info_and_clearing(folder, cache_root):
    assert cache_info().entries == 0
    assert clear_cache().entries == 0
    load_dataset(folder)
    info = cache_info()
    assert info.path == cache_root / "images"
    assert info.bytes > 20 * 6 * 5 * 3
    assert clear_cache() == info
    assert cache_info().entries == cache_info().bytes == 0


def test_rows_written_one_by_one_form_a_plain_array(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (1234, 3, 2, 1), dtype=np.uint8)
    stack = FileStack(tmp_path / "a.npy")
    for row in rows[:700]:
        stack.append(row)
    stack.convert(lambda row: np.repeat(row, 3, axis=2))
    for row in rows[700:]:
        stack.append(np.repeat(row, 3, axis=2))
    stack.finish()
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.repeat(rows, 3, axis=3))


BUILDER = """
import sys, time
import numpy as np
from pathlib import Path
from insphere.data.cache import cached
key, log, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
def build(folder):
    (folder / "images.npy").write_bytes(b"half")
    with log.open("a") as file:
        file.write("building\\n")
    time.sleep(seconds)
    np.save(folder / "images.npy", np.arange(5))
    return {"by": "builder"}
print(cached(key, build).arrays["images"].sum())
"""


def start_builder(key: str, log: Path, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, key, str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(log: Path, builder: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if log.exists() or builder.poll() is not None:
            break
        time.sleep(0.05)
    assert log.exists(), "the builder never started to build"


def test_two_processes_build_once(tmp_path, cache_root):
    log = tmp_path / "log"
    builders = [start_builder(cache_key("a"), log, 1.0) for _ in range(2)]
    assert [builder.communicate(timeout=60)[0] for builder in builders] == ["10\n", "10\n"]
    assert log.read_text() == "building\n"
    assert leftovers(cache_root) == []


def test_two_processes_load_one_folder(folder, cache_root):
    code = (
        "import sys; from insphere.data import load_dataset; "
        "print(load_dataset(sys.argv[1]).fingerprint)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    loaders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    prints = {loader.communicate(timeout=60)[0].strip() for loader in loaders}
    assert prints == {load_dataset(folder, cache=False).fingerprint}
    assert cache_info().entries == 1
    assert leftovers(cache_root) == []


@pytest.mark.parametrize("same_key", [True, False])
def test_a_killed_builder_leaves_nothing_that_is_read(tmp_path, cache_root, same_key):
    key, log = cache_key("a"), tmp_path / "log"
    builder = start_builder(key, log, 600)
    wait_for(log, builder)
    assert len(leftovers(cache_root)) == 1
    if not same_key:  # while it lives, its work is left alone
        cached(cache_key("b"), lambda path: np.save(path / "images.npy", np.ones(1)) or {})
        clear_cache()
        assert len(leftovers(cache_root)) == 1
    builder.send_signal(signal.SIGKILL)
    builder.communicate()

    def build(path: Path) -> dict[str, str]:
        np.save(path / "images.npy", np.arange(3))
        return {"by": "us"}

    entry = cached(key if same_key else cache_key("c"), build)
    assert entry.meta == {"by": "us"}
    assert entry.arrays["images"].tolist() == [0, 1, 2]
    assert leftovers(cache_root) == []
