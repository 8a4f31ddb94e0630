"""The page *Compare*: select images, the normal class and a method, and train."""

from __future__ import annotations

import asyncio
from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.detectors.registry import default_recipe, method_title
from insphere.errors import InsphereError
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    HEAD,
    PRETRAINING,
    RunChoice,
    assumed_gain,
    baseline_of,
    can_be_by_class,
    counterpart_of,
    epochs_by_recipe,
    settings_of,
    takes_options,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.modalities.examples import kind_of_example
from insphere.studio import (
    controls,
    estimates,
    formatting,
    kind_form,
    method_list,
    models_field,
    option_list,
    upload_widget,
)
from insphere.studio.app_state import Studio, data_of
from insphere.studio.controls import Radio, Ticks
from insphere.studio.form_state import MOST_EPOCHS, Z_SCORE, FormState
from insphere.studio.frame import PATIENCE, details, frame, html, message, show_address, step
from insphere.studio.image_sources import Source
from insphere.studio.known_field import KnownField
from insphere.training.heads.table import HEADS
from insphere.training.pretraining.table import PRETRAININGS

RECIPES = {"best": "Pretrained on turned images", "fast": "One cycle", "paper": "As published"}


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/compare", response_timeout=PATIENCE)
    async def compare(
        dataset: str = "",
        normal: str = "",
        also: str = "",
        models: str = "",
        known: str = "",
        others: str = "",
        share: str = "",
        method: str = "",
        objective: str = "",
        options: str = "",
        recipe: str = "",
        epochs: str = "",
        pretrain: str = "",
        pretraining: str = "",
        head: str = "",
        threshold: str = "",
        seed: str = "",
    ) -> None:
        given = {
            "normal": normal, "also": also, "models": models, "method": method,
            "objective": objective, "known": known, "others": others, "share": share,
            "options": options, "recipe": recipe, "epochs": epochs, "pretrain": pretrain,
            "seed": seed, "threshold": threshold, "pretraining": pretraining, "head": head,
        }  # fmt: skip
        with frame(studio, "Compare", "/compare"):
            html("<h1>What is normal?</h1>")
            html(
                '<p class="lead">Pick the normal class. A detector is trained on its images alone '
                "and must then find all others.</p>"
            )
            if (kind := kind_of_example(dataset)) is not None:
                await asyncio.to_thread(data_of, dataset)
                kind_form.KindForm(studio, kind, given).build()
                return
            form = FormState(studio, given)
            await form.take(dataset)
            ComparePage(studio, form).build()


