"""The settings of a server, with its limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from insphere.web.uploads import Limits


@dataclass(frozen=True)
class ServerSettings:
    """How a server works, and what it accepts.

    Parameters
    ----------
    limits : Limits
        Size and number of what one request holds.
    queue : int
        Samples that may wait for one model. Beyond, requests are refused with 429.
    requests : int
        Requests that may be in progress at a time; beyond, they are refused with 429.
    batch : int, optional
        Most samples that are scored together; by default as many as `most_at_once` says.
    timeout : float
        Seconds after which a request is given up.
    threads : int
        Threads of the scoring of one batch.
    decoders : int
        Threads that decode images.
    reload_seconds : float
        How often new versions of the models are looked for; 0 for never.
    stop_seconds : float
        Time for requests in progress when the server is stopped.
    """

    limits: Limits = field(
        default_factory=lambda: Limits(
            bytes=64_000_000, unpacked=256_000_000, images=1024, all_pixels=400_000_000
        )
    )
    queue: int = 2048
    requests: int = 256
    batch: int | None = None
    timeout: float = 30.0
    threads: int = 1
    decoders: int = 2
    reload_seconds: float = 2.0
    stop_seconds: float = 30.0
