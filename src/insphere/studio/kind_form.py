"""The form for data sets that are no images: a normal class and a method that takes the kind."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from insphere.detectors.method_table import find_method
from insphere.detectors.registry import FAMILIES, method_card, method_title
from insphere.errors import InsphereError
from insphere.experiments.runs.display_names import dataset_title
from insphere.experiments.runs.run_builder import (
    RunChoice,
    baseline_of,
    comparable_methods,
    controls_of,
    possible_rate,
)
from insphere.experiments.runs.spec import RunSpec
from insphere.modalities.examples import kinds_with_examples
from insphere.modalities.modality import Modality
from insphere.studio import controls
from insphere.studio.app_state import Studio, data_of, split_of
from insphere.studio.controls import Radio
from insphere.studio.frame import html, message, step


def add_sources(radio: Radio) -> None:
    """Add the examples of other kinds of data to a group of sources."""
    for kind in kinds_with_examples():
        assert kind.example is not None
        radio.add(kind.example.name, kind.example.title, f"{kind.plural}, not images")


class KindForm:
    """The form of one visitor for the example of a kind.

    Parameters
    ----------
    studio : Studio
        The studio that trains.
    kind : subclass of Modality
        The kind of data.
    given : dict
        Values from the address. Invalid ones are ignored.
    """

    def __init__(self, studio: Studio, kind: type[Modality], given: dict[str, str]) -> None:
        assert kind.example is not None
        self.studio, self.kind, self.dataset = studio, kind, kind.example.name
        self.needs = comparable_methods(kind.key)
        named = find_method(given.get("method", ""))
        self.method = named if named and not self.needs.get(named, "missing") else kind.method
        self.seed = controls.whole_number(given.get("seed", ""), 0, 2**31 - 1) or 0
        self.held_out = given.get("threshold") != "training"
        self.normal = given.get("normal", "")

    def build(self) -> None:
        """Build the form; the data must be read before (see `insphere.studio.app_state`)."""
        data = data_of(self.dataset)
        if self.normal not in data.class_names:
            self.normal = next(iter(data.normal_classes), data.class_names[0])
        with ui.element("div").classes("side"):
            with ui.element("div"):
                with step(1, "Data"):
                    radio = Radio("Data", self.dataset, open_source)
                    add_sources(radio)
                    radio.add("", "Images", "digits, signs and your own photos")
                with step(2, "The normal class"):
                    classes = Radio("Normal class", self.normal, self._set_normal)
                    for label, name in enumerate(data.class_names):
                        n = int((data.labels == label).sum())
                        classes.add(name, name, f"{n:,} {self.kind.plural}")
                with step(3, "Method"):
                    self._methods()
                with step(4, "Threshold and seed"):
                    self._threshold()
            with (
                ui.element("aside").classes("sticky").props('aria-label="What will be trained"'),
                ui.element("div").classes("card stack"),
            ):
                self.summary()
                self.button = controls.button("Train", self._start, "go wide", data_test="train")

    def _methods(self) -> None:
        radio = Radio("Method", self.method, self._set_method)
        cards = [method_card(name) for name in self.needs]
        cards.sort(key=lambda card: card.key != self.kind.method)  # what is usual comes first
        for family in dict.fromkeys(card.family for card in cards):
            radio.heading(FAMILIES[family].replace("images", self.kind.plural))
            for card in (card for card in cards if card.family == family):
                missing = self.needs[card.key]
                usual = "the usual one: " if card.key == self.kind.method else ""
                radio.add(card.key, card.title, missing or usual + card.summary,
                          enabled=not missing)  # fmt: skip

    def _threshold(self) -> None:
        rate = self._rate()
        promise = f"there are too few normal {self.kind.plural} for this"
        if rate is not None:
            promise = f"at most {100 * rate:g} % false alarms on average; also gives p-values"
        now = "held-out" if self.held_out and rate is not None else "training"
        radio = Radio("Threshold", now, self._set_threshold)
        radio.add(
            "held-out",
            f"Held-out {self.kind.plural}",
            f"a fifth of the normal ones is held out: {promise}",
            enabled=rate is not None,
        )
        radio.add(
            "training",
            f"Training {self.kind.plural}",
            "all normal ones are trained on; 5 % of them are above the threshold",
        )
        controls.number("Seed", self.seed, self._set_seed, least=0, most=2**31 - 1, hint="0")

    @ui.refreshable_method
    def summary(self) -> None:
        """Show what will be trained, or the problem."""
        try:
            spec = self._choice().spec()
        except (InsphereError, ValueError) as error:
            message(str(error), "bad")
            return
        others = [one for one in (baseline_of(spec), *controls_of(spec)) if one != spec]
        beside = ", ".join(dict.fromkeys(method_title(one.method) for one in others))
        html(
            f"<div><small>Normal is</small><h2>{escape(self.normal)}</h2>"
            f"<small>{escape(dataset_title(self.dataset))}</small></div>"
        )
        html(f"<div><b>{escape(method_title(self.method))}</b></div>")
        if beside:
            html(f"<small>Compared with {escape(beside)}, with the same class and seed.</small>")

    # ------------------------------------------------------------------ doing

    def _rate(self) -> float | None:
        spec = RunSpec(dataset=self.dataset, normal=(self.normal,), seed=self.seed)
        try:
            return possible_rate(len(split_of(spec).train))
        except InsphereError:
            return None

    def _choice(self) -> RunChoice:
        return RunChoice(
            dataset=self.dataset,
            normal=(self.normal,),
            method=self.method,
            false_alarm_rate=self._rate() if self.held_out else None,
            seed=self.seed,
        )

    def _set_normal(self, key: str) -> None:
        self.normal = key
        self.summary.refresh()

    def _set_method(self, key: str) -> None:
        self.method = key
        self.summary.refresh()

    def _set_threshold(self, key: str) -> None:
        self.held_out = key == "held-out"

    def _set_seed(self, value: Any) -> None:
        self.seed = value or 0

    def _start(self) -> None:
        try:
            choice = self._choice()
            spec = choice.spec()
        except (InsphereError, ValueError):  # the summary says what is wrong
            return
        self.studio.queue.ask(choice.specs())
        self.studio.queue.keep_working()
        ui.navigate.to(f"/runs/{spec.identity}")


def open_source(key: str) -> None:
    """Show the form for another source on the same page; "" for images."""
    ui.navigate.to("?" + urlencode({"dataset": key} if key else {}))
