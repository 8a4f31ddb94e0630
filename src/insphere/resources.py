"""What this process may use: cores and memory, the limits of containers and of `ulimit` included.

Nothing here imports a heavy library.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

STEP_BYTES = 1 << 30
"""The most that the maps of one training step or one batch of scoring may take."""
SMALLEST_STEP = 64 << 20
PREPARING = 4
"""Preprocessing and resizing get one part in so many of that: more at once is not faster."""
SHARE = 4
"""One part in so many of the memory that the process may use is for the maps of a step."""


def usable_cores() -> int:
    """Count the cores that the process may use: its affinity, and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota()
    return max(1, min(cores or 1, math.ceil(quota))) if quota else cores or 1


@cache
def usable_memory() -> int:
    """Return the bytes that the process may use, as found when first asked for.

    The least of the machine's memory, the limits of its control groups (versions 1 and 2, those
    of parents included), and the limit on its address space (`ulimit -v`).
    """
    limits = [limit for limit in (_physical(), _address_space(), *_group_limits()) if limit]
    return min(limits, default=4 * STEP_BYTES)


def step_budget() -> int:
    """Return the bytes that the maps of one step may take: a power of two.

    A quarter of the usable memory, rounded down, from 64 MiB to 1 GiB. So every machine with 4 GiB
    or more has the same budget, and what depends on it comes out the same.
    """
    share = max(SMALLEST_STEP, min(STEP_BYTES, usable_memory() // SHARE))
    return 1 << (share.bit_length() - 1)


def rows_within(bytes_each: int, most: int, *, parts: int = 1) -> int:
    """Return how many samples fit into `step_budget`: `most`, or a power of two below it.

    Parameters
    ----------
    bytes_each : int
        Memory of one sample.
    most : int
        Number of samples that is wanted.
    parts : int
        Use one of so many equal parts of the budget; see `PREPARING`.
    """
    budget = step_budget() // parts
    if bytes_each * most <= budget:
        return most
    fitting = max(1, budget // bytes_each)
    return 1 << (fitting.bit_length() - 1)


def work_in_background(niceness: int) -> None:
    """Let programs that a user waits for come first; where that cannot be asked for, do nothing.

    Linux shares the processor between sessions before it looks at how nice their processes are
    (``sched(7)``, "the autogroup feature"). So a process that leads a session of its own also
    lowers the priority of the session.

    Parameters
    ----------
    niceness : int
        How much to add to the niceness of this process, up to 19.
    """
    if not hasattr(os, "nice"):
        return
    with suppress(OSError):
        os.nice(niceness)
        if os.getsid(0) == os.getpid():
            Path("/proc/self/autogroup").write_text(str(os.nice(0)), encoding="ascii")


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library has a call for it.

    glibc keeps what was freed in the middle of its heap. Between two large pieces of work of one
    process that adds to the peak of the second.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


@contextmanager
def within_cores() -> Iterator[None]:
    """Let torch use no more threads than the process has cores.

    Torch counts the cores of the machine and knows nothing of a container's quota.
    """
    torch = sys.modules.get("torch")
    before, cores = (0, 0) if torch is None else (torch.get_num_threads(), usable_cores())
    if torch is None or before <= cores:
        yield
        return
    torch.set_num_threads(cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return None


def _address_space() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _group_limits() -> Iterator[int]:
    for folder in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _first_line(folder / name)
            if text.isdigit():
                yield int(text)


@cache
def _quota() -> float | None:
    """Return the cores' worth of time that the container has, or None if there is no limit."""
    found = []
    for folder in _groups("cpu"):
        words = _first_line(folder / "cpu.max").split()
        if len(words) != 2:
            words = [_first_line(folder / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
        if all(word.isdigit() for word in words) and int(words[1]):  # "max" and -1: no limit
            found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)


def _groups(controller: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the folders of the process's control group and of its parents."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            top = root
        elif controller in controllers.split(","):
            top = root / controller
        else:
            continue
        inner = top / path.lstrip("/")
        folders += [inner, *(p for p in inner.parents if p == top or top in p.parents)]
    return folders


def _first_line(path: Path) -> str:
    try:
        return path.read_text().partition("\n")[0].strip()
    except OSError:
        return ""
