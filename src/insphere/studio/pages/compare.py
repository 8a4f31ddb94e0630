"""Choose what is normal and how to learn it, and start."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.detectors.registry import method_title
from insphere.errors import SpecError
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    Choice,
    assumed_gain,
    baseline_of,
    epochs_by_recipe,
    settings_of,
    takes_options,
)
from insphere.studio import controls, estimates, formatting, method_list, option_list, upload_widget
from insphere.studio.app_state import Studio
from insphere.studio.controls import Radio
from insphere.studio.form_state import MOST_EPOCHS, Z_SCORE, Chosen
from insphere.studio.frame import PATIENCE, frame, html, message, show_address
from insphere.studio.image_sources import Source

RECIPES = {
    "fast": ("Fast", "one cycle: the default"),
    "paper": ("Paper", "as published: better by little, and much slower"),
}


def register(studio: Studio) -> None:
    """Give the page its address."""

    @ui.page("/", response_timeout=PATIENCE)
    async def compare(
        dataset: str = "",
        normal: str = "",
        method: str = "",
        objective: str = "",
        options: str = "",
        recipe: str = "",
        epochs: str = "",
        pretrain: str = "",
        threshold: str = "",
        seed: str = "",
    ) -> None:
        given = {
            "normal": normal, "method": method, "objective": objective, "options": options,
            "recipe": recipe, "epochs": epochs, "pretrain": pretrain, "seed": seed,
            "threshold": threshold,
        }  # fmt: skip
        with frame(studio, "Compare", "/"):
            html("<h1>What is normal?</h1>")
            html(
                '<p class="lead">Pick one class. A network learns it from its images alone and '
                "must then find everything else. Every number you will see is measured here.</p>"
            )
            chosen = Chosen(studio, given)
            await chosen.take(dataset)
            ComparePage(studio, chosen).build()


class ComparePage:
    """The form of one visitor.

    Parameters
    ----------
    studio : Studio
        Where it runs.
    chosen : Chosen
        What the address says, and what the visitor makes of it.
    """

    def __init__(self, studio: Studio, chosen: Chosen) -> None:
        self.studio, self.chosen = studio, chosen

    # ------------------------------------------------------------------ building

    def build(self) -> None:
        """Lay the page out."""
        with ui.element("div").classes("side"):
            with ui.element("div"):
                with _step(1, "Images"):
                    self.datasets()
                with _step(2, "The normal class"):
                    self.classes()
                with _step(3, "Method"):
                    self._methods()
                with _step(4, "Processing options", "with the gain in AUC that a report assumed"):
                    self.option_lists()
                with _step(5, "How long"):
                    self.schedule()
                with _step(6, "Where the threshold lies"):
                    self.thresholds()
            with (
                ui.element("aside").classes("sticky").props('aria-label="What will be trained"'),
                ui.element("div").classes("card stack"),
            ):
                self.summary()
                # Never made anew, so that it is heard right after a choice.
                self.button = controls.button("Train", self._start, "go wide", data_test="train")
                self.button.set_visibility(self._choice()[0] is not None)

    @ui.refreshable_method
    def datasets(self) -> None:
        """Show the sources, and a place to bring others."""
        radio = Radio("Images", self.chosen.source.key, self._take)
        for source in self.chosen.sources:
            named = source.kind == "named"
            radio.add(source.key, source.title, source.key if named else "your own")
        if self.chosen.problem:
            message(self.chosen.problem, "bad")
        with ui.element("details"):
            with ui.element("summary"):
                html("Bring your own images")
            with ui.element("div").classes("stack").style("padding-top:14px"):
                html(
                    "<p class=muted>A zip with one folder for each class, one of them normal. "
                    "It stays on this machine.</p>"
                )
                upload_widget.drop_zip(self.studio, self._brought)

    @ui.refreshable_method
    def classes(self) -> None:
        """Show a picture of each class."""
        radio = Radio("Normal class", self.chosen.normal, partial(self._set, "normal"), "pics")
        for name, image in self.chosen.pictures.items():
            radio.add_picture(name, formatting.picture(image, ""))

    def _methods(self) -> None:
        method_list.show(self.chosen.method, self.chosen.objective, self._method)

    @ui.refreshable_method
    def option_lists(self) -> None:
        """Show the options in their three groups."""
        enabled = takes_options(self.chosen.method)
        if not enabled:
            title = escape(method_title(self.chosen.method))
            html(f"<p class=muted>{title} does not take these options.</p>")
        option_list.show(self.chosen.options, self._tick, enabled=enabled)

    @ui.refreshable_method
    def schedule(self) -> None:
        """Show the recipes, and numbers for those who want to set them."""
        chosen, own = self.chosen, settings_of(self.chosen.method)
        if "recipe" in own:
            radio = Radio("Recipe", chosen.recipe, partial(self._set, "recipe"))
            for name, (title, note) in RECIPES.items():
                epochs = epochs_by_recipe(chosen.method, name, chosen.trained_on())
                radio.add(name, title, f"{' + '.join(map(str, epochs))} epochs, {note}")
        else:
            html("<p class=muted>This method has no epochs to choose.</p>")
        with ui.element("div").classes("row"):
            controls.number(
                "Seed", chosen.seed, partial(self._set, "seed"), least=0, most=2**31 - 1, hint="0"
            )
            for name, title, value in (
                ("pretrain_epochs", "Pretraining epochs", chosen.pretrain),
                ("epochs", "Training epochs", chosen.epochs),
            ):
                if name in own:
                    kept = "pretrain" if name == "pretrain_epochs" else name
                    controls.number(
                        title, value, partial(self._set, kept), least=int(name == "epochs"),
                        most=MOST_EPOCHS, hint="by recipe",
                    )  # fmt: skip

    @ui.refreshable_method
    def thresholds(self) -> None:
        """Show the two ways to place the threshold."""
        rate = self.chosen.rate()
        promise = "too few normal images for that"
        if rate is not None:
            promise = f"at most {100 * rate:g} % false alarms; also gives p-values"
        now = "held-out" if self.chosen.held_out and rate is not None else "training"
        radio = Radio("Threshold", now, lambda key: self._set("held_out", key == "held-out"))
        radio.add(
            "held-out", "Held-out normals", f"a fifth is set aside: {promise}",
            enabled=rate is not None,
        )  # fmt: skip
        radio.add("training", "Training images", "all are trained on, 5 % of them lie outside")

    @ui.refreshable_method
    def summary(self) -> None:
        """Say what will be trained and how long it takes, or why it cannot be."""
        chosen = self.chosen
        with ui.element("div").classes("stack"):
            choice, problem = self._choice()
            if choice is None:
                message(problem, "bad")
                return
            spec = choice.spec()
            baseline = baseline_of(spec)
            with ui.element("div").classes("title"):
                html(formatting.picture(chosen.pictures[chosen.normal], f"a {chosen.normal}"))
                html(
                    f"<div><small>Normal is</small><h2>{escape(chosen.normal)}</h2>"
                    f"<small>{escape(chosen.source.title)}</small></div>"
                )
            html(self._what())
            known = self.studio.run(baseline.identity)
            html(f"<small>{_beside(spec == baseline, known)}</small>")
            self._assumption(choice)
            estimates.show(self.studio, spec, baseline)

    # ------------------------------------------------------------------ parts

    def _what(self) -> str:
        chosen = self.chosen
        title = method_title(chosen.method)
        if chosen.method == "deep-svdd":
            title = method_list.OBJECTIVES[chosen.objective][0]
        names = chosen.options if takes_options(chosen.method) else []
        lines = [f"<b>{escape(title)}</b>", *(f"+ {escape(OPTIONS[n].title)}" for n in names)]
        return f"<div>{'<br>'.join(lines)}</div>"

    def _assumption(self, choice: Choice) -> None:
        gain = assumed_gain(choice.options) if takes_options(choice.method) else None
        if gain is not None:
            html(f"<small>The report assumed {formatting.points(gain)} points for these.</small>")

    # ------------------------------------------------------------------ doing

    async def _take(self, key: str) -> None:
        await self.chosen.take(key)
        if self.chosen.problem:
            self.datasets.refresh()
        self.classes.refresh()
        self.schedule.refresh()
        self.thresholds.refresh()
        self._changed()

    async def _brought(self, source: Source) -> None:
        self.chosen.sources = self.studio.sources.all()
        await self._take(source.key)
        self.datasets.refresh()

    def _method(self, key: str) -> None:
        before = self.chosen.method
        if key in method_list.OBJECTIVES:
            self.chosen.method, self.chosen.objective = "deep-svdd", key
        else:
            self.chosen.method, self.chosen.objective = key, "one-class"
        if self.chosen.method != before:
            self.option_lists.refresh()
            self.schedule.refresh()
        self._changed()

    def _set(self, name: str, value: Any) -> None:
        setattr(self.chosen, name, (value or 0) if name == "seed" else value)
        if name in ("normal", "held_out"):  # they decide how many images are trained on
            self.schedule.refresh()
        if name == "normal":
            self.thresholds.refresh()
        self._changed()

    def _tick(self, name: str, ticked: bool) -> None:
        options = self.chosen.options
        if ticked and name not in options:
            options.append(name)
        if not ticked and name in options:
            options.remove(name)
        self._changed()

    def _changed(self) -> None:
        self.summary.refresh()
        self.button.set_visibility(self._choice()[0] is not None)
        show_address(self.chosen.address())

    def _choice(self) -> tuple[Choice | None, str]:
        """Return what is to be trained, or None and why it cannot be."""
        try:
            choice = self.chosen.choice()
            choice.spec()
        except (SpecError, ValueError) as error:
            return None, str(error)
        return choice, ""

    def _start(self) -> None:
        choice, _ = self._choice()
        if choice is None:  # pressed before the button could go
            return
        self.studio.queue.ask(choice.specs())
        self.studio.queue.keep_working()
        unit = "?scores=z" if Z_SCORE in self.chosen.options else ""
        ui.navigate.to(f"/runs/{choice.spec().identity}{unit}")


def _step(number: int, title: str, note: str = "") -> ui.element:
    step = ui.element("section").classes("step")
    with step:
        html(
            f'<div class="head"><span class="n" aria-hidden="true">{number}</span>'
            f"<h2>{title}</h2><small>{note}</small></div>"
        )
    return step


def _beside(same: bool, known: Any) -> str:
    others = "the same network untrained and plain nearest neighbours"
    if same:
        return f"This is the baseline itself; beside it, {others}."
    if known is not None and known.state == "finished":
        return f"Compared with the baseline, which is known already, {others}."
    return f"Compared with plain Deep SVDD of the same class and seed, {others}."
