"""Measurements of a server for Prometheus."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class ModelMeters:
    """The measurements of one model, found once."""

    batches: Histogram
    scoring: Histogram
    waiting: Gauge
    samples: dict[str, Counter]


class Metrics:
    """All measurements, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        model = ["model"]
        self.requests = Counter(
            "insphere_requests", "Requests by path and status.", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "insphere_request_seconds", "Time to answer.", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.samples = Counter(
            "insphere_samples", "Samples scored, by verdict.", ["model", "verdict"],
            registry=registry,
        )  # fmt: skip
        self.batches = Histogram(
            "insphere_batch_size", "Samples scored together.", model, buckets=SIZES,
            registry=registry,
        )  # fmt: skip
        self.scoring = Histogram(
            "insphere_batch_seconds", "Time to score one batch.", model, buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "insphere_waiting_samples", "Samples that wait or are being scored.", model,
            registry=registry,
        )  # fmt: skip
        self.refused = Counter(
            "insphere_refused", "Requests refused because too many wait.", model, registry=registry
        )
        self.drift = Gauge(
            "insphere_drift_log10_capital",
            "Evidence that scores no longer look like those of the calibration: 2 is a warning.",
            model, registry=registry,
        )  # fmt: skip
        self.drift_highest = Gauge(
            "insphere_drift_log10_capital_highest",
            "The highest that this evidence has been in its window.", model, registry=registry,
        )  # fmt: skip
        self.version = Gauge(
            "insphere_model_info", "1 for the version in use.", ["model", "version", "method"],
            registry=registry,
        )  # fmt: skip
        self.loads = Counter(
            "insphere_model_loads", "Versions taken up, or refused.", ["model", "result"],
            registry=registry,
        )  # fmt: skip

        self._of_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        found = self._of_route.get((route, status))
        if found is None:  # looking labels up takes longer than counting
            found = self.requests.labels(route, str(status)), self.seconds.labels(route)
            self._of_route[route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def of_model(self, name: str) -> ModelMeters:
        """Return the measurements of one model."""
        return ModelMeters(
            batches=self.batches.labels(name),
            scoring=self.scoring.labels(name),
            waiting=self.waiting.labels(name),
            samples={
                verdict: self.samples.labels(name, verdict)
                for verdict in ("normal", "anomalous", "none")
            },
        )

    def text(self) -> bytes:
        """Return all measurements in the text format of Prometheus."""
        content: bytes = generate_latest(self.registry)
        return content
