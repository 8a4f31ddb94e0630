"""The good photos that look least normal, each with a way to take it out of the training."""

from __future__ import annotations

from html import escape
from typing import Any

from nicegui import ui

from insphere.experiments.store.inspection_models import Inspection
from insphere.report import words
from insphere.studio import controls
from insphere.studio.app_state import Studio
from insphere.studio.frame import html
from insphere.studio.refitting import make_another, train_without


class SuspectsView:
    """The photos of one detector that look least normal, as one visitor sees them.

    Parameters
    ----------
    studio : Studio
        The studio that has the detector.
    found : Inspection
        A finished one.
    """

    def __init__(self, studio: Studio, found: Inspection) -> None:
        self.studio, self.found = studio, found
        self.suspects: list[dict[str, Any]] = (found.result or {}).get("suspects", [])
        self.chosen: set[str] = set()

    def build(self) -> None:
        """Show them; nothing for detectors of an earlier version."""
        if not self.suspects:
            return
        facts = self.found.result or {}
        with ui.element("section").classes("card stack").props('data-test="suspects"'):
            html("<h2>Look at these normals</h2>")
            html(f"<p class=muted>{escape(words.suspects(len(self.suspects), 'photos'))}</p>")
            with ui.element("ol").classes("plain suspects"):
                for place, one in enumerate(self.suspects):
                    with ui.element("li"):
                        self._one(place, one, maps=facts.get("scale") is not None)
            self.offer()

    def _one(self, place: int, one: dict[str, Any], *, maps: bool) -> None:
        name, address = str(one["file"]), f"/photo-files/{self.found.identity}/pictures"
        shown = [(f"{address}/suspect-{place}.jpg", name)]
        if maps:
            shown.append(
                (f"{address}/suspect-{place}-map.jpg", f"{name}: what is strange about it")
            )
        pictures = "".join(
            f'<a href="{source}" target="_blank" rel="noopener">'
            f'<img src="{source}" alt="{escape(alt)}" loading="lazy"></a>'
            for source, alt in shown
        )
        verdict = "✕ would raise an alarm" if one["alarm"] else "○ would raise no alarm"
        html(
            f'<div class="shots">{pictures}</div><p><b>{escape(name)}</b><br>'
            f"<small>{verdict}, score {escape(words.score(float(one['score'])))}</small></p>"
        )
        with ui.element("label").classes("take-out"):
            controls.checkbox(lambda ticked: self._tick(name, ticked), checked=False, name=name)
            html(
                f'<span>Not normal: take it out<span class="sr"> ({escape(name)})</span></span>',
                "display:contents",
            )

    @ui.refreshable_method
    def offer(self) -> None:
        """Offer a training without the chosen ones, and say what it does."""
        count = len(self.chosen)
        with ui.element("div").classes("stack").props('aria-live="polite"'):
            if not count:
                html("<small>Tick the photos that are not normal to train without them.</small>")
                return
            photos = "photo" if count == 1 else "photos"
            left = int((self.found.result or {})["n_photos"]) - count
            html(
                f'<p data-test="would-take-out">A new training takes the other <b>{left:,} '
                "photos</b>. The result is a new detector; this one stays as it is. What you take "
                "out is kept in a folder of its own, and not deleted.</p>"
            )
            with ui.element("div").classes("row"):
                controls.button(
                    f"Train again without {count:,} {photos}", self._again, "go",
                    data_test="train-without",
                )  # fmt: skip

    def _tick(self, name: str, ticked: bool) -> None:
        (self.chosen.add if ticked else self.chosen.discard)(name)
        self.offer.refresh()

    async def _again(self) -> None:
        files = [one["file"] for one in self.suspects if one["file"] in self.chosen]
        await make_another(self.studio, train_without, self.found.identity, files)
