"""The results of a finished run: AUC, threshold, images, training and settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import yaml
from nicegui import ui
from sklearn.metrics import roc_curve

from insphere.detectors.model_folder import describe_model
from insphere.durations import duration
from insphere.errors import DataError, InsphereError
from insphere.experiments.store.run_record import Run
from insphere.figures.interactive import live
from insphere.modalities.examples import kind_of_example
from insphere.scoring.thresholds import false_alarm_interval
from insphere.studio import controls, formatting, run_widgets
from insphere.studio.app_state import Studio, split_of
from insphere.studio.frame import details, html, message
from insphere.studio.threshold import Threshold

FEW_HELD_OUT = 60  # held-out images below which their number is explained


@dataclass(frozen=True)
class RunActions:
    """The actions that a visitor can start from the results.

    Parameters
    ----------
    compare, again : callable
        Train the baseline; train this run again, to save its model.
    open_image : callable
        Inspect a test image, given its position.
    moved : callable
        Keep the threshold set by the visitor.
    """

    compare: Callable[[], None]
    again: Callable[[], None]
    open_image: Callable[[int], Any]
    moved: Callable[[float], None]


class RunResults:
    """The results of a finished run, as a part of its page.

    Parameters
    ----------
    studio : Studio
        The studio that has the run.
    found : Run
        The run.
    threshold, scores : str
        Values from the address: a threshold set by the visitor, and "z" for z-scores.
    actions : RunActions
        The actions of the page.
    """

    def __init__(
        self, studio: Studio, found: Run, threshold: str, scores: str, actions: RunActions
    ) -> None:
        self.studio, self.found, self.actions = studio, found, actions
        self.threshold, self.unit = threshold, scores
        self.kind = kind_of_example(found.dataset)
        self.plural = "images" if self.kind is None else self.kind.plural
        self.singular = "image" if self.kind is None else self.kind.singular

    def show(self) -> None:
        """Build the view."""
        found = run_widgets.compared_run(self.studio, self.found)
        with ui.element("section").classes("card stack"):
            self._hero = html(run_widgets.hero(found))
            if text := run_widgets.assumption(found):
                html(f'<p class="muted" data-test="assumed">{text}</p>')
            if text := run_widgets.labelled(self.found):
                html(f'<p class="muted" data-test="labelled">{text}</p>')
            if found.missing:
                with ui.element("div").classes("row"):
                    html(
                        "<span class=muted>The baseline has not been trained with this class and "
                        "seed."
                        "</span>"
                    )
                    controls.button("Train the baseline", self.actions.compare, "small")
            html("<h2 style='margin-top:12px'>Compared with baseline and controls</h2>")
            self._scale = html(run_widgets.scale(self.studio, found))
        if not self.studio.has_model(self.found.identity):
            kept = "The model of this run was not saved; only its scores are available."
            with message(kept):
                controls.button("Train again and save the model", self.actions.again, "small")
        self._threshold()
        with ui.element("section").classes("card stack"):
            html(f"<h2>{self.plural.capitalize()} <small>click one to inspect it</small></h2>")
            run_widgets.galleries(self.studio, self.found, self.actions.open_image)
        self._training()
        self._settings()

    def update(self, around: run_widgets.ComparedRun) -> None:
        """Show new results of the baseline and the controls."""
        self._scale.set_content(run_widgets.scale(self.studio, around))
        self._hero.set_content(run_widgets.hero(around))

    def _threshold(self) -> None:
        try:
            scores, truth = self.studio.store.files.scores(self.found.identity)
        except DataError:
            return
        calibrated = self.found.threshold
        if calibrated is None:
            return
        with ui.element("div").classes("two"):
            with ui.element("section").classes("card stack").style("gap:10px"):
                with ui.element("div").classes("between"):
                    html("<h2>Scores and the threshold</h2>")
                    self._unit_link()
                start = _number(self.threshold, calibrated)
                Threshold(
                    scores, truth, start, calibrated, self._score_scale(), self.actions.moved
                ).show()
                if reason := self._few():
                    html(f'<small data-test="few-calibration">{reason}</small>')
            with ui.element("section").classes("card stack").style("gap:10px"):
                html("<h2>ROC curve</h2>")
                curves = {
                    f"this run, {formatting.percent(self.found.auc)} %": roc_curve(truth, scores)[
                        :2
                    ]
                }
                base = run_widgets.compared_run(self.studio, self.found).baseline
                if base is not None and base.state == "finished":
                    try:
                        other, other_truth = self.studio.store.files.scores(base.identity)
                        name = f"baseline, {formatting.percent(base.auc)} %"
                        curves[name] = roc_curve(other_truth, other)[:2]
                    except DataError:
                        pass  # imported without its scores: it has an AUC but no curve
                ui.plotly(live.roc(curves)).classes("plot tall")
                html(f"<small>{_measured(self.found).replace('images', self.plural)}</small>")

    def _few(self) -> str:
        """Say what a small number of held-out images does to the threshold; else nothing."""
        rate = dict(self.found.spec.params).get("false_alarm_rate")
        if not isinstance(rate, float) or self.found.n_train is None:
            return ""
        try:
            n = len(split_of(self.found.spec).train) - self.found.n_train
            low, high = false_alarm_interval(n, rate)
        except InsphereError:
            return ""
        if not 0 < n < FEW_HELD_OUT:
            return ""
        highest = n < 2 / rate
        how = "the highest of their scores" if highest else "one of the highest of their scores"
        said = (
            f"Only {n} held-out images set the threshold of the model: it is {how}, so one strange "
            f"image among them raises it, and many anomalies pass. The true false-alarm rate lies "
            f"between {formatting.percent(low)} and {formatting.percent(high)} % in nine of ten "
            "cases. More normal images make it exact; the AUC does not depend on it."
        )
        return said.replace("images", self.plural).replace("image", self.singular)

    def _unit_link(self) -> None:
        if self.unit == "z":
            html(f'<small>z-scores keep the order, so the AUC is the same. '
                 f'<a href="/runs/{self.found.identity}">Show distances</a></small>')  # fmt: skip
        else:
            address = f"/runs/{self.found.identity}?scores=z"
            html(f'<small><a href="{address}">Show as z-scores</a></small>')

    def _score_scale(self) -> tuple[float, float]:
        if self.unit != "z":
            return 0.0, 1.0
        try:
            card = describe_model(self.studio.store.files.model(self.found.identity))
        except InsphereError:
            return 0.0, 1.0
        return float(card["score_mean"]), float(card["score_std"])

    def _training(self) -> None:
        history = self.studio.history(self.found.identity)
        if not history:
            return
        views = self.studio.views(self.found.identity)
        with ui.element("section").classes("card stack"):
            html("<h2>Training</h2>")
            with ui.element("div").classes("two"):
                ui.plotly(live.training_curve(history)).classes("plot")
                if views:
                    last = views[-1]
                    figure = live.latent_sphere(last.points, last.truth, last.radius)
                    ui.plotly(figure).classes("plot")

    def _settings(self) -> None:
        found = self.found
        sweep = {
            "name": found.identity,
            "datasets": [found.dataset],
            "normal": [list(found.normal)],
            "methods": [{"method": found.method, "params": dict(found.params)}],
            "seeds": [found.seed],
        }
        versions = ", ".join(f"{name} {number}" for name, number in (found.versions or {}).items())
        with ui.element("section").classes("card stack"):
            html("<h2>Origin</h2>")
            facts = [
                ("trained on", f"{found.n_train:,} {self.plural}" if found.n_train else "–"),
                ("training time", duration(found.seconds)),
                ("finished", formatting.ago(found.finished)),
                ("seed", str(found.seed)),
            ]
            rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
            html(f'<dl class="facts">{rows}</dl><small>{escape(versions)}</small>')
            with ui.element("div").classes("row"):
                if self.studio.has_model(found.identity):
                    controls.link("Download the model", f"/download/models/{found.identity}.zip",
                                  "btn small", download=True)  # fmt: skip
                    if self.kind is None:
                        controls.link("Inspect an image of your own",
                                      f"/look?model={found.identity}", "btn small")  # fmt: skip
            with details("The same run from the command line"):
                text = yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True)
                html(
                    f'<pre class="code" tabindex="0">insphere sweep run run.yaml\n\n# run.yaml\n'
                    f"{escape(text)}</pre>"
                )
            with details("All numbers"):
                content = escape(json.dumps(found.row(), indent=2, ensure_ascii=False))
                html(f'<pre class="code" tabindex="0">{content}</pre>')


def _measured(found: Run) -> str:
    return (
        f"{found.n_normal:,} normal and {found.n_anomalous:,} anomalous test images. Average "
        f"precision {formatting.percent(found.average_precision)} %. At the threshold that finds "
        "95 % "
        f"of the anomalous images, {formatting.percent(found.fpr_at_95_tpr)} % of the normal "
        "images "
        "are false alarms."
    )


def _number(text: str, otherwise: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return otherwise
    return value if abs(value) < 1e12 else otherwise
