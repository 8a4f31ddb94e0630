"""The page on which a visitor draws or uploads an image, and a model scores it."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import urlencode

import numpy as np
from nicegui import ui

from insphere.detectors.model_folder import describe_model
from insphere.errors import DataError, InsphereError
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.runs.spec import RunSpec
from insphere.experiments.store.run_record import Run
from insphere.modalities.examples import kind_of_example
from insphere.studio import controls, formatting, image_view, upload_widget
from insphere.studio.app_state import Studio
from insphere.studio.frame import PATIENCE, frame, html, message, read_asset, show_address
from insphere.studio.inspect_image import ImageInspection, inspect_image
from insphere.studio.uploads import drawn_digit
from insphere.web.uploads import LIMITS, one_image

SIDE = 280  # pixels of the canvas
LARGEST_DRAWING = 400_000  # characters
_MARGIN = {28: 4 / 28}  # empty share around digits, by the side of the training images

_CANVAS = f"""
<canvas class="canvas" id="drawing" width="{SIDE}" height="{SIDE}" tabindex="0" role="img"
  aria-label="Draw a digit here with the mouse, a finger or a pen"></canvas>
"""


def register(studio: Studio) -> None:
    """Register the page at its address."""

    @ui.page("/look", response_timeout=PATIENCE)
    def look(model: str = "") -> None:
        with frame(studio, "Inspect", "/look"):
            html("<h1>Inspect an image of your own</h1>")
            html(
                '<p class="lead">Draw a digit or upload an image. A trained model scores it and '
                "shows why.</p>"
            )
            InspectPage(studio, model).build()


class InspectPage:
    """The page as one visitor sees it.

    Parameters
    ----------
    studio : Studio
        The studio that has the models.
    model : str
        Identity of the model in the address, or an empty text.
    """

    def __init__(self, studio: Studio, model: str) -> None:
        self.studio = studio
        runs = studio.store.runs(states=("finished",))
        self.runs = [
            run
            for run in reversed(runs)
            if studio.has_model(run.identity) and kind_of_example(run.dataset) is None
        ]
        named = [run for run in self.runs if run.identity == model]
        deep = [run for run in self.runs if run.method == "deep-svdd"]
        self.run: Run | None = next(iter([*named, *deep, *self.runs]), None)
        self.last: tuple[str, bytes] | None = None
        self.turn = 0

    def build(self) -> None:
        """Build the page."""
        if self.run is None:
            html(
                '<p class="gap muted">There is no model yet. <a href="/compare">Train one</a>.</p>'
            )
            return
        with ui.element("div").classes("side look"):
            with ui.element("section").classes("card stack"):
                called = self.studio.names()
                names = [
                    (one.identity, _name(one, called[one.identity])) for one in self.runs[:200]
                ]
                controls.select("Model", names, self.run.identity, self._choose).style("width:100%")
                html(_CANVAS)
                with ui.element("div").classes("row"):
                    clear = ui.element("button").classes("btn small").props('type="button"')
                    with clear:
                        html("<span>Clear</span>", "display:contents")
                    clear.on("click", js_handler="() => insphereClear()")
                    html("<small>The drawing is scored when you lift the pen.</small>")
                accept = "image/*"
                upload_widget.drop(accept, "or drop an image here", self._dropped, self._rejected)
            self.result = ui.element("section").classes("card stack").props('aria-live="polite"')
            with self.result:
                html("<p class=muted>The verdict appears here.</p>")
        ui.on("drawn", self._drawn)
        ui.timer(0.1, lambda: ui.run_javascript(read_asset("draw.js")), once=True)

    # ------------------------------------------------------------------ what happens

    async def _choose(self, identity: str) -> None:
        self.run = next((run for run in self.runs if run.identity == identity), self.run)
        show_address(f"/look?{urlencode({'model': identity})}")
        if self.last is not None:
            await self._inspect(*self.last)

    async def _drawn(self, event: Any) -> None:
        text = str(event.args)
        head = "data:image/png;base64,"
        if not text.startswith(head) or len(text) > LARGEST_DRAWING:
            return
        try:
            content = base64.b64decode(text[len(head) :], validate=True)
        except binascii.Error:
            return
        await self._inspect("drawn", content)

    async def _dropped(self, event: Any) -> None:
        content = await event.file.read()
        event.sender.reset()
        await self._inspect("dropped", content)

    def _rejected(self, _: Any) -> None:
        self._say(
            f"This file is not an image, or it is larger than {LIMITS.bytes // 1_000_000} MB."
        )

    async def _inspect(self, how: str, content: bytes) -> None:
        assert self.run is not None
        self.last = how, content
        self.turn += 1
        turn = self.turn
        model = self.studio.store.files.model(self.run.identity)
        try:
            shape = describe_model(model)["image_shape"]
            if not shape:
                raise DataError("This model is for tables, not for images.")
            arguments = (str(model), self.run.spec, content, tuple(shape), how == "drawn")
            inspection = await self.studio.ask(inspect_upload, *arguments)
        except InsphereError as error:
            self._say(str(error))
            return
        if turn != self.turn:
            return  # another image has arrived in the meantime
        self.result.clear()
        with self.result:
            image_view.show(inspection)
            if how == "drawn":
                html("<small>The drawing was centred and resized like the training images.</small>")

    def _say(self, text: str) -> None:
        self.result.clear()
        with self.result:
            message(text, "bad")


def inspect_upload(
    model: str, spec: RunSpec, content: bytes, shape: tuple[int, int, int], drawn: bool
) -> ImageInspection:
    """Decode and inspect an image; called in a helper process."""
    from pathlib import Path

    image = one_image(content, shape)
    if drawn:
        side = shape[0]
        image = one_image(content, (SIDE, SIDE, 1))
        image = drawn_digit(image, _MARGIN.get(side, 0.0))
        image = _shrunk(image, shape)
    return inspect_image(Path(model), spec, image)


def _shrunk(image: np.ndarray[Any, np.dtype[np.uint8]], shape: tuple[int, int, int]) -> Any:
    from insphere.data.arrays import convert_images
    from insphere.data.letterbox import Canvas

    canvas = Canvas(shape[0], shape[1], "stretch")
    return convert_images(image[None], canvas=canvas, channels=shape[2])[0]


def _name(run: Run, name: str) -> str:
    auc = f"{formatting.percent(run.auc)} %"
    return f"{name}, normal {normal_title(run.normal)}, AUC {auc}"
