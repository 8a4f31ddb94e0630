"""A server under load: ``python benchmarks/serve.py --seconds 30``.

Starts ``insphere serve`` with one model in a process of its own. Every score is compared with the
library's. Measured are, in each of some rounds:

- scoring in a loop in this process, with the best of some batch sizes, from the same PNG files or
  arrays;
- one client alone, that sends a request as soon as it has its answer;
- all clients, each as fast as it gets answers: what the server can carry at most. The time of an
  answer is then the number of clients divided by the throughput, whatever the server does;
- half of that throughput at a fixed rate, whether earlier requests are answered or not: how long
  an answer takes at a load that the server can carry.

A request holds one PNG, a zip of PNGs, or a binary tensor of the Open Inference Protocol. Rows go
to results/serve.jsonl.

``--photographs FOLDER --side 224`` serves an exported model of photographs instead, such as the
magnetic tiles, which are sent as JPEG. The loop then scores with the runtime of the same file.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from http_load import Answered, closed_loop, open_loop, request
from insphere.data.load import load_dataset
from insphere.detectors.model_folder import load_detector
from insphere.detectors.registry import build_detector
from insphere.export.graph import export_onnx, load_for_export
from insphere.runtime import Scorer
from machine import machine

RESULTS = Path(__file__).parent / "results" / "serve.jsonl"
POOL = 512
FITTED, PHOTOGRAPHS = 100, 64
TOLERANCE = 1e-5
RATE = 0.5


def png(image: np.ndarray, form: str = "PNG") -> bytes:
    """Return a grey image as a file."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, form)
    return file.getvalue()


def pixels(content: bytes) -> np.ndarray:
    """Return the grey image in a file."""
    return np.asarray(Image.open(io.BytesIO(content)))[..., None]


def zipped(contents: list[bytes]) -> bytes:
    """Return images as one zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for place, content in enumerate(contents):
            archive.writestr(f"{place}.png", content)
    return file.getvalue()


def tensor_request(path: str, images: np.ndarray) -> bytes:
    """Return a request of the Open Inference Protocol with a binary tensor, answered so too."""
    raw = images.tobytes()
    asked = {
        "inputs": [
            {
                "name": "images",
                "datatype": "UINT8",
                "shape": list(images.shape),
                "parameters": {"binary_data_size": len(raw)},
            }
        ],
        "outputs": [{"name": "score"}],
        "parameters": {"binary_data_output": True},
    }
    said = json.dumps(asked).encode()
    length = ("Inference-Header-Content-Length", str(len(said)))
    return request(path, said + raw, "application/octet-stream", [length])


def scores_of(answer: Answered, form: str) -> np.ndarray:
    """Return the scores in an answer."""
    if form != "tensor":
        return np.array([one["score"] for one in json.loads(answer.body)["results"]])
    length = int(answer.head.partition(b"inference-header-content-length:")[2].split(b"\r\n")[0])
    return np.frombuffer(answer.body[length:], "<f8")


def judged(
    answers: list[Answered], took: float, wanted: list[np.ndarray], form: str, least: float
) -> dict[str, Any]:
    """Return speed and latencies, and how many answers were wrong."""
    good = [one for one in answers if one.status == 200]
    wrong = images = 0
    for one in good:
        found = scores_of(one, form)
        images += len(found)
        wrong += not np.allclose(found, wanted[one.place], rtol=TOLERANCE, atol=TOLERANCE * least)
    times = 1000 * np.array([one.seconds for one in good])
    refused = sum(one.status == 429 for one in answers)
    return {
        "seconds": round(took, 2),
        "requests": len(answers),
        "images": images,
        "wrong": wrong + len(answers) - len(good) - refused,
        "refused": refused,
        "images_per_second": round(images / took, 1),
        "median_ms": round(float(np.median(times)), 2),
        "p99_ms": round(float(np.quantile(times, 0.99)), 2),
    }


def resident_mb(process: int) -> float:
    """Return the memory of a process."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1000
    return 0.0


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used, of all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def loop_speed(
    score: Callable[[np.ndarray], Any],
    contents: list[bytes] | np.ndarray,
    seconds: float,
    sizes: Sequence[int],
) -> tuple[float, float]:
    """Score in a loop with the best of some batch sizes; files are decoded first.

    Returns
    -------
    float, float
        Images a second, and milliseconds of processor time for each.
    """
    best, least = 0.0, float("inf")
    for batch in sizes:
        done, began, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            part = [contents[(done + i) % len(contents)] for i in range(batch)]
            if not isinstance(contents, np.ndarray):
                part = [pixels(one) for one in part]
            score(np.stack(part))
            done += batch
        best = max(best, done / (time.perf_counter() - began))
        least = min(least, 1000 * (time.process_time() - used) / done)
    return best, least


