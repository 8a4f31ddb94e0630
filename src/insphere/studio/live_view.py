"""A run while it trains: progress, loss, AUC by epoch and the latent space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nicegui import ui

from insphere.durations import duration
from insphere.experiments.execution.sweep_progress import epochs_left
from insphere.experiments.runs.run_builder import baseline_of
from insphere.experiments.store.run_record import Run
from insphere.figures.interactive import live
from insphere.modalities.examples import kind_of_example
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html

PHASES = {"pretrain": "Pretraining the network", "train": "Training the sphere"}


class LivePart:
    """The part of the page that is updated during training.

    Parameters
    ----------
    studio : Studio
        The studio that has the run.
    found : Run
        The run.
    """

    def __init__(self, studio: Studio, found: Run) -> None:
        self.studio, self.identity = studio, found.identity
        self.found = found
        self._drawn = (0, 0)

    def show(self) -> None:
        """Build the view."""
        with ui.element("section").classes("card stack"):
            with ui.element("div").classes("between"):
                self._status = html("")
                controls.button("Cancel", self.cancel, "small", data_test="cancel")
            self._bar = html("")
            self._facts = html("").props('aria-live="off"')
        base = self.studio.run(baseline_of(self.found.spec).identity)
        self.drawn = kind_of_example(self.found.dataset) is None
        if self.drawn:
            self._plots()
        self.update(self.found, None if base is None else base.auc)

    def _plots(self) -> None:
        with ui.element("div").classes("two"):
            with ui.element("section").classes("card"):
                html("<h2>The latent space</h2>")
                html(
                    "<small>Each mark is a test image. The cross is the centre. The distance "
                    "between them is exact; the direction is a projection. The circle is "
                    "the sphere.</small>"
                )
                self._sphere = ui.plotly(live.latent_sphere([], [], 0)).classes("plot square")
            with ui.element("div").classes("stack"):
                with ui.element("section").classes("card"):
                    html("<h2>AUC by epoch</h2>")
                    html(
                        "<small>On some test images, for information only: training does not use "
                        "it.</small>"
                    )
                    self._auc = ui.plotly(live.auc_curve([], [], None)).classes("plot")
                    self._auc.style("height:200px")
                with ui.element("section").classes("card"):
                    html("<h2>Loss</h2>")
                    self._loss = ui.plotly(live.training_curve([])).classes("plot")
                    self._loss.style("height:200px")

    def cancel(self) -> None:
        """Stop the run; its checkpoint is kept."""
        self.studio.queue.cancel([self.identity])
        self._status.set_content(f"{formatting.state(self.found.state)} <b>Stopping…</b>")

    def update(self, found: Run, baseline: float | None) -> None:
        """Show the current progress, and the AUC of the baseline if it is known."""
        self.found = found
        history = self.studio.history(self.identity)
        views = self.studio.views(self.identity)
        last = history[-1] if history and found.state == "running" else None
        self._say(found, history if last else [])
        auc = f"{100 * views[-1].auc:.1f} %" if views else "–"
        self._facts.set_content(_facts(last, auc))
        if not self.drawn or (len(history), len(views)) == self._drawn:
            return
        self._drawn = len(history), len(views)
        self._loss.update_figure(live.training_curve(history))
        if views:
            view = views[-1]
            self._sphere.update_figure(live.latent_sphere(view.points, view.truth, view.radius))
            epochs, aucs = [v.epoch for v in views], [v.auc for v in views]
            self._auc.update_figure(live.auc_curve(epochs, aucs, baseline))

    def _say(self, found: Run, history: Sequence[Mapping[str, Any]]) -> None:
        if found.stop_requested:
            text, share = "Stopping…", None
        elif found.state == "queued":
            waiting = self.studio.queue.waiting()
            place = waiting.index(self.identity) if self.identity in waiting else 0
            text = (
                "Next in the queue." if place == 0 else f"Runs ahead of it in the queue: {place}."
            )
            if not self.studio.queue.alive():
                text = "A worker is starting…"
            share = 0.0
        elif found.progress is None or not history:
            text, share = "Reading and training…" if not self.drawn else "Reading the images…", 0.0
        else:
            progress = found.progress
            phase = PHASES.get(progress["phase"], str(progress["phase"]))
            own = [record for record in history if record["phase"] == progress["phase"]]
            done, epochs = int(own[-1]["epoch"]), int(progress["epochs"])
            share = done / max(epochs, 1)
            left = duration(epochs_left(own, epochs))
            text = f"{phase}: epoch {done} of {epochs}, about {left} left in this phase"
            if progress["phase"] == "pretrain":
                text += "; then the normal images are enclosed"
        self._status.set_content(
            f'<div aria-live="polite">{formatting.state(found.state)} &nbsp;'
            '<span data-test="progress">'
            f"{escape(text)}</span></div>"
        )
        width = 0.0 if share is None else 100 * share
        self._bar.set_content(
            f'<div class="bar" role="progressbar" aria-label="This phase" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{width:.0f}"><i style="width:{width:.1f}%"></i>'
            "</div>"
        )


def _facts(last: dict[str, float] | None, auc: str) -> str:
    values = [("AUC so far", auc)]
    if last is None:
        last = {}
    shown = {
        "loss": ("loss", "{:.4g}"),
        "radius": ("radius", "{:.4g}"),
        "outside": ("outside the sphere", "{:.1%}"),
        "images_per_second": ("images a second", "{:,.0f}"),
    }
    for key, (title, form) in shown.items():
        values.append((title, form.format(last[key]).replace("%", " %") if key in last else "–"))
    rows = "".join(f"<div><dt>{title}</dt><dd>{value}</dd></div>" for title, value in values)
    return f'<dl class="facts">{rows}</dl>'
