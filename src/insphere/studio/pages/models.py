"""The saved models: their facts, scoring images with them, and downloads."""

from __future__ import annotations

import csv
import io
from functools import partial
from html import escape

import numpy as np
from nicegui import ui

from insphere.detectors.model_folder import describe_model
from insphere.errors import InsphereError
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.store.run_record import Run
from insphere.modalities.examples import kind_of_example
from insphere.safe_text import csv_row
from insphere.studio import controls, formatting, upload_widget
from insphere.studio.app_state import Studio
from insphere.studio.frame import PATIENCE, frame, html, message, show_address
from insphere.studio.image_sources import Source
from insphere.studio.inspect_image import ScoredList, score_all

SHOWN = 24
LISTED = 20


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/models", response_timeout=PATIENCE)
    def models(model: str = "") -> None:
        with frame(studio, "Models", "/models"):
            html("<h1>Models</h1>")
            html(
                '<p class="lead">A model is a folder with weights, threshold and calibration. '
                "<code>insphere score</code> and Python can use it as well.</p>"
            )
            ModelsPage(studio, model).build()


class ModelsPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio that has the models.
    model : str
        Identity of the model in the address, or an empty text.
    """

    def __init__(self, studio: Studio, model: str) -> None:
        self.studio, self.model = studio, model
        runs = studio.store.runs(states=("finished",))
        self.runs = [run for run in reversed(runs) if studio.has_model(run.identity)]
        self.shown = SHOWN
        self.source: Source | None = None
        self.every = False
        self.turn = 0

    def build(self) -> None:
        """Build the page."""
        self.dialog = ui.dialog()
        with self.dialog, ui.element("div").classes("sheet") as self.sheet:
            self.sheet.props('role="dialog" aria-label="Score images"')
        self.cards()
        opened = next((run for run in self.runs if run.identity == self.model), None)
        if opened is not None:
            self.score(opened)
        self.dialog.on_value_change(lambda event: None if event.value else show_address("/models"))

    @ui.refreshable_method
    def cards(self) -> None:
        """Show a card for each model, the latest first."""
        if not self.runs:
            html(
                '<p class="gap muted">There is no model yet. <a href="/compare">Train one</a>.</p>'
            )
            return
        with ui.element("div").classes("gap three"):
            for run in self.runs[: self.shown]:
                self._card(run)
        if len(self.runs) > self.shown:
            with ui.element("div").classes("gap"):
                controls.button(f"Show {len(self.runs) - self.shown} more", self._more)

    def _more(self) -> None:
        self.shown += SHOWN
        self.cards.refresh()

    def _card(self, run: Run) -> None:
        with ui.element("article").classes("card stack").style("gap:14px"):
            name, normal = (
                escape(self.studio.names()[run.identity]),
                escape(normal_title(run.normal)),
            )
            place = escape(self.studio.titles()[run.dataset])
            html(
                f'<div><h2><a href="/runs/{run.identity}" style="color:inherit">{name}</a></h2>'
                f"<small>normal is {normal} of {place}, seed {run.seed}"
                "</small></div>"
            )
            html(self._facts(run))
            with ui.element("div").classes("row").style("gap:8px;margin-top:auto"):
                if kind_of_example(run.dataset) is None:
                    controls.button("Score images", partial(self.score, run), "small",
                                    data_test="score-images")  # fmt: skip
                    controls.link("Inspect", f"/look?model={run.identity}", "btn small")
                controls.link("Download", f"/download/models/{run.identity}.zip", "btn small",
                              download=True)  # fmt: skip

    def _facts(self, run: Run) -> str:
        try:
            card = describe_model(self.studio.store.files.model(run.identity))
        except InsphereError as error:
            return f"<p class=muted>{escape(str(error))}</p>"
        facts = [
            ("AUC", f"{formatting.percent(run.auc)} %"),
            ("trained on", f"{card['n_train']:,} {_plural(run)}"),
            ("size", f"{card['weights_bytes'] / 1000:,.0f} kB"),
        ]
        rows = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts)
        rule = escape(str(card["threshold_rule"]))
        if card["threshold"] is not None:
            rule = f"Threshold {card['threshold']:.4g}: {rule}"
        return (
            f'<dl class="facts" style="grid-template-columns:repeat(3,auto)">{rows}</dl>'
            f"<small style='display:block;margin-top:10px'>{rule}.</small>"
        )

    # ------------------------------------------------------------------ scoring

    def score(self, run: Run) -> None:
        """Open a dialog in which a source is scored with a model."""
        self.sheet.clear()
        show_address(f"/models?model={run.identity}")
        with self.sheet:
            with ui.element("div").classes("between"):
                html(f"<h2>Score images with {escape(self.studio.names()[run.identity])}</h2>")
                controls.button("Close", self.dialog.close, "small")
            sources = self.studio.sources.all()
            names = [("", "select …")]
            names += [(source.key, source.title) for source in sources]
            self.source, self.every = None, False
            controls.select("Images on this computer", names, "", partial(self._from_key, run))
            with ui.element("label").classes("row").style("gap:7px;cursor:pointer"):
                controls.checkbox(partial(self._take_every, run), checked=False, name="every-image")
                html(
                    "<span>Include images that the model was trained on</span>", "display:contents"
                )
            html("<p class=muted>Or a zip file of your own, with folders or without:</p>")
            upload_widget.drop_zip(self.studio, partial(self._score, run), only_scored=True)
            self.result = ui.element("div").classes("stack").props('aria-live="polite"')
        self.dialog.open()

    async def _from_key(self, run: Run, key: str) -> None:
        if key:
            await self._score(run, self.studio.sources.get(key))

    async def _take_every(self, run: Run, ticked: bool) -> None:
        self.every = ticked
        if self.source is not None:
            await self._score(run, self.source)

    async def _score(self, run: Run, source: Source) -> None:
        self.source = source
        self.turn += 1
        turn = self.turn
        self.result.clear()
        with self.result:
            ui.label("Scoring…").classes("muted")
        model = self.studio.store.files.model(run.identity)
        try:
            found = await self.studio.ask(score_all, model, source.dataset, self.every)
        except InsphereError as error:
            self.result.clear()
            with self.result:
                message(str(error), "bad")
            return
        if turn != self.turn:
            return  # something else was selected in the meantime
        self.result.clear()
        with self.result:
            _show_scores(found)


def _show_scores(found: ScoredList) -> None:
    names, scores, threshold = found.names, found.scores, found.threshold
    message(found.verdict, "fine")
    html(f'<p class="muted" data-test="scored">{escape(found.what)}</p>')
    if found.skipped:
        html(f"<p class=muted>Images left out because they cannot be read: {found.skipped:,}</p>")
    order = np.argsort(-scores)
    rows = "".join(
        f"<tr><td>{escape(names[place])}</td><td class=r>{scores[place]:.4g}</td>"
        f"<td>{'✕ anomalous' if scores[place] > threshold else '○ normal'}</td></tr>"
        for place in order[:LISTED]
    )
    html(
        f'<div class="scroll"><table class="table" data-test="scores"><tr><th>image</th>'
        f"<th class=r>score</th><th>verdict</th></tr>{rows}</table></div>"
    )
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["image", "score", "threshold", "anomalous"])
    for place in order:
        verdict = int(scores[place] > threshold)
        writer.writerow(csv_row([names[place], float(scores[place]), threshold, verdict]))
    content = file.getvalue().encode()
    controls.button("Download all as CSV", lambda: ui.download(content, "scores.csv"), "small")


def _plural(run: Run) -> str:
    kind = kind_of_example(run.dataset)
    return "images" if kind is None else kind.plural