@dataclass(frozen=True)
class Served:
    """A model and what is sent to it.

    Parameters
    ----------
    path : pathlib.Path
        Model folder, or exported file.
    score : callable
        The loop, with one thread.
    sizes : tuple of int
        Batch sizes of the loop.
    contents : list of bytes
        Files of images.
    images : ndarray
        What is in them.
    scores : ndarray
        The library's scores, in float32 if a network is exported.
    least : float
        Scores below it count as this in relative differences.
    kind, said : str
        Format of the files, and what the images are.
    """

    path: Path
    score: Callable[[np.ndarray], Any]
    sizes: tuple[int, ...]
    contents: list[bytes]
    images: np.ndarray
    scores: np.ndarray
    least: float
    kind: str
    said: str


def of_digits(given: argparse.Namespace, folder: Path) -> Served:
    """Fit a model folder to one digit."""
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    images = digits.images[:: len(digits) // POOL][:POOL]
    model = folder / "digits"
    params: dict[str, Any] = {"false_alarm_rate": 0.05}
    params |= {"recipe": "fast", "epochs": 5} if given.method == "deep-svdd" else {}
    build_detector(given.method, params, seed=0).fit(digits.images[three]).save(model)
    detector = load_detector(model)
    scores = detector.anomaly_score(images)
    contents = [png(image) for image in images]
    return Served(model, detector.anomaly_score, (64, 256, 512), contents, images, scores, 0.0,
                  "PNG", "digits of 28×28")  # fmt: skip


def of_photographs(given: argparse.Namespace, folder: Path) -> Served:
    """Fit a model to photographs, and export it."""
    photos = load_dataset(given.photographs, size=given.side, channels=1, progress=False)
    test, images = np.asarray(photos.is_test), np.asarray(photos.images)
    train, new = np.flatnonzero(~test)[:FITTED], np.flatnonzero(test)
    new = new[np.linspace(0, len(new) - 1, PHOTOGRAPHS).astype(int)]
    contents = [png(image, "JPEG") for image in images[new]]
    decoded = np.stack([pixels(one) for one in contents])
    params: dict[str, Any] = {"false_alarm_rate": 0.05}
    params |= {"epochs": 5} if given.method == "fcdd" else {}
    build_detector(given.method, params, seed=0).fit(images[train]).save(folder / "photographs")
    file = export_onnx(folder / "photographs", folder / "photographs.onnx").path
    detector = load_for_export(folder / "photographs")
    scorer = Scorer(file, threads=1)
    return Served(
        file, lambda x: scorer.run(x, maps=False), (1, 4, 16), contents, decoded,
        detector.anomaly_score(decoded), detector.score_std_, "JPEG",
        f"photographs of {given.side}×{given.side}",
    )  # fmt: skip


def main() -> None:
    """Measure and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="in all, of each load")
    parser.add_argument("--rounds", type=int, default=3, help="parts, with the loop between them")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--method", default="deep-svdd")
    parser.add_argument("--form", choices=("image", "zip", "tensor"), default="image")
    parser.add_argument("--each", type=int, default=64, help="images of a zip or tensor")
    parser.add_argument("--photographs", type=Path, help="a folder with a part train and test")
    parser.add_argument("--side", type=int, default=224, help="height and width of photographs")
    given = parser.parse_args()
    size = 1 if given.form == "image" else given.each
    with tempfile.TemporaryDirectory() as folder:
        served = of_digits(given, Path(folder)) if given.photographs is None else of_photographs(
            given, Path(folder))  # fmt: skip
        contents, images, scores = served.contents, served.images, served.scores
        starts = range(0, len(images), size)
        looped = images if given.form == "tensor" else contents
        score, infer = "/v1/models/served/score", "/v2/models/served/infer"
        kind = f"image/{served.kind.lower()}"
        make: dict[str, Callable[[int], bytes]] = {
            "image": lambda s: request(score, contents[s], kind),
            "zip": lambda s: request(score, zipped(contents[s : s + size]), "application/zip"),
            "tensor": lambda s: tensor_request(infer, images[s : s + size]),
        }
        requests = [make[given.form](s) for s in starts]
        wanted = [scores[s : s + size] for s in starts]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "insphere", "serve", f"served={served.path}"]
        command += ["--port", str(port), "--threads", "1"]  # as the loop
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(command, env=dict(os.environ), stdout=quiet, stderr=quiet)
        rows, each = [], given.seconds / given.rounds
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready")
                    break
                except OSError:
                    time.sleep(0.2)
            asyncio.run(closed_loop(port, requests, 4, 2))  # warm
            for _ in range(given.rounds):
                rows.append(one_round(given, server.pid, port, served, looped, requests, wanted,
                                      each))  # fmt: skip
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    row = {
        "model": given.method,
        "samples": served.said,
        "file": served.kind,
        "form": given.form,
        "clients": given.clients,
        "images_in_a_request": size,
        **{key: median_or_sum(key, [one[key] for one in rows]) for key in rows[0]},
        "rounds": given.rounds,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "command": f"python benchmarks/serve.py {' '.join(_arguments(given))}".strip(),
        "machine": machine("fastapi", "uvicorn", "uvloop", "httptools"),
    }
    with RESULTS.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    print({key: value for key, value in row.items() if key != "machine"})


def _arguments(given: argparse.Namespace) -> list[str]:
    """Return the arguments without the folders of this computer."""
    folder = given.photographs
    return [folder.name if folder and one == str(folder) else one for one in sys.argv[1:]]


SUMS = ("seconds", "requests", "images", "wrong", "refused", "wrong_alone", "memory_grew_mb")


def median_or_sum(key: str, values: list[float]) -> float:
    """Add counts of the rounds, and take the middle of everything else."""
    return round(sum(values) if key in SUMS else float(np.median(values)), 3)


def one_round(
    given: argparse.Namespace, process: int, port: int, served: Served, looped: Any,
    requests: list[bytes], wanted: list[np.ndarray], seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Measure the loop, one client alone, all clients, and a fixed rate that can be carried."""
    loop, loop_cpu = loop_speed(served.score, looped, min(2.0, seconds), served.sizes)
    alone = judged(*asyncio.run(closed_loop(port, requests, 1, min(3.0, seconds))), wanted,
                   given.form, served.least)  # fmt: skip
    before, used = resident_mb(process), cpu_seconds(process)
    answers = asyncio.run(closed_loop(port, requests, given.clients, seconds))
    used = cpu_seconds(process) - used
    found = judged(*answers, wanted, given.form, served.least)
    after = resident_mb(process)
    rate = RATE * found["requests"] / found["seconds"]
    steady = judged(*asyncio.run(open_loop(port, requests, rate, seconds, given.clients)), wanted,
                    given.form, served.least)  # fmt: skip
    return {
        **found,
        "wrong": found["wrong"] + steady["wrong"],
        "alone_ms": alone["median_ms"],
        "alone_p99_ms": alone["p99_ms"],
        "wrong_alone": alone["wrong"],
        "steady_requests_per_second": round(rate, 1),
        "steady_median_ms": steady["median_ms"],
        "steady_p99_ms": steady["p99_ms"],
        "loop_images_per_second": round(loop, 1),
        "share_of_loop": found["images_per_second"] / loop,
        "cpu_ms_per_image": 1000 * used / max(1, found["images"]),
        "loop_cpu_ms_per_image": loop_cpu,
        "memory_mb": after,
        "memory_grew_mb": after - before,
    }


if __name__ == "__main__":
    main()
