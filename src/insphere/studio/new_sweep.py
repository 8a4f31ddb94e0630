"""A form that starts a small sweep over classes, methods, options and seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.detectors.registry import method_title
from insphere.errors import InsphereError
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import RunChoice, installed_methods
from insphere.experiments.runs.sweep_file import class_names
from insphere.studio import controls
from insphere.studio.app_state import Studio
from insphere.studio.frame import html, message

MOST = 500  # runs


def show(studio: Studio, started: Callable[[], Any]) -> None:
    """Build the form."""
    Form(studio, started).build()


class Form:
    """The form of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio that runs the sweep.
    started : callable
        Called when the sweep was started.
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
        """Build the form."""
        with ui.element("section").classes("card stack").props('id="sweep"'):
            html("<h2>Start a small sweep</h2>")
            html(
                "<p class=muted>Runs every selected method on every selected class with every "
                "seed. Each selected option is measured alone, beside plain Deep SVDD.</p>"
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
                # Never rebuilt, so that a click right after a selection is not lost.
                self.button = controls.button(
                    "Start the sweep", self.start, "go", data_test="start-sweep"
                )
                self.count = html("").classes("muted").props('aria-live="polite"')
            self.result = ui.element("div")
            self._recount()

    @ui.refreshable_method
    def ticks(self) -> None:
        """Show the lists of classes, methods and options."""
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
        """Add the sweep to the queue."""
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
        """Return the content of a sweep file with these settings."""
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

    def _choice(self, method: str, options: tuple[str, ...]) -> RunChoice:
        return RunChoice(
            dataset=self.source.dataset, normal=("-",), method=method, options=options,
            epochs=self.epochs, pretrain_epochs=self.pretrain,
        )  # fmt: skip

    def _recount(self) -> None:
        """Show the number of runs, and enable the button if they can be started."""
        columns = len(self.methods) + len(self.options)
        count = len(self.classes) * columns * self.seeds
        self.button.props["disabled"] = not 0 < count <= MOST
        many = f". For more than {MOST}, use the command line." if count > MOST else ""
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

    def _tick(self, selected: set[str], name: str, ticked: bool) -> None:
        if ticked:
            selected.add(name)
        else:
            selected.discard(name)
        self._recount()


def _ticks(title: str, names: dict[str, str], selected: set[str], tick: Any) -> None:
    with ui.element("fieldset"):
        html(f"<legend class=muted style='font-size:13.5px;padding:0 0 6px'>{title}</legend>")
        with ui.element("div").classes("row").style("gap:6px 18px"):
            for name, text in names.items():
                with ui.element("label").classes("row").style("gap:7px;cursor:pointer"):
                    controls.checkbox(
                        partial(tick, selected, name), checked=name in selected, name=name
                    )
                    html(f"<span>{escape(text)}</span>", "display:contents")
