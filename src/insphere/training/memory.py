"""Keeping freed memory in the process, so that training steps reuse the same pages."""

from __future__ import annotations

import ctypes
import functools
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 << 20
_KEPT_BYTES = 1 << 30


@functools.cache
def keep_freed_memory() -> bool:
    """Ask glibc not to return large freed blocks to the system between steps.

    A training step frees and allocates the same few megabytes again and again. By default glibc
    returns them to the system each time, and the kernel clears every page anew: on small networks
    that is up to half of the time. The process keeps at most 1 GiB more than it uses.

    Returns
    -------
    bool
        Whether the setting was accepted; false if the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(taken and mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
