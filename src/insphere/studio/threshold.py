"""The threshold of a run: a slider, a histogram and a confusion matrix that change together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from nicegui import ui
from numpy.typing import NDArray

from insphere.figures.interactive import live
from insphere.scoring.metrics import Evaluation, evaluate_scores
from insphere.studio import controls, formatting
from insphere.studio.frame import html

STEPS = 400


class Threshold:
    """The scores of one run and a threshold that the visitor can move.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        Anomaly scores.
    truth : ndarray, shape (n,)
        0 is normal, 1 anomalous.
    start : float
        The threshold at first.
    calibrated : float
        The threshold of the detector.
    scale : (float, float)
        Mean and standard deviation of the scores of normal images if z-scores are shown; else
        (0, 1).
    moved : callable
        Called with each new threshold, on the scale of `scores`.
    """

    def __init__(
        self,
        scores: NDArray[np.float64],
        truth: NDArray[Any],
        start: float,
        calibrated: float,
        scale: tuple[float, float],
        moved: Callable[[float], None],
    ) -> None:
        self._mean, self._std = scale
        self._scores = (scores - self._mean) / self._std
        self._truth, self._moved = truth, moved
        self._place = (start - self._mean) / self._std
        self._calibrated = (calibrated - self._mean) / self._std
        self._low, self._high = live.score_range(self._scores)
        room = (
            self._high - self._low
        ) / 20  # so that the threshold can be moved in both directions
        self._low = min(self._low, self._place - room)
        self._high = max(self._high, self._place + room)
        self._step = (self._high - self._low) / STEPS
        self._digits = max(0, 1 - math.floor(math.log10(self._step)))  # so that one step is visible
        self._unit = "z-score" if scale != (0.0, 1.0) else "anomaly score"

    def show(self) -> None:
        """Build the view."""
        figure = live.score_histogram(self._scores, self._truth, self._place, self._unit)
        self._plot = ui.plotly(figure).classes("plot")
        with ui.element("div").style("padding:0 12px 0 48px"):
            self._slider = ui.slider(
                min=self._low,
                max=self._high,
                step=self._step,
                value=self._place,
                on_change=lambda event: self.move(float(event.value)),
            )
            self._slider.props('aria-label="Threshold" data-test="threshold"')
        with ui.element("div").classes("between"):
            self._words = html("")
            back = controls.button("Reset to the threshold of the model", self._back, "small quiet")
            back.style("margin-left:-12px")
        self._table = html("")
        self._say()

    def move(self, place: float) -> None:
        """Move the threshold."""
        self._place = place
        self._plot.figure["layout"]["shapes"] = [live.threshold_line(place)]
        self._plot.update()
        self._say()
        self._moved(place * self._std + self._mean)

    def _back(self) -> None:
        self._slider.set_value(self._calibrated)

    def _say(self) -> None:
        measured = evaluate_scores(self._truth, self._scores, self._place)
        self._words.set_content(
            f'<p>At <b data-test="threshold-value">{self._place:.{self._digits}f}</b>, '
            f"{formatting.percent(measured.recall)} % of the anomalous images are found and "
            f"{formatting.percent(measured.false_alarm_rate)} % of the normal images are false "
            "alarms.</p>"
        )
        self._table.set_content(_confusion(measured))


def _confusion(measured: Evaluation) -> str:
    rows = (
        ("truly normal", measured.tn, "correct", measured.fp, "false alarms", measured.n_normal),
        ("truly anomalous", measured.fn, "missed", measured.tp, "found", measured.n_anomalous),
    )
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{a:,}<small>{a_name}</small></td>'
        f"<td>{b:,}<small>{b_name}</small></td><td>{n:,}</td></tr>"
        for name, a, a_name, b, b_name, n in rows
    )
    return (
        '<table class="confusion" data-test="confusion"><caption class="sr">Confusion matrix at '
        "the "
        "threshold</caption><thead><tr><td style='border:0'></td><th scope=col>called normal</th>"
        f"<th scope=col>called anomalous</th><th scope=col>all</th></tr></thead>{body}</table>"
    )
