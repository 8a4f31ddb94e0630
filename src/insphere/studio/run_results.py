"""A run that is done, from the numbers down to the settings."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING

import yaml
from nicegui import ui
from sklearn.metrics import roc_curve

from insphere.detectors.persistence.model_folder import describe_model
from insphere.errors import DataError, InsphereError
from insphere.experiments.execution.sweep_progress import span
from insphere.experiments.store.run_record import Run
from insphere.figures.interactive import live
from insphere.studio import controls, formatting, run_widgets
from insphere.studio.frame import html, message
from insphere.studio.threshold import Threshold

if TYPE_CHECKING:
    from insphere.studio.pages.run import RunPage


def show(page: RunPage) -> None:
    """Lay out a finished run."""
    found = run_widgets.beside(page.studio, page.found)
    with ui.element("section").classes("card stack"):
        page.hero = html(run_widgets.hero(found))
        if text := run_widgets.assumption(found):
            html(f'<p class="muted" data-test="assumed">{text}</p>')
        if found.missing:
            with ui.element("div").classes("row"):
                html(
                    "<span class=muted>Nobody has trained the baseline with this class yet.</span>"
                )
                controls.button("Train the baseline", page.compare, "small")
        html("<h2 style='margin-top:12px'>Beside it</h2>")
        page.scale = html(run_widgets.scale(page.studio, found))
    if not page.studio.has_model(page.found.identity):
        with message("The scores of this run are here as numbers only; its model was not kept."):
            controls.button("Train it again and keep it", page.again, "small")
    _threshold(page)
    with ui.element("section").classes("card stack"):
        html("<h2>Look at the images <small>click one to look closer</small></h2>")
        run_widgets.galleries(page.studio, page.found, page.open_image)
    _training(page)
    _settings(page)


def _threshold(page: RunPage) -> None:
    try:
        scores, truth = page.studio.store.files.scores(page.found.identity)
    except DataError:
        return
    calibrated = page.found.threshold
    if calibrated is None:
        return
    with ui.element("div").classes("two"):
        with ui.element("section").classes("card stack").style("gap:10px"):
            with ui.element("div").classes("between"):
                html("<h2>Scores and the threshold</h2>")
                _unit_link(page)
            chosen = _number(page.address["threshold"], calibrated)
            Threshold(scores, truth, chosen, calibrated, _scale(page), page.moved).show()
        with ui.element("section").classes("card stack").style("gap:10px"):
            html("<h2>ROC</h2>")
            curves = {
                f"this run, {formatting.percent(page.found.auc)} %": roc_curve(truth, scores)[:2]
            }
            base = run_widgets.beside(page.studio, page.found).baseline
            if base is not None and base.state == "finished":
                try:
                    other, other_truth = page.studio.store.files.scores(base.identity)
                    name = f"baseline, {formatting.percent(base.auc)} %"
                    curves[name] = roc_curve(other_truth, other)[:2]
                except DataError:
                    pass  # imported as a row: it has a number, but no curve
            ui.plotly(live.roc(curves)).classes("plot tall")
            html(f"<small>{_measured(page.found)}</small>")


def _unit_link(page: RunPage) -> None:
    if page.address["scores"] == "z":
        html(f'<small>z-scores keep the order, so the AUC is the same. '
             f'<a href="/runs/{page.found.identity}">Show distances</a></small>')  # fmt: skip
    else:
        html(f'<small><a href="/runs/{page.found.identity}?scores=z">Show as z-scores</a></small>')


def _scale(page: RunPage) -> tuple[float, float]:
    if page.address["scores"] != "z":
        return 0.0, 1.0
    try:
        card = describe_model(page.studio.store.files.model(page.found.identity))
    except InsphereError:
        return 0.0, 1.0
    return float(card["score_mean"]), float(card["score_std"])


def _measured(found: Run) -> str:
    return (
        f"{found.n_normal:,} normal and {found.n_anomalous:,} anomalous test images. Average "
        f"precision {formatting.percent(found.average_precision)} %; to find 95 % of the "
        f"anomalous, {formatting.percent(found.fpr_at_95_tpr)} % false alarms."
    )


def _training(page: RunPage) -> None:
    history = page.studio.history(page.found.identity)
    if not history:
        return
    views = page.studio.views(page.found.identity)
    with ui.element("section").classes("card stack"):
        html("<h2>How it trained</h2>")
        with ui.element("div").classes("two"):
            ui.plotly(live.training_curve(history)).classes("plot")
            if views:
                last = views[-1]
                figure = live.latent_sphere(last.points, last.truth, last.radius)
                ui.plotly(figure).classes("plot")


def _settings(page: RunPage) -> None:
    found = page.found
    sweep = {
        "name": found.identity,
        "datasets": [found.dataset],
        "normal": [list(found.normal)],
        "methods": [{"method": found.method, "params": dict(found.params)}],
        "seeds": [found.seed],
    }
    versions = ", ".join(f"{name} {number}" for name, number in (found.versions or {}).items())
    with ui.element("section").classes("card stack"):
        html("<h2>Where it comes from</h2>")
        facts = [
            ("trained on", f"{found.n_train:,} images" if found.n_train else "–"),
            ("took", "–" if found.seconds is None else span(found.seconds)),
            ("finished", formatting.ago(found.finished)),
            ("seed", str(found.seed)),
        ]
        rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
        html(f'<dl class="facts">{rows}</dl><small>{escape(versions)}</small>')
        with ui.element("div").classes("row"):
            if page.studio.has_model(found.identity):
                controls.link("Download the model", f"/download/models/{found.identity}.zip",
                              "btn small", download=True)  # fmt: skip
                controls.link("Score an image of your own", f"/look?model={found.identity}",
                              "btn small")  # fmt: skip
        with ui.element("details"):
            with ui.element("summary"):
                html("The same run from the command line")
            text = yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True)
            html(
                f'<pre class="code" tabindex="0">insphere sweep run run.yaml\n\n# run.yaml\n'
                f"{escape(text)}</pre>"
            )
        with ui.element("details"):
            with ui.element("summary"):
                html("All numbers")
            content = escape(json.dumps(found.row(), indent=2, ensure_ascii=False))
            html(f'<pre class="code" tabindex="0">{content}</pre>')


def _number(text: str, otherwise: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return otherwise
    return value if abs(value) < 1e12 else otherwise
