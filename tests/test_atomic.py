"""Files that appear whole or not at all: killed writers, readers beside them, and leftovers."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from insphere.atomic import atomic_path, refusals, write_atomic, write_whole
from insphere.errors import InsphereError

# Writes half of a file, says so, and waits to be killed.
KILLED = """
import sys, time
from pathlib import Path
from insphere.atomic import atomic_path
with atomic_path(Path(sys.argv[1])) as partial:
    with partial.open("wb") as file:
        file.write(b"n" * 1000)
        file.flush()
    print("half", flush=True)
    time.sleep(60)
"""


def killed_writer(path: Path) -> None:
    process = half_way(path)
    process.kill()
    process.wait()


def half_way(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_writer_leaves_the_old_file_and_its_leftover_goes(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    write_atomic(path, "old")
    killed_writer(path)
    assert path.read_text() == "old"
    assert len(names_in(tmp_path)) == 2
    write_atomic(path, "new")
    assert path.read_text() == "new"
    assert names_in(tmp_path) == ["scores.csv"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_a_killed_first_writer_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    killed_writer(path)
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    process = half_way(path)
    try:
        write_atomic(path, "ours")
        assert len(names_in(tmp_path)) == 2
        assert path.read_text() == "ours"
    finally:
        process.kill()
        process.wait()


def test_other_files_of_similar_names_stay(tmp_path: Path) -> None:
    mine = [".a.txt.0123.partial", ".a.txt.partial", ".b.txt.0123456789ab.partial", "a.txt~"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    write_atomic(tmp_path / "a.txt", "x")
    assert names_in(tmp_path) == sorted([*mine, "a.txt"])


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([letter]) * (1 << 18) for letter in b"abcd"]
    write_atomic(path, contents[0])
    over = threading.Event()

    def write(own: bytes) -> None:
        while not over.is_set():
            write_atomic(path, own)

    writers = [threading.Thread(target=write, args=(own,)) for own in contents]
    for writer in writers:
        writer.start()
    try:
        seen = [path.read_bytes() for _ in range(300)]
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert set(seen) <= set(contents)
    assert names_in(tmp_path) == ["file"]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_file_alone(tmp_path: Path, fault: BaseException) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")

    def interrupted() -> None:
        with atomic_path(path) as partial:
            partial.write_text("half")
            raise fault

    with pytest.raises(type(fault)):
        interrupted()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_names_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_atomic(path, "x")
    assert path.read_text() == "x"
    assert names_in(tmp_path) == [path.name]


def test_refusals_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "deeper.html"
    with pytest.raises(InsphereError, match=r"^The report cannot be written to .*deeper.*\.$"):
        write_whole(path, "x", "The report")
    with pytest.raises(InsphereError, match="The page cannot"), refusals("The page", path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