class ComparePage:
    """The form of one visitor.

    Parameters
    ----------
    studio : Studio
        The studio that trains.
    form : FormState
        The selection, at first as in the address.
    """

    def __init__(self, studio: Studio, form: FormState) -> None:
        self.studio, self.form = studio, form
        self.known = KnownField(studio, form.known, self._known_changed)
        self._learners = bool(form.known)  # whether those that learn from anomalies are offered

    # ------------------------------------------------------------------ building

    def build(self) -> None:
        """Build the page."""
        with ui.element("div").classes("side"):
            with ui.element("div"):
                with step(1, "Images"):
                    self.datasets()
                with step(2, "The normal class"):
                    self.classes()
                    self.known.build(self.form.source.dataset, self.anomalous())
                with step(3, "Method"):
                    self.methods()
                with step(
                    4,
                    "Processing options",
                    "with the gain in AUC that a report assumed, not measured",
                ):
                    self.option_lists()
                with step(5, "Training"):
                    self.schedule()
                with step(6, "Threshold"):
                    self.thresholds()
            with (
                ui.element("aside").classes("sticky").props('aria-label="What will be trained"'),
                ui.element("div").classes("card stack"),
            ):
                self.summary()
                # Never rebuilt, so that a click right after a selection is not lost.
                self.button = controls.button("Train", self._start, "go wide", data_test="train")
                self.button.set_visibility(self._choice()[0] is not None)

    @ui.refreshable_method
    def datasets(self) -> None:
        """Show the sources, and a field to upload others."""
        radio = Radio("Images", self.form.source.key, self._take)
        for source in self.form.sources:
            named = source.kind == "named"
            radio.add(source.key, source.title, source.key if named else "your own images")
        kind_form.add_sources(radio)
        if self.form.problem:
            message(self.form.problem, "bad")
        with details("Upload your own images"):
            html(
                "<p class=muted>A zip file with one folder for each class, one of them normal. "
                'It stays on this computer. With good photos alone, <a href="/photos">inspect '
                "your photos</a> instead.</p>"
            )
            upload_widget.drop_zip(self.studio, self._uploaded)

    @ui.refreshable_method
    def classes(self) -> None:
        """Show a picture of each class."""
        radio = Radio("Normal class", self.form.normal, partial(self._set, "normal"), "pics")
        for name, image in self.form.pictures.items():
            radio.add_picture(name, formatting.picture(image, ""))
        self.further()

    @ui.refreshable_method
    def further(self) -> None:
        """Show the other classes, of which any number may be normal too."""
        if len(self.form.pictures) < 3:
            return
        with details("Several classes are normal", opened=bool(self.form.also)):
            html("<p class=muted>Tick those that are normal too.</p>")
            ticks = Ticks("Further normal classes", self.form.also, self._set_also, "pics")
            for name, image in self.form.pictures.items():
                if name != self.form.normal:
                    ticks.add_picture(name, formatting.picture(image, ""))
            self.models()

    @ui.refreshable_method
    def models(self) -> None:
        """Ask whether one model encloses all normal classes, or one each of them."""
        form = self.form
        if not form.also:
            return
        possible = can_be_by_class(form.method, form.objective)
        title = method_list.title(form.method, form.objective)
        models_field.show(
            form.by_class, partial(self._set, "by_class"),
            impossible="" if possible else f"{title} knows one class only",
        )  # fmt: skip

    def anomalous(self) -> dict[str, str]:
        """Return a picture of each class that may be a known anomaly, by name."""
        names = self.form.anomalous
        pictures = self.form.pictures
        return {name: formatting.picture(pictures[name], "") for name in names if len(names) > 1}

    @ui.refreshable_method
    def methods(self) -> None:
        """Show the methods; those that learn from anomalies if some are known."""
        form = self.form
        self._learners = bool(form.known)
        method_list.show(form.method, form.objective, self._method, learners=self._learners)

    @ui.refreshable_method
    def option_lists(self) -> None:
        """Show the options in their three groups."""
        enabled = takes_options(self.form.method)
        if not enabled:
            title = escape(method_title(self.form.method))
            html(f"<p class=muted>{title} does not take these options.</p>")
        option_list.show(self.form.options, self._tick, enabled=enabled)

    @ui.refreshable_method
    def schedule(self) -> None:
        """Show recipes, epochs and seed, and the kinds of pretraining and head."""
        form, own = self.form, settings_of(self.form.method)
        if "recipe" in own:
            radio = Radio("Recipe", form.recipe, partial(self._set, "chosen_recipe"))
            count, shape = form.trained_on(), form.image_shape()
            epochs = {name: epochs_by_recipe(form.method, name, count, shape) for name in RECIPES}
            for name, title in RECIPES.items():
                radio.add(name, title, recipe_note(name, epochs, default_recipe(form.method)))
        else:
            html("<p class=muted>This method does not train in epochs.</p>")
        with ui.element("div").classes("row"):
            controls.number(
                "Seed", form.seed, partial(self._set, "seed"), least=0, most=2**31 - 1, hint="0"
            )
            for name, title, value in (
                ("pretrain_epochs", "Pretraining epochs", form.pretrain),
                ("epochs", "Training epochs", form.epochs),
            ):
                if name in own:
                    kept = "pretrain" if name == "pretrain_epochs" else name
                    controls.number(
                        title, value, partial(self._set, kept), least=int(name == "epochs"),
                        most=MOST_EPOCHS, hint="by recipe",
                    )  # fmt: skip

        with ui.element("div").classes("row"):
            for name, title, kinds in (
                ("pretraining", "Pretraining", PRETRAININGS),
                ("head", "Head", HEADS),
            ):
                if name in own:
                    named = [("auto", "by recipe")]
                    named += [(kind, kind.replace("-", " ")) for kind in kinds]
                    now = getattr(form, name)
                    controls.select(title, named, now, partial(self._set, name))

    @ui.refreshable_method
    def thresholds(self) -> None:
        """Show the two ways to place the threshold."""
        rate = self.form.rate()
        promise = "there are too few normal images for this"
        if rate is not None:
            promise = f"at most {100 * rate:g} % false alarms on average; also gives p-values"
        now = "held-out" if self.form.held_out and rate is not None else "training"
        radio = Radio("Threshold", now, lambda key: self._set("held_out", key == "held-out"))
        radio.add(
            "held-out",
            "Held-out calibration images",
            f"a fifth of the normal images is held out: {promise}",
            enabled=rate is not None,
        )
        radio.add(
            "training",
            "Training images",
            "all normal images are trained on; 5 % of them are above the threshold",
        )

    @ui.refreshable_method
    def summary(self) -> None:
        """Show what will be trained and the estimated time, or the problem."""
        form = self.form
        with ui.element("div").classes("stack"):
            choice, problem = self._choice()
            if choice is None:
                message(problem, "bad")
                return
            spec = choice.spec()
            baseline = baseline_of(spec)
            with ui.element("div").classes("title"):
                html(formatting.picture(form.pictures[form.normal], f"a {form.normal}"))
                html(
                    f"<div><small>Normal is</small><h2>{escape(normal_title(form.normals))}</h2>"
                    f"<small>{escape(form.source.title)}</small></div>"
                )
            html(self._what(choice))
            known = self.studio.run(baseline.identity)
            html(f"<small>{_beside(spec, baseline, known)}</small>")
            self._assumption(choice)
            estimates.show(self.studio, spec, baseline, counterpart_of(spec))

    # ------------------------------------------------------------------ parts

    def _what(self, choice: RunChoice) -> str:
        form = self.form
        title = method_list.title(form.method, form.objective)
        names = form.options if takes_options(form.method) else []
        lines = [f"<b>{escape(title)}</b>", *(f"+ {escape(OPTIONS[n].title)}" for n in names)]
        own = settings_of(form.method)
        if form.pretraining != PRETRAINING and "pretraining" in own:
            lines.append(f"+ pretraining: {escape(form.pretraining)}")
        if form.head != HEAD and "head" in own:
            lines.append(f"+ head: {escape(form.head)}")
        if choice.spec().by_class:
            lines.append("one for each class")
        if choice.anomalies:
            shown = escape(", ".join(choice.anomalies))
            lines.append(f"shown {_percent(choice)}anomalies: {shown}")
        if choice.other_images and form.known.others is not None:
            lines.append(f"shown {_percent(choice)}other images: {escape(form.known.others.title)}")
        return f"<div>{'<br>'.join(lines)}</div>"

    def _assumption(self, choice: RunChoice) -> None:
        gain = assumed_gain(choice.options) if takes_options(choice.method) else None
        if gain is not None:
            html(
                f"<small>A report assumed {formatting.points(gain)} points for these "
                "options.</small>"
            )

    # ------------------------------------------------------------------ doing

    async def _take(self, key: str) -> None:
        if kind_of_example(key) is not None:
            kind_form.open_source(key)
            return
        await self.form.take(key)
        if self.form.problem:
            self.datasets.refresh()
        self.classes.refresh()
        self.schedule.refresh()
        self.thresholds.refresh()
        self._changed()
        await self.known.move(self.form.source.dataset, self.anomalous())

    async def _uploaded(self, source: Source) -> None:
        self.form.sources = self.studio.sources.all()
        await self._take(source.key)
        self.datasets.refresh()

    def _method(self, key: str) -> None:
        before = self.form.method
        if key in method_list.OBJECTIVES:
            self.form.method, self.form.objective = "deep-svdd", key
        else:
            self.form.method, self.form.objective = key, "one-class"
        self.models.refresh()
        if self.form.method != before:
            self.option_lists.refresh()
            self.schedule.refresh()
        self._changed()

    def _set(self, name: str, value: Any) -> None:
        setattr(self.form, name, (value or 0) if name == "seed" else value)
        if name in ("normal", "held_out"):  # the number of training images depends on them
            self.schedule.refresh()
        if name == "normal":
            self.form.also = [other for other in self.form.also if other != value]
            self.further.refresh()
            self._normals_changed()
            self.thresholds.refresh()
        self._changed()

    def _set_also(self, names: list[str]) -> None:
        self.form.also = names
        self.models.refresh()
        self._normals_changed()
        self.schedule.refresh()
        self.thresholds.refresh()
        self._changed()

    def _normals_changed(self) -> None:
        before = list(self.form.known.classes)
        self.form.drop_normals()
        self.known.offer(self.anomalous())
        if before != self.form.known.classes:
            self._known_changed()

    def _known_changed(self) -> None:
        if not self.form.known and self.form.learns:
            self._method("one-class")
        if self._learners != bool(self.form.known):
            self.methods.refresh()
        self._changed()

    def _tick(self, name: str, ticked: bool) -> None:
        options = self.form.options
        if ticked and name not in options:
            options.append(name)
        if not ticked and name in options:
            options.remove(name)
        self._changed()

    def _changed(self) -> None:
        self.summary.refresh()
        self.button.set_visibility(self._choice()[0] is not None)
        show_address(self.form.address())

    def _choice(self) -> tuple[RunChoice | None, str]:
        """Return the run to train, or None and the problem."""
        try:
            choice = self.form.choice()
            choice.spec()
        except (InsphereError, ValueError) as error:
            return None, str(error)
        return choice, ""

    def _start(self) -> None:
        choice, _ = self._choice()
        if choice is None:  # clicked before the button was hidden
            return
        self.studio.queue.ask(choice.specs())
        self.studio.queue.keep_working()
        unit = "?scores=z" if Z_SCORE in self.form.options else ""
        ui.navigate.to(f"/runs/{choice.spec().identity}{unit}")


