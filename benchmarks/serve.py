"""A server under load: ``python benchmarks/serve.py --seconds 30``.

Starts ``insphere serve`` with one model in a process of its own. Clients send images one after the
other, each as fast as it gets answers, and every score is compared with the library's. Measured are
the latency of one client alone, then of all together, throughput beside scoring in a loop with the
best batch, and the memory of the server. Rows go to results/serve.jsonl, one a model and number of
clients.
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
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from insphere.data.load import load_dataset
from insphere.detectors.model_folder import load_detector
from insphere.detectors.registry import build_detector
from machine import machine

RESULTS = Path(__file__).parent / "results" / "serve.jsonl"
POOL = 512
TOLERANCE = 1e-5


def png(image: np.ndarray) -> bytes:
    """Return a grey image as PNG."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def zipped(contents: list[bytes]) -> bytes:
    """Return images as one zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for place, content in enumerate(contents):
            archive.writestr(f"{place}.png", content)
    return file.getvalue()


async def load(
    address: str, bodies: list[bytes], wanted: list[np.ndarray], clients: int, seconds: float
) -> dict[str, Any]:
    """Send requests for some seconds; latencies, and how many answers were wrong."""
    times: list[float] = []
    images = wrong = refused = 0
    end = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(first: int, session: httpx.AsyncClient) -> None:
        nonlocal images, wrong, refused
        place = first
        while time.perf_counter() < end:
            place = (place + 1) % len(bodies)
            started = time.perf_counter()
            answer = await session.post(address, content=bodies[place])
            times.append(time.perf_counter() - started)
            if answer.status_code == 429:
                refused += 1
                await asyncio.sleep(0.05)
                continue
            found = np.array([one["score"] for one in answer.json()["results"]])
            images += len(found)
            right = np.allclose(found, wanted[place], rtol=TOLERANCE, atol=0)
            wrong += 0 if answer.status_code == 200 and right else 1

    async with httpx.AsyncClient(limits=limits, timeout=60) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(7 * i, session) for i in range(clients)))
        took = time.perf_counter() - began
    return {
        "seconds": round(took, 2),
        "requests": len(times),
        "images": images,
        "wrong": wrong,
        "refused": refused,
        "images_per_second": round(images / took, 1),
        "median_ms": round(1000 * float(np.median(times)), 2),
        "p99_ms": round(1000 * float(np.quantile(times, 0.99)), 2),
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


def loop_speed(model: Path, contents: list[bytes], seconds: float) -> tuple[float, float]:
    """Decode and score in a loop with the best of some batch sizes.

    Returns
    -------
    float, float
        Images a second, and milliseconds of processor time for each.
    """
    detector = load_detector(model)
    best, least = 0.0, float("inf")
    for batch in (64, 256, 512):
        done, began, used = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - began < seconds:
            part = [contents[(done + i) % len(contents)] for i in range(batch)]
            images = [np.asarray(Image.open(io.BytesIO(one)))[..., None] for one in part]
            detector.anomaly_score(np.stack(images))
            done += batch
        best = max(best, done / (time.perf_counter() - began))
        least = min(least, 1000 * (time.process_time() - used) / done)
    return best, least


def main() -> None:
    """Measure and add the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--method", default="deep-svdd")
    parser.add_argument("--zip", type=int, default=0, help="images of a request, as a zip")
    given = parser.parse_args()
    digits = load_dataset("mnist-5k", progress=False)
    three = digits.labels == digits.class_index("3")
    images = digits.images[:: len(digits) // POOL][:POOL]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "digits"
        params: dict[str, Any] = {"false_alarm_rate": 0.05}
        params |= {"epochs": 5} if given.method == "deep-svdd" else {}
        build_detector(given.method, params, seed=0).fit(digits.images[three]).save(model)
        scores = load_detector(model).anomaly_score(images)
        contents = [png(image) for image in images]
        size = given.zip or 1
        starts = range(0, POOL, size)
        bodies = [zipped(contents[s : s + size]) if given.zip else contents[s] for s in starts]
        wanted = [scores[s : s + size] for s in starts]
        loop, loop_cpu = loop_speed(model, contents, 3)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "insphere", "serve", str(model), "--port", str(port)]
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(command, env=dict(os.environ), stdout=quiet, stderr=quiet)
        try:
            base = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    httpx.get(f"{base}/v2/health/ready")
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            address = f"{base}/v1/models/digits/score"
            asyncio.run(load(address, bodies, wanted, 4, 2))  # warm
            alone = asyncio.run(load(address, bodies, wanted, 1, min(5, given.seconds)))
            before, used = resident_mb(server.pid), cpu_seconds(server.pid)
            found = asyncio.run(load(address, bodies, wanted, given.clients, given.seconds))
            after, used = resident_mb(server.pid), cpu_seconds(server.pid) - used
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    row = {
        "model": given.method,
        "clients": given.clients,
        "images_in_a_request": size,
        **found,
        "alone_ms": alone["median_ms"],
        "alone_p99_ms": alone["p99_ms"],
        "wrong_alone": alone["wrong"],
        "loop_images_per_second": round(loop, 1),
        "cpu_ms_per_image": round(1000 * used / max(1, found["images"]), 3),
        "loop_cpu_ms_per_image": round(loop_cpu, 3),
        "memory_mb": round(after, 1),
        "memory_grew_mb": round(after - before, 1),
        "load": os.getloadavg()[0],
        "command": f"python benchmarks/serve.py {' '.join(sys.argv[1:])}".strip(),
        "machine": machine("fastapi", "uvicorn", "httpx"),
    }
    with RESULTS.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")
    print({key: value for key, value in row.items() if key != "machine"})


if __name__ == "__main__":
    main()
