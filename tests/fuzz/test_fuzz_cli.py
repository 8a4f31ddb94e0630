"""Any list of arguments ends with a result, or with one sentence on stderr and exit code 2."""

from __future__ import annotations

import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from fuzzing import Drawn, check_sentence, folder_contents, no_longer_than, tries
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from insphere.cli import main
from insphere.cli.app import app
from insphere.detectors import KNNDetector

COMMAND: Any = typer.main.get_command(app)

# What comes last, so that a command that would train for minutes or serve for ever is refused.
LAST = {
    ("demo",): ["--digit", "10"],
    ("studio",): ["--data", "nowhere"],
    ("collapse",): ["--epochs", "0"],
    ("ablate",): ["--dataset", "nowhere"],
}
VALUES = (
    "", "0", "1", "-1", "2", "0.5", "1e999", "nan", "inf", "-inf", "99999", "9" * 30, "9" * 5000,
    "1.5",
    "64x", "64x48", "0x0", "1e3", "\u0663", "good", "3", "all", "--", "-", "a,b", "a=b",
    "n_neighbors=2",
    "n_neighbors=-1", "n_neighbors=[", "k=!!python/name:os.system", "calibration=5", "knn", "kde",
    "mahalanobis", "isolation-forest", "no-such-method", "severity", "images", "features", "csv",
    "latex", "png", "\x1b[2J", "a\nb", "[red]x[/]", "[/]", "\udcff", "127.0.0.1", "::1", "a" * 300,
    "fast", "one-class",
)  # fmt: skip
PATHS = (
    "set", "set.zip", "set/0.png", "model", "empty", "text.txt", "text.csv", "settings.yaml",
    "none",
    "damaged", "pipe", "loop", "loop/x", "text.txt/x", "a\0b", "x" * 300, "d/" * 2500, "/", ".",
    "..",
    "~", "~nobody/x", "/dev/null/x", "/proc/self/mem", "out", "out.csv", "out.html", "out.jsonl",
    "out.parquet", "out.png", "out.svg", "runs.sqlite", "text.sqlite", "array.npy", "table.npy",
    "digits-8x8", "/nowhere-to-write/x",
)  # fmt: skip


def commands(group: Any = COMMAND, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[str]]:
    """Return the options of every command."""
    found = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            found |= commands(command, (*path, name))
        else:
            options = [o for p in command.params for o in (*p.opts, *p.secondary_opts)]
            found[(*path, name)] = [o for o in options if o.startswith("-")]
    return found


COMMANDS = commands()
ODD_ARGUMENT = st.sampled_from(VALUES + PATHS) | st.text(max_size=8)


@st.composite
def command_lines(draw: Drawn) -> list[str]:
    """Draw a command with arguments, of which most are at least of the right kind."""
    path = draw(st.sampled_from(sorted(COMMANDS)))
    line = list(path)
    for _ in range(draw(st.integers(0, 3))):
        line.append(draw(st.sampled_from(PATHS) | ODD_ARGUMENT))
    for _ in range(draw(st.integers(0, 5))):
        option = draw(st.sampled_from(COMMANDS[path]))
        line.append(option)
        if draw(st.integers(0, 4)):
            line.append(draw(st.sampled_from(PATHS) | ODD_ARGUMENT))
    if path == ("fit",) and not draw(st.integers(0, 3)):
        line += ["--method", draw(st.sampled_from(["knn", "mahalanobis", "isolation-forest"]))]
    elif path == ("fit",):
        line += ["--epochs", draw(st.sampled_from(["0", "1"])), "--pretrain-epochs", "0"]
    return line + LAST.get(path, [])


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of good and odd things to point at."""
    folder = tmp_path_factory.mktemp("things")
    rng = np.random.default_rng(0)
    (folder / "set").mkdir()
    (folder / "empty").mkdir()
    (folder / "damaged").mkdir()
    images = rng.integers(0, 255, (12, 6, 6), np.uint8)
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / "set" / f"{i}.png")
    shutil.make_archive(str(folder / "set"), "zip", folder / "set")
    KNNDetector(n_neighbors=2).fit(images).save(folder / "model")
    shutil.copytree(folder / "model", folder / "damaged", dirs_exist_ok=True)
    (folder / "damaged" / "weights.safetensors").write_bytes(b"x")
    (folder / "text.txt").write_text("hello\n")
    (folder / "text.csv").write_text("a,b\n1,2\n")
    (folder / "text.sqlite").write_text("no database")
    (folder / "settings.yaml").write_text("source: set\nmethod: knn\nout: out\n")
    np.save(folder / "array.npy", images)
    np.save(folder / "table.npy", rng.normal(size=(12, 3)))
    (folder / "loop").symlink_to("loop")
    return folder


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command line in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), no_longer_than(60):
        code = main(arguments)
    told = (stream.buffer.getvalue().decode() for stream in (out, err))
    return code, *told


@tries(90)
@given(arguments=command_lines())
@example(arguments=["studio", "--port", "99999"])
@example(arguments=["score", "model", "loop", "--out", "a\0b"])
@example(arguments=["sweep", "status", "--store", "a\0b"])
@example(arguments=["fit", "set", "--method", "knn", "--out", "loop/x"])
def test_any_arguments_give_a_result_or_one_sentence(
    arguments: list[str], things: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("here") / "x"
    shutil.copytree(things, place, symlinks=True)
    os.mkfifo(place / "pipe")
    before, here = folder_contents(place), Path.cwd()
    os.chdir(place)
    try:
        code, out, err = run(arguments)
    finally:
        os.chdir(here)
    after = folder_contents(place)
    shutil.rmtree(place.parent)
    assert code in (0, 2), (code, out, err)
    assert "Traceback" not in out + err
    if code:
        last = err.rstrip("\n").splitlines()[-1]
        assert last.startswith("Error: "), err
        check_sentence(last.removeprefix("Error: "), sum(map(len, arguments)))
        assert after == before, (sorted(after ^ before), err)