SCHEDULES = {
    "best": "with a network that first learns to tell turned images apart",
    "fast": "with a rate that rises and falls",
    "paper": "with a rate in steps",
}


def recipe_note(name: str, epochs: dict[str, tuple[int, ...]], default: str | None) -> str:
    """Say how long a recipe trains, and how that compares with the fast one.

    Examples
    --------
    >>> both = {"fast": (17, 10), "paper": (350, 150)}
    >>> recipe_note("fast", both, "fast")
    '17 + 10 epochs with a rate that rises and falls; the default'
    >>> recipe_note("paper", both, "fast")
    '350 + 150 epochs with a rate in steps; about 19 times as many as One cycle'
    """
    own = f"{' + '.join(map(str, filter(None, epochs[name])))} epochs {SCHEDULES[name]}"
    ratio = sum(epochs[name]) / max(sum(epochs["fast"]), 1)
    if ratio >= 1.5:
        own += f"; about {ratio:.0f} times as many as {RECIPES['fast']}"
    return f"{own}; the default" if name == default else own


def _percent(choice: RunChoice) -> str:
    return "" if choice.anomaly_share is None else f"{100 * choice.anomaly_share:g} % "


def _beside(spec: RunSpec, baseline_spec: RunSpec, known: Any) -> str:
    controls = "two controls: the same network untrained, and nearest neighbours on pixels"
    if spec == baseline_spec:
        return f"This is the baseline, plain Deep SVDD. It is compared with {controls}."
    baseline = "the baseline, plain Deep SVDD with the same class and seed"
    if known is not None and known.state == "finished":
        baseline += " (finished already)"
    first = "One model for all is trained beside it. " if spec.by_class else ""
    return f"{first}Compared with {baseline}, and with {controls}."
