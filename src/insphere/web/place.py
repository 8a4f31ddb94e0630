"""The address that a server listens on, and the token that visitors from elsewhere need."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

from insphere.errors import InsphereError
from insphere.web.access import LOCAL


@dataclass(frozen=True)
class Place:
    """The address of a server.

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


def find_place(host: str, port: int, program: str = "The studio") -> Place:
    """Check that the address is free, and make a token unless it is a local one.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        Port to listen on; 0 takes any free one.
    program : str
        What listens, as the beginning of a message.

    Raises
    ------
    InsphereError
        If the address is in use, or does not belong to this computer.
    """
    if not 0 <= port <= 65535:
        raise InsphereError(f"--port takes a number from 0 to 65535, but got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            port = int(probe.getsockname()[1])
    except (OSError, UnicodeError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InsphereError(
            f"{program} cannot listen on {host[:80]}:{port} ({reason}); choose another address "
            "with --host or another port with --port."
        ) from error
    return Place(host, port, None if host in LOCAL else secrets.token_urlsafe(24))
