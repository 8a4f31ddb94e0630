"""A comparison of selected runs: figures, a table and downloads."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.analysis.run_collection import selected_runs
from insphere.experiments.plots.catalogue import figure_specs, figures_of, present_name
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.store.run_record import Run
from insphere.report.gallery import PlannedFigure
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message, show_address

FIRST = "bars"  # the figure that is shown when none is named


def show(studio: Studio, identities: list[str], figure: str) -> None:
    """Show a comparison, or a message if no run is finished."""
    runs = studio.store.runs(identities)
    finished = [run for run in runs if run.auc is not None]
    with ui.element("section").classes("card stack").props('data-test="comparison"'):
        with ui.element("div").classes("between"):
            html(f"<h2>{len(finished)} runs compared</h2>")
            controls.link("Close", "/experiments", "btn small quiet")
        if not finished:
            message("None of these runs is finished yet.")
            return
        name = present_name(figure)
        known = any(spec.key == name for spec in figure_specs())
        ComparisonView(studio, finished, name if known else FIRST).show()


class ComparisonView:
    """The figures of the selected runs, one kind at a time.

    Parameters
    ----------
    studio : Studio
        The studio that has the runs.
    runs : list of Run
        Finished runs.
    figure : str
        The kind of figure that is shown first.
    """

    def __init__(self, studio: Studio, runs: list[Run], figure: str) -> None:
        self.studio, self.runs, self.figure = studio, runs, figure
        self.names = ",".join(run.identity for run in runs)
        self.collection = selected_runs(runs, studio.store.files, studio.store.runs())

    def show(self) -> None:
        """Build the view."""
        with ui.element("div").classes("between").style("align-items:end"):
            offered = [(spec.key, spec.title) for spec in figure_specs()]
            controls.select("Figure", offered, self.figure, self._choose)
            self.downloads()
        self.drawn()
        html(_table(self.runs, self.studio.names(), self.studio.titles()))

    def downloads(self) -> None:
        """Show the links to the table and the HTML page."""
        with ui.element("div").classes("row"):
            for title, name in (("CSV", "runs.csv"), ("HTML report", "runs.html")):
                address = f"/download/{name}?runs={self.names}"
                controls.link(title, address, "btn small", download=True)

    @ui.refreshable_method
    def drawn(self) -> None:
        """Draw the figures, or show what they need."""
        try:
            found = figures_of(self.figure, self.collection)
        except InsphereError as error:
            message(str(error))
            return
        for planned in found:
            with ui.element("figure").classes("stack"):
                self._drawn(planned)

    def _drawn(self, planned: PlannedFigure) -> None:
        address = f"/download/runs.png?figure={planned.name}&runs={self.names}"
        if planned.screen is None:  # images take long to draw, so the browser loads them later
            alt = escape(planned.title, quote=True)
            html(f'<img src="{address}" alt="{alt}" style="max-width:100%" data-test="figure">')
        else:
            try:
                _plotly(planned.screen())
            except InsphereError as error:
                message(str(error))
                return
        with ui.element("div").classes("between"):
            html(f"<figcaption class=muted>{escape(planned.caption)}</figcaption>")
            controls.link("PNG", address, "btn small", download=True)

    def _choose(self, name: str) -> None:
        self.figure = name
        self.drawn.refresh()
        query = urlencode({"compare": self.names, "figure": name}, safe=",")
        show_address(f"/experiments?{query}")


def _plotly(figure: Any) -> None:
    shown = figure.to_plotly_json()
    shown["layout"] |= {"autosize": True}
    height = shown["layout"].get("height") or 440
    shown["config"] = {"displayModeBar": False, "responsive": False}
    ui.plotly(shown).style(f"width:100%;height:{height}px").props('data-test="figure"')


def _table(runs: list[Run], names: dict[str, str], titles: dict[str, str]) -> str:
    rows = "".join(
        f'<tr><td><a href="/runs/{run.identity}">{escape(names[run.identity])}</a></td>'
        f"<td>{escape(titles[run.dataset])}</td>"
        f"<td>{escape(normal_title(run.normal))}</td><td class=r>{run.seed}</td>"
        f"<td class=r>{formatting.percent(run.auc)}</td></tr>"
        for run in sorted(runs, key=lambda run: -(run.auc or 0.0))
    )
    head = (
        "<tr><th>method</th><th>images</th><th>normal</th><th class=r>seed</th>"
        "<th class=r>AUC, %</th></tr>"
    )
    return f'<div class="scroll"><table class="table">{head}{rows}</table></div>'
