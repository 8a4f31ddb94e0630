"""Requests whose visitor leaves before the answer is complete."""

from __future__ import annotations

from anyio import CancelScope

from insphere.web.access import App, Message, Receive, Scope, Send

CLIENT_CLOSED_REQUEST = 499


class EndAbandonedAnswers:
    """An ASGI middleware that completes the answer to a visitor who has left.

    A browser closes a connection whenever a page is left before all its files have arrived.
    Starlette then stops sending the file. Middleware further out (compression, and that of NiceGUI)
    waits for the beginning of an answer that never comes, and logs an error, "No response
    returned". This one sends them an empty end. Nobody receives it: the connection is closed.

    Parameters
    ----------
    app : callable
        The application behind it.
    """

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and complete its answer if the visitor leaves too early."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        left = started = ended = False

        async def watched_receive() -> Message:
            nonlocal left
            message = await receive()
            left = left or message["type"] == "http.disconnect"
            return message

        async def watched_send(message: Message) -> None:
            nonlocal started, ended
            with CancelScope(shield=True):  # cut off in it, nobody knew whether it had gone out
                await send(message)
            started = started or message["type"] == "http.response.start"
            if message["type"] == "http.response.body":
                ended = not message.get("more_body", False)

        await self.app(scope, watched_receive, watched_send)
        if not left or ended:
            return
        if not started:
            status = CLIENT_CLOSED_REQUEST
            await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})
