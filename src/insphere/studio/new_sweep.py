"""A form that starts a small sweep over classes, methods, options and seeds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.detectors.registry import method_title
from insphere.errors import InsphereError, SpecError
from insphere.experiments.runs.display_names import in_words
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    BASELINE,
    RunChoice,
    can_be_by_class,
    installed_methods,
    learning_methods,
)
from insphere.experiments.runs.spec import ANOMALIES
from insphere.experiments.runs.sweep_file import class_names
from insphere.studio import controls, models_field
from insphere.studio.app_state import Studio
from insphere.studio.controls import Radio
from insphere.studio.form_state import NOTHING_LEFT
from insphere.studio.frame import html, message
from insphere.studio.known_choice import KnownChoice
from insphere.studio.known_field import KnownField

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
        self.together = self.by_class = False
        self.methods: set[str] = {BASELINE}
        self.options: set[str] = set()
        self.seeds, self.epochs, self.pretrain = 1, None, None
        self.known = KnownChoice()
        self.known_field = KnownField(studio, self.known, self._known_changed)

    def build(self) -> None:
        """Build the form."""
        with ui.element("section").classes("card stack").props('id="sweep"'):
            html("<h2>Start a small sweep</h2>")
            html(
                "<p class=muted>Runs every selected method on every selected class with every "
                "seed. Each selected option is measured alone, beside plain Deep SVDD.</p>"
            )
            self.images()
            self.normal_classes()
            radio = Radio("What is normal in a run", "alone", self._take_together)
            radio.add("alone", "Each class by itself", "a run for each; all others are anomalous")
            radio.add("together", "All of them together", "what has no tick is anomalous")
            self.models()
            self.known_field.build(self.source.dataset, self._anomalous())
            self.method_ticks()
            options = {n: o.title for n, o in OPTIONS.items() if o.encoder or o.steps}
            _ticks("Options of Deep SVDD", options, self.options, self._tick)
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
    def images(self) -> None:
        """Show the sources."""
        names = [(source.key, source.title) for source in self.sources]
        controls.select("Images", names, self.source.key, self._source)

    @ui.refreshable_method
    def normal_classes(self) -> None:
        """Show the list of classes."""
        names = class_names(self.source.dataset)
        with ui.element("div").classes("stack") as box:
            box.props["data-source"] = self.source.key
            _ticks("Normal classes", {n: n for n in names}, self.classes, self._tick)

    @ui.refreshable_method
    def models(self) -> None:
        """Ask whether one model encloses all normal classes, or one each of them."""
        if self.together:
            able = any(map(can_be_by_class, self.methods))
            why = "" if able else "none of the methods knows several classes"
            models_field.show(self.by_class, partial(self._set, "by_class"), impossible=why)

    @ui.refreshable_method
    def method_ticks(self) -> None:
        """Show the list of methods; those that learn from anomalies if some are known."""
        methods = {name: method_title(name) for name in self._offered()}
        _ticks("Methods", methods, self.methods, self._tick)

    def start(self) -> None:
        """Add the sweep to the queue."""
        try:
            self.check()
            self.studio.queue.start(self.content())
        except InsphereError as error:
            self._refuse(error)
            return
        self.studio.queue.keep_working()
        self.started()
        ui.run_javascript("scrollTo({top: 0, behavior: 'smooth'})")

    def check(self) -> None:
        """Refuse settings with which no run can be measured.

        Raises
        ------
        InsphereError
            If nothing is left to find, or the known anomalies cannot be used.
        """
        names = class_names(self.source.dataset)
        if self.together and len(self.classes) == len(names) > 1:
            raise SpecError(NOTHING_LEFT)
        learners = self.methods & set(learning_methods())
        if not learners:
            return
        self.known.check()
        normal = self._normal_and_known()
        if normal and (self.together or len(normal) == len(self.classes)):
            raise SpecError(
                f"The class {normal[0]} is normal and cannot be a known anomaly: leave one out."
            )

    def content(self) -> dict[str, Any]:
        """Return the content of a sweep file with these settings."""
        known = class_names(self.source.dataset)
        classes = [name for name in known if name in self.classes]
        methods = []
        for name in self._offered():
            if name in self.methods:
                methods += self._columns(name)
        for option in OPTIONS:
            if option in self.options:
                methods += self._columns(BASELINE, (option,))
        content = {
            "name": self._name(classes, known),
            "datasets": [self.source.dataset],
            "normal": [classes] if self.together else [[name] for name in classes],
            "methods": methods,
            "seeds": self.seeds,
        }
        learners = [name for name in learning_methods() if name in self.methods]
        if learners and (shown := self._normal_and_known()):
            content["exclude"] = [{"method": learners, "normal": shown}]
        return content

    def _name(self, classes: list[str], known: tuple[str, ...]) -> str:
        parts = ["all classes" if len(classes) == len(known) else ", ".join(classes)]
        if self.together:
            parts[0] += " together"
        parts.append(f"{self.seeds} seed{'s' if self.seeds > 1 else ''}")
        learner = next((name for name in learning_methods() if name in self.methods), None)
        if learner is not None:
            shown = self._choice(learner, ()).spec().params[ANOMALIES]
            parts.append(in_words({ANOMALIES: shown}))
        return f"{self.source.title}: {', '.join(parts)}"

    def _columns(self, method: str, options: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        """Return a method as a part of a sweep, and beside it the same for each class."""
        choice = self._choice(method, options)
        both = [choice]
        if self._is_by_class(method):
            both.append(choice.model_copy(update={"by_class": True}))
        return [{"method": method, "params": one.spec().params} for one in both]

    def _choice(self, method: str, options: tuple[str, ...]) -> RunChoice:
        return RunChoice(
            dataset=self.source.dataset, normal=("-",), method=method, options=options,
            epochs=self.epochs, pretrain_epochs=self.pretrain, **self.known.in_choice(),
        )  # fmt: skip

    def _is_by_class(self, method: str) -> bool:
        several = self.together and len(self.classes) > 1
        return several and self.by_class and can_be_by_class(method)

    def _offered(self) -> list[str]:
        learners = [one for one, needs in learning_methods().items() if not needs]
        return [*(learners if self.known else ()), *installed_methods()]

    def _anomalous(self) -> dict[str, str]:
        """Return the classes that may be known anomalies, without pictures."""
        names = class_names(self.source.dataset)
        return dict.fromkeys(names, "") if len(names) > 2 else {}

    def _normal_and_known(self) -> list[str]:
        """Return the classes that are known anomalies, and normal in some runs."""
        return [name for name in self.known.classes if name in self.classes]

    def n_runs(self) -> int:
        """Return the number of runs with these settings."""
        columns = [*self.methods, *(BASELINE for _ in self.options)]
        n = sum(2 if self._is_by_class(method) else 1 for method in columns)
        cells = min(len(self.classes), 1) if self.together else len(self.classes)
        count = cells * n * self.seeds
        learners = self.methods & set(learning_methods())
        return count - len(learners) * len(self._normal_and_known()) * self.seeds

    def _recount(self) -> None:
        """Show the number of runs, and enable the button if they can be started."""
        count = self.n_runs()
        said = f"{count} runs"
        if count > MOST:
            said += f". For more than {MOST}, use the command line."
        try:
            self.check()
        except InsphereError as error:
            said, count = str(error), 0
        self.button.props["disabled"] = not 0 < count <= MOST
        self.count.set_content(escape(said))
        self.result.clear()

    # ------------------------------------------------------------------ what happens

    async def _source(self, key: str) -> None:
        try:
            source = self.studio.sources.get(key)
            self.classes = set(class_names(source.dataset))
        except InsphereError as error:  # the images before stay
            self.images.refresh()
            self._refuse(error)
            return
        self.source = source
        self.known.fit_to(self.source.dataset, ())
        self.normal_classes.refresh()
        await self.known_field.move(self.source.dataset, self._anomalous())

    def _known_changed(self) -> None:
        if not self.known:
            self.methods -= set(learning_methods())
        self.method_ticks.refresh()
        self._recount()

    def _take_together(self, key: str) -> None:
        self.together = key == "together"
        self.models.refresh()
        self._recount()

    def _set(self, name: str, value: Any) -> None:
        setattr(self, name, value)
        self._recount()

    def _number(self, name: str, value: int | None) -> None:
        self._set(name, (value or 1) if name == "seeds" else value)

    def _refuse(self, error: InsphereError) -> None:
        self.result.clear()
        with self.result:
            message(str(error), "bad")

    def _tick(self, selected: set[str], name: str, ticked: bool) -> None:
        if ticked:
            selected.add(name)
        else:
            selected.discard(name)
        if selected is self.methods:
            self.models.refresh()
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
