"""A process that trains detectors of photos, or scores photos with them.

``python -m insphere.experiments.execution.inspection_worker STORE JOB THREADS``

There is at most one for each kind of job. It does not belong to the page that asked: when that
ends, it continues, and what a killed one left unfinished is taken up by the next.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from filelock import Timeout

from insphere.atomic import write_atomic
from insphere.data.value_range import shown_as_uint8
from insphere.errors import InsphereError
from insphere.experiments.execution.backends import start_detached
from insphere.experiments.execution.photo_scoring import content, overlay, save_picture, score
from insphere.experiments.execution.queue import Queue
from insphere.experiments.store.inspections import JOBS, Inspections, Job
from insphere.experiments.store.run_store import Store
from insphere.explain.heat import heat_maps
from insphere.resources import work_in_background
from insphere.workflows.inspecting import InspectionPlan, InspectionResult, inspect_photos

LOOK_SECONDS = 0.25
IDLE_SECONDS = 60.0  # after which an idle process ends, and gives its memory back
NICENESS = 5  # programs that a user waits for come first


class InspectionJobs:
    """Keeps a process at work for each kind of job for which something waits.

    Parameters
    ----------
    inspections : Inspections
        The store.
    threads : int
        Number of threads of each process.
    """

    def __init__(self, inspections: Inspections, *, threads: int = 1) -> None:
        self.inspections, self.threads = inspections, threads
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def keep_working(self) -> None:
        """Start the processes that are missing."""
        for job in JOBS:
            process = self._processes.get(job)
            if process is not None and process.poll() is None:
                continue
            self.inspections.recover(job)
            if self.inspections.waiting(job):
                store = self.inspections.store
                self._processes[job] = start_detached(
                    "insphere.experiments.execution.inspection_worker",
                    [str(store.path), job, str(self.threads)],
                    threads=self.threads,
                    log=store.folder / "workers" / f"inspections-{job}.log",
                )


def work(path: str, job: Job, threads: int) -> None:
    """Do what waits, until nothing does and no program is there to ask for more.

    Parameters
    ----------
    path : str
        The store.
    job : {"train", "score"}
        What to do. If another process does it already, nothing happens.
    threads : int
        Number of threads.
    """
    store = Store(path)
    inspections, queue = Inspections(store), Queue(store)
    lock = inspections.job_lock(job)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    with lock:
        import torch

        torch.set_num_threads(threads)
        inspections.again(job)
        idle = time.monotonic()
        while True:
            identity = inspections.take(job)
            if identity is not None:
                do(inspections, job, identity)
                idle = time.monotonic()
            elif queue.wanted() and time.monotonic() - idle < IDLE_SECONDS:
                time.sleep(LOOK_SECONDS)
            else:
                break


def do(inspections: Inspections, job: Job, identity: str) -> None:
    """Train one inspection or score one batch; a failure is recorded with its reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes about the photos are part of the facts
            (train if job == "train" else score)(inspections, identity)
    except InsphereError as error:
        inspections.fail(job, identity, str(error))
    except MemoryError:
        inspections.fail(job, identity, "There is too little memory; use fewer or smaller photos.")
    except Exception as error:  # a bug is recorded as well
        traceback.print_exc()
        inspections.fail(job, identity, f"The program failed ({type(error).__name__}: {error}).")


# ---------------------------------------------------------------------- training


def train(inspections: Inspections, identity: str) -> None:
    """Train the detector of an inspection, save it with its pictures, and record the facts."""
    found = inspections.get(identity)
    if found is None:
        return
    started = time.time()

    def say(sentence: str, seconds: float | None) -> None:
        now = time.time()
        inspections.report(
            identity, {"step": sentence, "since": now, "seconds": seconds, "started": started}
        )

    plan = InspectionPlan.model_validate(found.settings["plan"])
    if isinstance(plan.region, str):  # its name beside the photos
        plan = plan.model_copy(update={"region": str(inspections.region(identity))})
    defects, groups = inspections.defects(identity), inspections.groups(identity)
    result = inspect_photos(
        str(inspections.photos(identity)),
        plan,
        anomalies=str(defects) if defects.is_dir() else None,
        groups=str(groups) if groups.is_file() else None,
        say=say,
    )
    say("Saving", 2.0)
    folder = inspections.pictures(identity)
    folder.mkdir(parents=True, exist_ok=True)
    maps = _example_maps(result)
    for kind, image in result.examples.items():
        save_picture(content(image), folder / f"{kind}.jpg")
        if kind in maps:
            save_picture(maps[kind], folder / f"{kind}-map.jpg")
    _save_suspects(result, folder)
    if result.reference is not None:
        np.save(inspections.reference(identity), result.reference, allow_pickle=False)
    result.detector.save(inspections.model(identity), overwrite=True)
    settings = result.config.settings() | {"source": "photos/good", "out": "model"}
    if result.config.anomalies is not None:
        settings["anomalies"] = "photos/defects"
    if plan.group_by == "table":
        settings["group_by"] = f"{groups.name}:{plan.group_column}"
    write_atomic(inspections.folder(identity) / "fit.yaml", _yaml(settings))
    scale = result.scale
    shown = None if scale is None else [scale.threshold, scale.top, scale.rate]
    inspections.finish(
        identity,
        result.facts
        | {"scale": shown, "kinds": list(result.examples), "seconds": time.time() - started},
    )


def _yaml(settings: dict[str, Any]) -> str:
    head = "# insphere fit --config fit.yaml\n"
    return head + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def _save_suspects(result: InspectionResult, folder: Path) -> None:
    """Save the photos that look least normal, and their maps, by their places in the facts."""
    shown = shown_as_uint8(result.suspects, result.detector.value_range_)
    for place, image in enumerate(shown):
        save_picture(content(image), folder / f"suspect-{place}.jpg")
    if result.scale is None or not len(shown):
        return
    maps = heat_maps(result.detector, result.suspects, reference=result.reference)
    for place, (image, heat) in enumerate(zip(shown, maps, strict=True)):
        save_picture(overlay(image, heat, result.scale), folder / f"suspect-{place}-map.jpg")


def _example_maps(result: InspectionResult) -> dict[str, Any]:
    if result.scale is None or not result.examples:
        return {}
    images = np.stack(list(result.examples.values()))
    maps = heat_maps(result.detector, images, reference=result.reference)
    return {
        kind: overlay(image, heat, result.scale)
        for kind, image, heat in zip(result.examples, images, maps, strict=True)
    }


def main() -> None:
    """Read the arguments and work; SIGTERM ends it at once, and the next one continues."""
    path, job, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    work_in_background(NICENESS)
    work(path, "train" if job == "train" else "score", threads)


if __name__ == "__main__":
    main()
