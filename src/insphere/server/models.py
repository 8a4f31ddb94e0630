"""The models of a server: loaded, scored in shared batches, and exchanged for new versions.

Requests for one model wait in one queue. An idle model scores the first at once; while a batch is
being scored, those that arrive form the next one. So nobody waits for company, and batches grow
with the load. All scoring of a server runs in one thread, so that models do not fight for cores.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from insphere.errors import InsphereError
from insphere.runtime.scorer import Scores, joined, most_at_once
from insphere.scoring.drift_stream import DriftStream
from insphere.server.engines import Engine, Samples, open_engine, stamp_of, taken
from insphere.server.metrics import Metrics
from insphere.server.settings import ServerSettings

log = logging.getLogger("insphere.server")


class Busy(Exception):  # noqa: N818 (it is no fault)
    """Too many samples wait.

    Parameters
    ----------
    seconds : float
        After which it is worth to ask again.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(eq=False)
class _Waiting:
    samples: Samples
    maps: bool
    answer: asyncio.Future[tuple[Engine, Scores]]


class ServedModel:
    """One model under one name.

    Parameters
    ----------
    name : str
        Its name in addresses.
    path : pathlib.Path
        A model folder, or a file that was exported.
    settings : ServerSettings
        Limits, and the size of batches.
    metrics : Metrics
        Where measurements go.
    scoring : Executor
        The thread in which batches are scored.

    Raises
    ------
    ModelError
        If it cannot be loaded.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        settings: ServerSettings,
        metrics: Metrics,
        scoring: Executor,
    ) -> None:
        self.name, self.path, self.settings, self.metrics = name, path, settings, metrics
        self._scoring = scoring
        self._meters = metrics.of_model(name)
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._count = 0
        self._rate = 0.0  # samples a second, of late
        self._failed: tuple[object, ...] | None = None
        self._engine: Engine | None = None
        self._use(open_engine(name, path, settings.threads))

    def _use(self, engine: Engine) -> None:
        if self._engine is not None:
            old = self._engine
            self.metrics.version.remove(self.name, old.version, old.description.method)
        self._engine = engine
        self.metrics.version.labels(self.name, engine.version, engine.description.method).set(1)
        calibration = engine.description.calibration_scores
        self._drift = DriftStream(calibration) if calibration else None
        self.metrics.loads.labels(self.name, "loaded").inc()

    @property
    def engine(self) -> Engine:
        """The version in use."""
        assert self._engine is not None
        return self._engine

    @property
    def batch(self) -> int:
        """Most samples that are scored together."""
        return self.settings.batch or most_at_once(self.engine.description)

    async def score(self, samples: Samples, *, maps: bool = False) -> tuple[Engine, Scores]:
        """Score checked samples together with those of other requests.

        Returns
        -------
        Engine, Scores
            The version that scored them, and what it says.

        Raises
        ------
        Busy
            If too many samples wait.
        """
        if self._count and self._count + len(samples) > self.settings.queue:
            self.metrics.refused.labels(self.name).inc()
            raise Busy(max(1.0, self._count / self._rate if self._rate else 1.0))
        one = _Waiting(samples, maps, asyncio.get_running_loop().create_future())
        self._queue.append(one)
        self._changed(len(samples))
        self._arrived.set()
        return await one.answer

    def _changed(self, count: int) -> None:
        self._count += count
        self._meters.waiting.set(self._count)

    async def work(self) -> None:
        """Score batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not self._queue:
                self._arrived.clear()
            if batch:
                await self._score_batch(loop, batch)

    def _next_batch(self) -> list[_Waiting]:
        """Take requests from the queue, at least one and at most as many as fit a batch."""
        batch: list[_Waiting] = []
        size, most = 0, self.batch
        while self._queue:
            first = self._queue[0]
            fits = not batch or (size + len(first.samples) <= most and first.maps == batch[0].maps)
            if not fits:
                break
            self._queue.popleft()
            if first.answer.done():  # its client is gone
                self._changed(-len(first.samples))
                continue
            batch.append(first)
            size += len(first.samples)
        return batch

    async def _score_batch(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        engine, started = self.engine, time.perf_counter()
        count = sum(len(one.samples) for one in batch)
        try:
            found = await loop.run_in_executor(
                self._scoring, _in_parts, engine, [one.samples for one in batch], batch[0].maps,
                self.batch,
            )  # fmt: skip
        except Exception as error:
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        finally:
            self._changed(-count)
        seconds = time.perf_counter() - started
        self._rate = 0.7 * self._rate + 0.3 * count / max(seconds, 1e-6)
        self._record(found, seconds)
        start = 0
        for one in batch:
            stop = start + len(one.samples)
            if not one.answer.done():
                one.answer.set_result((engine, taken(found, start, stop)))
            start = stop

    def _record(self, found: Scores, seconds: float) -> None:
        meters = self._meters
        meters.batches.observe(len(found))
        meters.scoring.observe(seconds)
        if found.verdicts is None:
            meters.samples["none"].inc(len(found))
        else:
            anomalous = int(found.verdicts.sum())
            meters.samples["anomalous"].inc(anomalous)
            meters.samples["normal"].inc(len(found) - anomalous)
        if self._drift is not None:
            self.metrics.drift.labels(self.name).set(self._drift.add(found.scores.tolist()))
            self.metrics.drift_highest.labels(self.name).set(self._drift.highest)

    async def look_for_new_version(self, executor: Executor) -> bool:
        """Take up a new version, if there is one; a request is scored by one version alone.

        A version that cannot be loaded is said once, and the old one stays in use.

        Returns
        -------
        bool
            Whether another version is in use now.
        """
        loop = asyncio.get_running_loop()
        try:
            stamp = await loop.run_in_executor(executor, stamp_of, self.path)
            if stamp in (self.engine.stamp, self._failed):
                return False
            found = await loop.run_in_executor(
                executor, open_engine, self.name, self.path, self.settings.threads
            )
        except InsphereError as error:
            with suppress(InsphereError):
                self._failed = stamp_of(self.path)
            self.metrics.loads.labels(self.name, "refused").inc()
            log.warning("model", extra={"fields": {"model": self.name, "refused": str(error)}})
            return False
        self._use(found)
        log.info("model", extra={"fields": {"model": self.name, "version": found.version}})
        return True


def _in_parts(engine: Engine, given: list[Samples], maps: bool, size: int) -> Scores:
    """Score samples, at most `size` at once, so that one large request needs no more memory."""
    samples = given[0] if len(given) == 1 else np.concatenate(given)
    starts = range(0, len(samples), size)
    return joined([engine.score(samples[start : start + size], maps) for start in starts])


class Models:
    """All models of a server, with the tasks that score them.

    Parameters
    ----------
    paths : dict of str to pathlib.Path
        The models by name.
    settings : ServerSettings
        Limits and times.
    metrics : Metrics
        Where measurements go.

    Raises
    ------
    ModelError
        If one cannot be loaded.
    """

    def __init__(self, paths: dict[str, Path], settings: ServerSettings, metrics: Metrics) -> None:
        self.settings = settings
        self._scoring = ThreadPoolExecutor(1, thread_name_prefix="insphere-scoring")
        self._loading = ThreadPoolExecutor(1, thread_name_prefix="insphere-loading")
        self.decoding = ThreadPoolExecutor(
            settings.decoders, thread_name_prefix="insphere-decoding"
        )
        self.by_name = {
            name: ServedModel(name, path, settings, metrics, self._scoring)
            for name, path in paths.items()
        }
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = False

    async def start(self) -> None:
        """Begin to score."""
        tasks = [asyncio.create_task(model.work()) for model in self.by_name.values()]
        if self.settings.reload_seconds:
            tasks.append(asyncio.create_task(self._look()))
        self._tasks = tasks
        self.ready = True

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self.settings.reload_seconds)
            for model in self.by_name.values():
                await model.look_for_new_version(self._loading)

    async def stop(self) -> None:
        """End all tasks and threads; requests in progress have ended before."""
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pool in (self._scoring, self._loading, self.decoding):
            pool.shutdown(wait=False, cancel_futures=True)
