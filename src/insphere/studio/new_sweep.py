"""A form for a small sweep: classes, options and seeds, and how many runs that makes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.detectors.registry import method_title
from insphere.errors import InsphereError
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import Choice, installed_methods
from insphere.experiments.runs.sweep_file import class_names
from insphere.studio import controls
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message

MOST = 500  # runs


def show(studio: Studio, started: Callable[[], Any]) -> None:
    """Lay the form out."""
    Form(studio, started).build()


class Form:
    """What one visitor has chosen for a sweep.

    Parameters
    ----------
    studio : Studio
        Where it will run.
    started : callable
        Told when it has started.
    """

    def __init__(self, studio: Studio, started: Callable[[], Any]) -> None:
        self.studio, self.started = studio, started
        self.sources = studio.sources.all()
        self.source = self.sources[0]
        self.classes: set[str] = set(class_names(self.source.dataset))
        self.methods: set[str] = {"deep-svdd"}
        self.options: set[str] = set()
        self.seeds, self.epochs, self.pretrain = 1, None, None

    def build(self) -> None:
        """Lay it out."""
        with ui.element("section").classes("card stack").props('id="sweep"'):
            html("<h2>Start a small sweep</h2>")
            html(
                "<p class=muted>Every method on every class with every seed; each ticked option is "
                "a column of its own beside plain Deep SVDD.</p>"
            )
            names = [(source.key, source.title) for source in self.sources]
            controls.select("Images", names, self.source.key, self._source)
            self.ticks()
            with ui.element("div").classes("row"):
                controls.number("Seeds", 1, partial(self._number, "seeds"), least=1, most=20)
                controls.number("Pretraining epochs", None, partial(self._number, "pretrain"),
                                least=0, most=1000, hint="by recipe")  # fmt: skip
                controls.number("Training epochs", None, partial(self._number, "epochs"),
                                least=1, most=1000, hint="by recipe")  # fmt: skip
            with ui.element("div").classes("row"):
                # Never made anew, so that it is heard right after a choice.
                self.button = controls.button(
                    "Start the sweep", self.start, "go", data_test="start-sweep"
                )
                self.count = html("").classes("muted").props('aria-live="polite"')
            self.result = ui.element("div")
            self._recount()

    @ui.refreshable_method
    def ticks(self) -> None:
        """Show what can be ticked."""
        names = class_names(self.source.dataset)
        with ui.element("div").classes("stack") as box:
            box.props["data-source"] = self.source.key
            self._tick_lists(names)

    def _tick_lists(self, names: tuple[str, ...]) -> None:
        _ticks("Normal classes", {n: n for n in names}, self.classes, self._tick)
        methods = {name: method_title(name) for name in installed_methods()}
        _ticks("Methods", methods, self.methods, self._tick)
        options = {n: o.title for n, o in OPTIONS.items() if o.encoder or o.steps}
        _ticks("Options of Deep SVDD", options, self.options, self._tick)

    def start(self) -> None:
        """Put it into the queue."""
        try:
            self.studio.queue.start(self.content())
        except InsphereError as error:
            self.result.clear()
            with self.result:
                message(str(error), "bad")
            return
        self.studio.queue.keep_working()
        self.started()
        ui.run_javascript("scrollTo({top: 0, behavior: 'smooth'})")

    def content(self) -> dict[str, Any]:
        """Return what a sweep file would say."""
        known = class_names(self.source.dataset)
        classes = [name for name in known if name in self.classes]
        methods = []
        for name in installed_methods():
            if name in self.methods:
                params = self._choice(name, ()).spec().params
                methods.append({"method": name, "params": params})
        for option in OPTIONS:
            if option in self.options:
                params = self._choice("deep-svdd", (option,)).spec().params
                methods.append({"method": "deep-svdd", "params": params})
        what = "all classes" if len(classes) == len(known) else ", ".join(classes)
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''}"
        return {
            "name": f"{self.source.title}: {what}, {seeds}",
            "datasets": [self.source.dataset],
            "normal": [[name] for name in classes],
            "methods": methods,
            "seeds": self.seeds,
        }

    def _choice(self, method: str, options: tuple[str, ...]) -> Choice:
        return Choice(
            dataset=self.source.dataset, normal=("-",), method=method, options=options,
            epochs=self.epochs, pretrain_epochs=self.pretrain,
        )  # fmt: skip

    def _recount(self) -> None:
        """Say how many runs that makes, and whether they can be started."""
        columns = len(self.methods) + len(self.options)
        count = len(self.classes) * columns * self.seeds
        self.button.props["disabled"] = not 0 < count <= MOST
        many = f", more than {MOST} are for the command line" if count > MOST else ""
        self.count.set_content(f"{count} runs{many}")
        self.result.clear()

    def _source(self, key: str) -> None:
        self.source = self.studio.sources.get(key)
        self.classes = set(class_names(self.source.dataset))
        self.ticks.refresh()
        self._recount()

    def _number(self, name: str, value: int | None) -> None:
        setattr(self, name, (value or 1) if name == "seeds" else value)
        self._recount()

    def _tick(self, chosen: set[str], name: str, ticked: bool) -> None:
        if ticked:
            chosen.add(name)
        else:
            chosen.discard(name)
        self._recount()


def _ticks(title: str, names: dict[str, str], chosen: set[str], tick: Any) -> None:
    with ui.element("fieldset"):
        html(f"<legend class=muted style='font-size:13.5px;padding:0 0 6px'>{title}</legend>")
        with ui.element("div").classes("row").style("gap:6px 18px"):
            for name, text in names.items():
                with ui.element("label").classes("row").style("gap:7px;cursor:pointer"):
                    controls.checkbox(
                        partial(tick, chosen, name), checked=name in chosen, name=name
                    )
                    html(f"<span>{escape(text)}</span>", "display:contents")
