"""Some runs compared: their figures, and what can be taken away."""

from __future__ import annotations

from html import escape
from typing import Any

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.plots.run_comparison import FIGURES, draw
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.store.run_record import Run
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message


def show(studio: Studio, identities: list[str], figure: str) -> None:
    """Lay a comparison out, or say that there is nothing to compare."""
    runs = studio.store.runs(identities)
    finished = [run for run in runs if run.auc is not None]
    with ui.element("section").classes("card stack").props('data-test="comparison"'):
        with ui.element("div").classes("between"):
            html(f"<h2>{len(finished)} runs compared</h2>")
            controls.link("Close", "/experiments", "btn small quiet")
        if not finished:
            message("None of these runs is finished yet.")
            return
        Comparison(studio, finished, figure if figure in FIGURES else "classes").show()


class Comparison:
    """The figures of a selection, one at a time.

    Parameters
    ----------
    studio : Studio
        Where the runs are.
    runs : list of Run
        Finished runs.
    figure : str
        Which figure is shown first.
    """

    def __init__(self, studio: Studio, runs: list[Run], figure: str) -> None:
        self.studio, self.runs, self.figure = studio, runs, figure
        self.names = ",".join(run.identity for run in runs)

    def show(self) -> None:
        """Lay it out."""
        with ui.element("div").classes("between").style("align-items:end"):
            controls.select("Figure", list(FIGURES.items()), self.figure, self._choose)
            self.downloads()
        self.drawn()
        html(_table(self.runs, self.studio.names(), self.studio.titles()))

    @ui.refreshable_method
    def downloads(self) -> None:
        """Offer the figure, the table and the page."""
        with ui.element("div").classes("row"):
            for title, name in (("CSV", "runs.csv"), ("HTML report", "runs.html")):
                address = f"/download/{name}?runs={self.names}"
                controls.link(title, address, "btn small", download=True)
            address = f"/download/runs.png?figure={self.figure}&runs={self.names}"
            controls.link("PNG", address, "btn small", download=True)

    @ui.refreshable_method
    def drawn(self) -> None:
        """Draw the figure, or say what it needs."""
        try:
            figure: Any = draw(
                self.figure,
                self.runs,
                self.studio.store.files,
                printed=False,
                among=self.studio.store.runs(),
            )
        except InsphereError as error:
            message(str(error))
            return
        shown = figure.to_plotly_json()
        shown["layout"] |= {"autosize": True}
        height = shown["layout"].get("height") or 440
        shown["config"] = {"displayModeBar": False, "responsive": False}
        ui.plotly(shown).style(f"width:100%;height:{height}px").props('data-test="figure"')

    def _choose(self, name: str) -> None:
        self.figure = name
        self.drawn.refresh()
        self.downloads.refresh()
        target = f"/experiments?compare={self.names}&figure={name}"
        ui.run_javascript(f"history.replaceState(null, '', {target!r})")


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
