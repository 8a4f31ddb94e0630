"""The web server of the studio."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from typing import Any

from nicegui import app, ui

from insphere.studio import downloads, photo_routes
from insphere.studio.app_state import Studio
from insphere.studio.frame import FAVICON
from insphere.studio.pages import (
    compare,
    experiments,
    inspect,
    inspection,
    models,
    photos,
    review,
    run,
    start,
)
from insphere.web.access import Guard
from insphere.web.disconnects import EndAbandonedAnswers
from insphere.web.place import Place
from insphere.web.uploads import LIMITS

LOOK_AFTER_SECONDS = 2.0
ANSWER_SECONDS = 120.0
_MARGIN = 1_000_000  # bytes around an upload


def serve(
    studio: Studio, place: Place, *, show: bool, ready: Callable[[], None] = lambda: None
) -> None:
    """Run the server until the program is ended.

    Parameters
    ----------
    studio : Studio
        The state to show.
    place : Place
        From `insphere.web.place.find_place`.
    show : bool
        Whether to open a browser.
    ready : callable
        Called once, in a thread of its own, when the server answers.
    """
    studio.prepare()
    for page in (start, photos, inspection, review, compare, run, experiments, models, inspect):
        page.register(studio)
    downloads.register(studio)
    photo_routes.register(studio)
    guard: Any = Guard
    app.add_middleware(guard, token=place.token, limit=LIMITS.bytes + _MARGIN)
    end_abandoned: Any = EndAbandonedAnswers
    app.add_middleware(end_abandoned)
    app.on_startup(lambda: app.timer(LOOK_AFTER_SECONDS, studio.look_after, immediate=True))
    app.on_startup(studio.warm_up)
    app.on_startup(
        lambda: threading.Thread(
            target=tell_when_answered, args=(place, ready), daemon=True
        ).start()
    )
    app.on_shutdown(studio.close)
    ui.run(
        host=place.host,
        port=place.port,
        title="insphere",
        favicon=FAVICON,
        dark=None,
        tailwind=False,
        reload=False,
        # Compression holds the start of an answer back, and gains nothing on one machine.
        gzip_middleware_factory=None,
        show=show and (f"/?token={place.token}" if place.token else True),
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )


def tell_when_answered(place: Place, ready: Callable[[], None]) -> None:
    """Ask the server until it answers, whatever the answer is, and then call `ready`."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place.host, place.host)
    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(host, place.port, timeout=5)
        try:
            connection.request("GET", "/favicon.ico")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
            continue
        finally:
            connection.close()
        ready()
        return
