"""The web server of the studio."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from typing import Any

from nicegui import app, ui

from insphere.studio import downloads
from insphere.studio.app_state import Studio
from insphere.studio.disconnects import EndAbandonedAnswers
from insphere.studio.frame import FAVICON
from insphere.studio.pages import compare, experiments, inspect, models, run
from insphere.studio.uploads import LIMITS
from insphere.web.access import LOCAL, Guard, check_address

LOOK_AFTER_SECONDS = 2.0
_MARGIN = 1_000_000  # bytes around an upload


@dataclass(frozen=True)
class Place:
    """The address of the studio.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        Port to listen on.
    token : str or None
        The token that visitors need; None if only this computer can connect.
    """

    host: str
    port: int
    token: str | None

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        host = socket.gethostname() if self.host in ("0.0.0.0", "::") else host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def find_place(host: str, port: int) -> Place:
    """Check that the address is free, and make a token unless it is a local one.

    Raises
    ------
    InsphereError
        If the address is in use, or does not belong to this computer.
    """
    port = check_address(host, port, "The studio")
    return Place(host, port, None if host in LOCAL else secrets.token_urlsafe(24))


def serve(studio: Studio, place: Place, *, show: bool) -> None:
    """Run the server until the program is ended.

    Parameters
    ----------
    studio : Studio
        The state to show.
    place : Place
        From `find_place`.
    show : bool
        Whether to open a browser.
    """
    studio.prepare()
    for page in (compare, run, experiments, models, inspect):
        page.register(studio)
    downloads.register(studio)
    guard: Any = Guard
    app.add_middleware(guard, token=place.token, limit=LIMITS.bytes + _MARGIN)
    end_abandoned: Any = EndAbandonedAnswers
    app.add_middleware(end_abandoned)
    app.on_startup(lambda: app.timer(LOOK_AFTER_SECONDS, studio.look_after, immediate=True))
    app.on_startup(studio.warm_up)
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
