"""``insphere score --backend`` as people call it: killed, called again, misspelt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digit_files import model_of_threes, png
from insphere.cli import main
from insphere.export.graph import load_for_export

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
pytest.importorskip("onnxscript")

N = 1200
SHARDS = 400
BACKENDS = ["processes", pytest.param("ray", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model folder, a folder of photographs, a folder of Parquet files, and their scores."""
    folder = tmp_path_factory.mktemp("bulk")
    data = model_of_threes(folder / "m")
    contents = [png(image) for image in data.images[:N]]
    (folder / "photos").mkdir()
    for number, content in enumerate(contents[:40]):
        (folder / "photos" / f"{number:04d}.png").write_bytes(content)
    (folder / "tables").mkdir()
    for part in range(2):
        rows = np.arange(part * N // 2, (part + 1) * N // 2)
        table = pd.DataFrame({"row": rows, "photo": [contents[row] for row in rows]})
        table.to_parquet(folder / "tables" / f"{part}.parquet", row_group_size=N // SHARDS)
    return folder, load_for_export(folder / "m").anomaly_score(data.images[:N])


def command(folder, source, out, backend, *more):
    return [
        "score", str(folder / "m"), str(folder / source), "--backend", backend,
        "--workers", "1", "--out", str(out), "--json", *more,
    ]  # fmt: skip


def said(capsys, arguments):
    capsys.readouterr()
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def descendants(pid):
    """The processes that a process started, and those that these started."""
    found = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, file.read_text().split()):
            found += [child, *descendants(child)]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_folder_of_photographs_becomes_parquet(given, tmp_path, capsys):
    folder, scores = given
    found = said(capsys, command(folder, "photos", tmp_path / "out", "processes"))
    assert (found["rows"], found["errors"], found["done_before"]) == (40, 0, 0)
    table = pd.read_parquet(tmp_path / "out").sort_values("name")
    assert table["name"].tolist() == [f"{number:04d}.png" for number in range(40)]
    np.testing.assert_allclose(table["score"], scores[:40], rtol=1e-9)
    assert found["anomalous"] == (table["verdict"] == "anomalous").sum()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_command_goes_on_where_it_was(backend, given, tmp_path, capsys):
    if backend == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: insphere[ray]")
    folder, scores = given
    out = tmp_path / "out"
    arguments = command(folder, "tables", out, backend, "--image-column", "photo")
    running = subprocess.Popen(
        [sys.executable, "-m", "insphere", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 120
    while len(list(out.glob("part-*.parquet"))) < 5:
        assert time.monotonic() < until
        assert running.poll() is None, "it ended early"
        time.sleep(0.005)
    started = descendants(running.pid)
    os.kill(running.pid, signal.SIGKILL)  # the command alone: what it started has to notice
    running.wait()
    assert started
    while any(map(alive, started)):
        assert time.monotonic() < until, "workers outlive the command"
        time.sleep(0.05)
    kept = {part: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
    assert 5 <= len(kept) < SHARDS
    for part in kept:  # each appears when it is complete
        assert len(pd.read_parquet(part)) == N // SHARDS
    found = said(capsys, arguments)
    assert found["done_before"] == len(kept) * N // SHARDS
    assert found["rows"] == N - found["done_before"]
    assert all(part.stat().st_mtime_ns == when for part, when in kept.items())
    table = pd.read_parquet(out).sort_values("row")
    assert table["row"].tolist() == list(range(N))
    np.testing.assert_allclose(table["score"], scores, rtol=1e-9)
    assert said(capsys, arguments)["rows"] == 0


def test_mistakes_are_one_sentence(given, tmp_path, capsys, monkeypatch):
    folder, _ = given
    out = tmp_path / "out"

    def refused(arguments):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return " ".join(error.split())

    assert "--backend is one of ray, processes, but got spark" in refused(
        command(folder, "photos", out, "spark")
    )
    alone = ["score", str(folder / "m"), str(folder / "photos"), "--backend", "ray"]
    assert "--backend needs a folder for the scores" in refused(alone)
    assert "as the model was trained" in refused(
        command(folder, "photos", out, "processes", "--size", "16")
    )
    assert "--image-column" in refused(command(folder, "tables", out, "processes"))
    assert "There are no images" in refused(command(folder, "none", out, "processes"))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'pip install "insphere[ray]"' in refused(command(folder, "photos", out, "ray"))
