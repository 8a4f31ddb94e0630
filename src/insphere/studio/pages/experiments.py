"""All runs of the store: the queue, sweeps, a table of runs, and comparisons."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from insphere.experiments.plots.run_comparison import groups
from insphere.experiments.runs.display_names import dataset_title, normal_title
from insphere.experiments.store.run_record import Run
from insphere.studio import comparison_view, controls, formatting, new_sweep, queue_view
from insphere.studio.app_state import Studio
from insphere.studio.frame import PATIENCE, frame, html, show_address

LOOK_SECONDS = 1.5
GROUPS = (
    ("", "nothing"),
    ("method", "method and options"),
    ("class", "normal class"),
    ("dataset", "data set"),
    ("seed", "seed"),
)
_NUMBER = "v => v == null ? '–' : v.toFixed(1)"
COLUMNS: list[dict[str, Any]] = [
    {"name": "state", "label": "state", "field": "state", "sortable": True, "align": "left"},
    {"name": "auc", "label": "AUC, %", "field": "auc", "sortable": True, ":format": _NUMBER},
    {"name": "method", "label": "method", "field": "method", "sortable": True, "align": "left"},
    {"name": "dataset", "label": "images", "field": "dataset", "sortable": True, "align": "left"},
    {"name": "normal", "label": "normal", "field": "normal", "sortable": True, "align": "left"},
    {"name": "seed", "label": "seed", "field": "seed", "sortable": True},
    {"name": "seconds", "label": "seconds", "field": "seconds", "sortable": True,
     ":format": _NUMBER},
    {"name": "run", "label": "run", "field": "run", "align": "left"},
]  # fmt: skip


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/experiments", response_timeout=PATIENCE)
    def experiments(
        compare: str = "",
        figure: str = "classes",
        group: str = "",
        search: str = "",
        state: str = "",
        dataset: str = "",
    ) -> None:
        with frame(studio, "Experiments", "/experiments"):
            html("<h1>Experiments</h1>")
            html(
                '<p class="lead">All runs of this store, from the studio and from the command '
                "line.</p>"
            )
            page = ExperimentsPage(studio)
            page.given = {
                "group": group if group in dict(GROUPS) else "", "search": search[:100],
                "state": state if state in formatting.STATES else "", "dataset": dataset[:200],
            }  # fmt: skip
            page.build([name for name in compare.split(",") if name], figure)


class ExperimentsPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio whose store is shown.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.given: dict[str, str] = {}
        self.selected: list[str] = []
        self.runs: list[Run] = studio.store.runs()
        self._seen: Any = self._signature()

    def build(self, compared: list[str], figure: str) -> None:
        """Build the page."""
        with ui.element("div").classes("gap stack"):
            self.compared = ui.element("div").classes("stack")
            if compared:
                with self.compared:
                    comparison_view.show(self.studio, compared, figure)
            self.queue = queue_view.QueueView(self.studio)
            self.queue.show()
            with ui.element("section").classes("card stack"):
                with ui.element("div").classes("between"):
                    html("<h2>All runs</h2>")
                    self.actions()
                self._filters()
                self.table_or_groups()
            new_sweep.show(self.studio, self.queue.refresh)
        ui.timer(LOOK_SECONDS, self.look)

    def _filters(self) -> None:
        titles = self.studio.titles()
        datasets = {name: titles[name] for name in sorted({run.dataset for run in self.runs})}
        with ui.element("div").classes("row"):
            with ui.element("label").classes("field"):
                html("<span>Search</span>", "display:contents")
                field = ui.element("input").props('type="search" name="search"')
                field.props["^value"] = self.given["search"]  # see `controls.number`
                field.props["placeholder"] = "method, class, run …"
                field.on(
                    "input", lambda event: self._filter("search", str(event.args)),
                    js_handler="(e) => emit(e.target.value)", throttle=0.2,
                )  # fmt: skip
            states = [("", "any"), *((key, word) for key, (_, word) in formatting.STATES.items())]
            controls.select("State", states, self.given["state"], partial(self._filter, "state"))
            names = [("", "any"), *datasets.items()]
            on_change = partial(self._filter, "dataset")
            controls.select("Images", names, self.given["dataset"], on_change)
            on_change = partial(self._filter, "group")
            controls.select("Group by", GROUPS, self.given["group"], on_change)

    @ui.refreshable_method
    def actions(self) -> None:
        """Show the buttons for the selected runs, or for all."""
        with ui.element("div").classes("row"):
            if self.selected:
                count = len(self.selected)
                html(f'<span class="muted" aria-live="polite">{count} selected</span>')
                address = f"/experiments?compare={','.join(self.selected)}"
                controls.link("Compare", address, "btn small go").props('data-test="compare"')
            query = f"?runs={','.join(self.selected)}" if self.selected else ""
            controls.link("CSV", f"/download/runs.csv{query}", "btn small", download=True)

    @ui.refreshable_method
    def table_or_groups(self) -> None:
        """Show the runs that match the filters, one by one or in groups."""
        names = self.studio.names()
        shown = [run for run in self.runs if self._fits(run, names[run.identity])]
        if not self.runs:
            html('<p class=muted>There are no runs yet. <a href="/compare">Start one</a>.</p>')
        elif self.given["group"]:
            html(_grouped(shown, self.given["group"], self.runs))
        else:
            self._table(shown, names)

    def _table(self, runs: list[Run], names: dict[str, str]) -> None:
        titles = self.studio.titles()
        rows = [_row(run, names[run.identity], titles[run.dataset]) for run in reversed(runs)]
        self.table = ui.table(
            rows=rows,
            columns=COLUMNS,
            row_key="run",
            selection="multiple",
            pagination={"rowsPerPage": 15},
            on_select=lambda event: self._select([row["run"] for row in event.selection]),
        ).props("flat wrap-cells dense")
        self.table.style("width:100%")
        self.table.selected = [row for row in rows if row["run"] in self.selected]
        self.table.add_slot(
            "body-cell-run",
            '<q-td :props="props"><a :href="\'/runs/\' + props.value">{{ props.value }}</a></q-td>',
        )
        self.table.on("rowClick", lambda event: ui.navigate.to(f"/runs/{event.args[1]['run']}"))

    # ------------------------------------------------------------------ what happens

    def look(self) -> None:
        """Show what has changed since the last check."""
        self.queue.refresh()
        self.runs = self.studio.store.runs()
        now = self._signature()
        if now != self._seen:
            self._seen = now
            self.table_or_groups.refresh()

    def _signature(self) -> Any:
        return [(run.identity, run.state) for run in self.runs]

    def _select(self, identities: list[str]) -> None:
        self.selected = identities
        self.actions.refresh()

    def _filter(self, name: str, value: str) -> None:
        self.given[name] = value
        query = urlencode({key: given for key, given in self.given.items() if given})
        show_address("/experiments" + (f"?{query}" if query else ""))
        self.table_or_groups.refresh()

    def _fits(self, run: Run, name: str) -> bool:
        if self.given["state"] not in ("", run.state):
            return False
        if self.given["dataset"] not in ("", run.dataset):
            return False
        words_ = self.given["search"].lower().split()
        title, normal = dataset_title(run.dataset), normal_title(run.normal)
        text = f"{run.identity} {name} {run.method} {run.dataset} {title} {normal}".lower()
        return all(word in text for word in words_)


def _row(run: Run, name: str, dataset: str) -> dict[str, Any]:
    sign, word = formatting.STATES[run.state]
    return {
        "run": run.identity, "state": f"{sign} {word}",
        "auc": None if run.auc is None else 100 * run.auc, "method": name,
        "dataset": dataset, "normal": normal_title(run.normal),
        "seed": run.seed, "seconds": run.seconds,
    }  # fmt: skip


def _grouped(runs: list[Run], by: str, among: list[Run]) -> str:
    rows = []
    for group in groups(runs, by, among):
        spread = "" if group["std"] is None else f" ± {100 * group['std']:.1f}"
        compare = f"/experiments?compare={','.join(group['runs'][:40])}"
        rows.append(
            f"<tr><td>{escape(group['name'])}</td><td class=r>{group['n']}</td>"
            f"<td class=r>{100 * group['mean']:.1f}{spread}</td>"
            f'<td class=r><a href="{compare}">compare</a></td></tr>'
        )
    head = "<tr><th>group</th><th class=r>runs</th><th class=r>AUC, %</th><th></th></tr>"
    body = "".join(rows) or "<tr><td colspan=4 class=muted>No finished run matches.</td></tr>"
    return f'<div class="scroll"><table class="table" data-test="groups">{head}{body}</table></div>'
