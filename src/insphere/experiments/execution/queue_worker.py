"""A worker process of a queue.

``python -m insphere.experiments.execution.queue_worker STORE SLOT THREADS``
"""

from __future__ import annotations

import signal
import sys
import time

from filelock import Timeout

from insphere.experiments.execution.queue import Queue
from insphere.experiments.execution.worker import Worker
from insphere.experiments.store.run_store import Store
from insphere.resources import work_in_background

LOOK_SECONDS = 0.25
NICENESS = 3  # programs that a user waits for come first


def work(path: str, slot: int, threads: int) -> None:
    """Execute runs of the queue until it is empty and no program is there to add more.

    Parameters
    ----------
    path : str
        The store.
    slot : int
        Number of this worker in the queue. If that worker exists already, nothing happens.
    threads : int
        Number of threads.
    """
    store = Store(path)
    queue = Queue(store)
    lock = queue.slot_lock(slot)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    with lock:
        import torch

        torch.set_num_threads(threads)
        with Worker(store, save_models=True, live=True) as worker:
            while True:
                spec = queue.take(worker.name)
                if spec is not None:
                    worker.run_claimed(spec)
                elif queue.wanted():
                    time.sleep(LOOK_SECONDS)
                else:
                    break


def main() -> None:
    """Read the arguments and work. After SIGTERM the run is marked as interrupted."""
    path, slot, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    work_in_background(NICENESS)
    work(path, slot, threads)


if __name__ == "__main__":
    main()
