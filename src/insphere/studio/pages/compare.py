"""Choose what is normal and how to learn it, and start."""

from __future__ import annotations

import asyncio
from functools import partial
from html import escape
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from insphere.errors import InsphereError, SpecError
from insphere.experiments.choice import (
    Choice,
    assumed_gain,
    baseline_of,
    comparable_methods,
    possible_rate,
    settings_of,
    takes_options,
)
from insphere.experiments.methods import METHODS
from insphere.experiments.options import OPTIONS
from insphere.experiments.sources import Source
from insphere.experiments.spec import RunSpec
from insphere.studio import bring, controls, estimates, words
from insphere.studio.frame import PATIENCE, frame, html, message
from insphere.studio.studio import Studio, class_pictures, split_of

GROUPS = {
    "before": ("Before", "the input"),
    "during": ("During", "the network"),
    "after": ("After", "the representation and the score"),
}
Z_SCORE = "z-score"


def register(studio: Studio) -> None:
    """Give the page its address."""

    @ui.page("/", response_timeout=PATIENCE)
    async def compare(
        dataset: str = "",
        normal: str = "",
        method: str = "deep-svdd",
        objective: str = "one-class",
        options: str = "",
        recipe: str = "fast",
        epochs: str = "",
        pretrain: str = "",
        threshold: str = "",
        seed: str = "0",
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
            page = ComparePage(studio, given)
            await page.choose(dataset)
            page.build()


class ComparePage:
    """What one visitor has chosen so far.

    Parameters
    ----------
    studio : Studio
        Where it runs.
    given : dict
        What the address says.
    """

    def __init__(self, studio: Studio, given: dict[str, str]) -> None:
        self.studio = studio
        self.sources = studio.sources.all()
        self.source: Source = self.sources[0]
        self.pictures: dict[str, Any] = {}
        self.problem = ""
        self.normal = given["normal"]
        self.method = given["method"] if given["method"] in comparable_methods() else "deep-svdd"
        self.objective = "soft-boundary" if given["objective"] == "soft-boundary" else "one-class"
        self.options = [name for name in given["options"].split(",") if name in OPTIONS]
        self.recipe = "paper" if given["recipe"] == "paper" else "fast"
        self.epochs = _whole(given["epochs"], 1, 1000)
        self.pretrain = _whole(given["pretrain"], 0, 1000)
        self.held_out = given["threshold"] != "training"
        self.seed = _whole(given["seed"], 0, 2**31 - 1) or 0

    async def choose(self, key: str) -> None:
        """Take a dataset, and the first of its classes unless one is chosen that it has."""
        self.problem = ""
        try:
            if key:
                self.source = self.studio.sources.get(key)
            self.pictures = await asyncio.to_thread(class_pictures, self.source.dataset)
        except InsphereError as error:
            self.problem = str(error)
            self.source = self.sources[0]
            self.pictures = await asyncio.to_thread(class_pictures, self.source.dataset)
        if self.normal not in self.pictures:
            names = list(self.pictures)
            self.normal = names[3] if names[:4] == ["0", "1", "2", "3"] else names[0]

    def choice(self) -> Choice:
        """Return what is chosen."""
        return Choice(
            dataset=self.source.dataset,
            normal=(self.normal,),
            method=self.method,
            objective=self.objective,  # type: ignore[arg-type]
            options=tuple(n for n in self.options if n != Z_SCORE),
            recipe=self.recipe,  # type: ignore[arg-type]
            epochs=self.epochs,
            pretrain_epochs=self.pretrain,
            false_alarm_rate=self.rate() if self.held_out else None,
            seed=self.seed,
        )

    def rate(self) -> float | None:
        """Return the false-alarm rate that the normal images can promise."""
        spec = RunSpec(dataset=self.source.dataset, normal=(self.normal,), seed=self.seed)
        return possible_rate(len(split_of(spec).train))

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
                    self.methods()
                with _step(4, "Processing options", "with the gain in AUC that a report assumed"):
                    self.option_lists()
                with _step(5, "How long"):
                    self.schedule()
                with _step(6, "Where the threshold lies"):
                    self.thresholds()
            with ui.element("aside").classes("sticky").props('aria-label="What will be trained"'):
                self.summary()

    @ui.refreshable_method
    def datasets(self) -> None:
        """Show the sources, and a place to bring others."""
        with ui.element("div").classes("choices").props('role="radiogroup" aria-label="Images"'):
            for source in self.sources:
                chosen = source.key == self.source.key
                on_click = partial(self._take, source.key)
                note = source.title if source.kind == "named" else "your own"
                name = source.key if source.kind == "named" else source.title
                controls.choice(name, note, chosen=chosen, on_click=on_click)
        if self.problem:
            message(self.problem, "bad")
        with ui.element("details").classes("own"):
            with ui.element("summary"):
                html("Bring your own images")
            with ui.element("div").classes("stack").style("padding-top:14px"):
                html(
                    "<p class=muted>A zip with one folder for each class, one of them normal. "
                    "It stays on this machine.</p>"
                )
                bring.drop_zip(self.studio, self._brought)

    @ui.refreshable_method
    def classes(self) -> None:
        """Show a picture of each class."""
        with ui.element("div").classes("pics").props('role="radiogroup" aria-label="Normal class"'):
            for name, image in self.pictures.items():
                controls.picture_choice(
                    words.picture(image, ""),
                    name,
                    chosen=name == self.normal,
                    on_click=partial(self._set, "normal", name, self.classes),
                )

    @ui.refreshable_method
    def methods(self) -> None:
        """Show the methods."""
        notes = {
            "deep-svdd": "draws a sphere around normal", "untrained": "the same network, no training",
            "dcae": "what it cannot restore is odd", "anogan": "what it cannot imitate is odd",
            "oc-svm": "a boundary with kernels", "isolation-forest": "how soon trees isolate it",
            "knn": "distance to the closest images", "kde": "density of pixels",
            "mahalanobis": "distance in units of spread",
        }  # fmt: skip
        with ui.element("div").classes("choices").props('role="radiogroup" aria-label="Method"'):
            for name in comparable_methods():
                if name == "deep-svdd":
                    for objective, note in (
                        ("one-class", "pulls all of normal to one centre"),
                        ("soft-boundary", "a sphere that a few may leave"),
                    ):
                        chosen = self.method == name and self.objective == objective
                        on_click = partial(self._method, name, objective)
                        title = f"Deep SVDD, {objective.replace('-', ' ')}"
                        title = title.replace("one class", "one-class")
                        controls.choice(title, note, chosen=chosen, on_click=on_click)
                    continue
                controls.choice(
                    METHODS[name].title,
                    notes.get(name, ""),
                    chosen=self.method == name,
                    on_click=partial(self._method, name, "one-class"),
                )

    @ui.refreshable_method
    def option_lists(self) -> None:
        """Show the options in their three groups."""
        enabled = takes_options(self.method)
        if not enabled:
            html(
                f"<p class=muted>{escape(METHODS[self.method].title)} has no network to change.</p>"
            )
        with ui.element("div").classes("options"):
            for group, (title, what) in GROUPS.items():
                with ui.element("fieldset").style("border:0;min-width:0"):
                    html(f"<h3>{title} <small>{what}</small></h3>")
                    for name, option in OPTIONS.items():
                        if option.group == group:
                            self._option(name, enabled)

    @ui.refreshable_method
    def schedule(self) -> None:
        """Show the recipes, and numbers for those who want to set them."""
        own = settings_of(self.method)
        if "recipe" not in own:
            html("<p class=muted>This method has no epochs to choose.</p>")
        else:
            with (
                ui.element("div").classes("choices").props('role="radiogroup" aria-label="Recipe"')
            ):
                for name, title, note in (
                    ("fast", "Fast", "15 + 10 epochs, one cycle: the default"),
                    ("paper", "Paper", "350 + 150 epochs, as published"),
                ):
                    on_click = partial(self._set, "recipe", name, self.schedule)
                    controls.choice(title, note, chosen=self.recipe == name, on_click=on_click)
        with ui.element("div").classes("row"):
            controls.number("Seed", self.seed, partial(self._set, "seed", refresh=None), least=0,
                            most=2**31 - 1, hint="0")  # fmt: skip
            if "pretrain_epochs" in own:
                controls.number("Pretraining epochs", self.pretrain,
                                partial(self._set, "pretrain", refresh=None), least=0, most=1000,
                                hint="by recipe")  # fmt: skip
            if "epochs" in own:
                controls.number("Training epochs", self.epochs,
                                partial(self._set, "epochs", refresh=None), least=1, most=1000,
                                hint="by recipe")  # fmt: skip

    @ui.refreshable_method
    def thresholds(self) -> None:
        """Show the two ways to place the threshold."""
        rate = self.rate()
        promise = (
            "too few normal images for that"
            if rate is None
            else (f"at most {100 * rate:g} % false alarms; also gives p-values")
        )
        with ui.element("div").classes("choices").props('role="radiogroup" aria-label="Threshold"'):
            controls.choice(
                "Held-out normals", f"a fifth is set aside: {promise}",
                chosen=self.held_out and rate is not None, enabled=rate is not None,
                on_click=partial(self._set, "held_out", True, self.thresholds),
            )  # fmt: skip
            controls.choice(
                "Training images", "all are trained on, 5 % of them lie outside",
                chosen=not self.held_out or rate is None,
                on_click=partial(self._set, "held_out", False, self.thresholds),
            )  # fmt: skip

    @ui.refreshable_method
    def summary(self) -> None:
        """Say what will be trained and how long it takes, with the button that starts it."""
        with ui.element("div").classes("card stack"):
            try:
                choice = self.choice()
                spec = choice.spec()
            except (SpecError, ValueError) as error:
                message(str(error), "bad")
                return
            baseline = baseline_of(spec)
            known = self.studio.run(baseline.identity)
            with ui.element("div").classes("title"):
                html(words.picture(self.pictures[self.normal], f"a {self.normal}"))
                html(
                    f"<div><small>Normal is</small><h2>{escape(self.normal)}</h2>"
                    f"<small>{escape(self.source.title)}</small></div>"
                )
            names = [OPTIONS[name].title for name in self.options if takes_options(self.method)]
            title = METHODS[self.method].title
            if self.method == "deep-svdd":
                title += ", soft boundary" if self.objective == "soft-boundary" else ", one-class"
            html(
                f"<div><b>{escape(title)}</b>"
                + "".join(f"<br>+ {escape(name)}" for name in names)
                + "</div>"
            )
            html(f"<small>{_beside(spec == baseline, known)}</small>")
            self._assumption(choice)
            estimates.show(self.studio, spec, baseline)
            controls.button("Train", self._start, "go wide", data_test="train")

    # ------------------------------------------------------------------ parts

    def _option(self, name: str, enabled: bool) -> None:
        option = OPTIONS[name]
        with ui.element("label").classes("option" + ("" if enabled else " off")):
            controls.checkbox(
                partial(self._tick, name),
                checked=name in self.options,
                enabled=enabled,
                name=name,
            )
            html(f"<span>{escape(option.title)}</span>", "display:contents")
            gain = "" if option.assumed is None else f"{words.points(option.assumed)} assumed"
            html(f'<span class="gain">{gain}</span>', "display:contents")
            if option.note:
                html(f"<small>{escape(option.note)}</small>", "display:contents")

    def _assumption(self, choice: Choice) -> None:
        gain = assumed_gain(choice.options) if takes_options(self.method) else None
        if gain is not None:
            html(f"<small>The report assumed {words.points(gain)} points for these.</small>")

    # ------------------------------------------------------------------ doing

    async def _take(self, key: str) -> None:
        await self.choose(key)
        self.datasets.refresh()
        self.classes.refresh()
        self.thresholds.refresh()
        self._changed()

    async def _brought(self, source: Source) -> None:
        self.sources = self.studio.sources.all()
        await self._take(source.key)

    def _method(self, name: str, objective: str) -> None:
        self.method, self.objective = name, objective
        self.methods.refresh()
        self.option_lists.refresh()
        self.schedule.refresh()
        self._changed()

    def _set(self, name: str, value: Any, refresh: Any = None) -> None:
        setattr(self, name, (value or 0) if name == "seed" else value)
        if refresh is not None:
            refresh.refresh()
        self._changed()

    def _tick(self, name: str, ticked: bool) -> None:
        if ticked and name not in self.options:
            self.options.append(name)
        if not ticked and name in self.options:
            self.options.remove(name)
        self._changed()

    def _changed(self) -> None:
        self.summary.refresh()
        ui.run_javascript(f"history.replaceState(null, '', {self._address()!r})")

    def _address(self) -> str:
        values = {
            "dataset": self.source.key, "normal": self.normal,
            "method": self.method if self.method != "deep-svdd" else "",
            "objective": self.objective if self.objective != "one-class" else "",
            "options": ",".join(self.options),
            "recipe": self.recipe if self.recipe != "fast" else "",
            "epochs": "" if self.epochs is None else self.epochs,
            "pretrain": "" if self.pretrain is None else self.pretrain,
            "threshold": "" if self.held_out else "training",
            "seed": self.seed or "",
        }  # fmt: skip
        return "/?" + urlencode({key: value for key, value in values.items() if value != ""})

    def _start(self) -> None:
        choice = self.choice()
        self.studio.queue.ask(choice.specs())
        self.studio.queue.keep_working()
        unit = "?scores=z" if Z_SCORE in self.options else ""
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
    controls_ = "the same network untrained and plain nearest neighbours"
    if same:
        return f"This is the baseline itself; beside it, {controls_}."
    if known is not None and known.state == "finished":
        return f"Compared with the baseline, which is known already, {controls_}."
    return f"Compared with plain Deep SVDD of the same class and seed, {controls_}."


def _whole(text: str, least: int, most: int) -> int | None:
    return int(text) if text.isdecimal() and least <= int(text) <= most else None
