"""The queue: running and waiting runs, and sweeps, with buttons to stop and continue them."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

from nicegui import ui

from insphere.experiments.execution.queue import SweepState
from insphere.experiments.runs.display_names import normal_title
from insphere.experiments.store.run_record import Run
from insphere.studio import controls, formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html

SHOWN = 5


class QueueView:
    """The part of a page that shows the queue.

    Parameters
    ----------
    studio : Studio
        The studio whose queue is shown.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._seen: Any = None

    def show(self) -> None:
        """Build the view."""
        self._look()
        self.body()

    def refresh(self) -> None:
        """Build the view again if something has changed."""
        if self._look():
            self.body.refresh()

    def _look(self) -> bool:
        queue, store = self.studio.queue, self.studio.store
        self.running = store.runs(states=("running",))
        order = queue.waiting()
        waiting = {run.identity: run for run in store.runs(order[:SHOWN])}
        self.waiting = [waiting[one] for one in order[:SHOWN] if one in waiting]
        self.count = len(order)
        self.sweeps = queue.sweeps()
        now = (
            [(run.identity, run.stop_requested, _progress(run)) for run in self.running],
            order,
            [(sweep.key, tuple(sweep.counts.items()), sweep.paused) for sweep in self.sweeps],
        )
        changed = bool(now != self._seen)
        self._seen = now
        return changed

    @ui.refreshable_method
    def body(self) -> None:
        """Show runs and sweeps; nothing if the queue is empty."""
        if self.running or self.waiting:
            with ui.element("section").classes("card stack").style("gap:4px"):
                html("<h2>Running and waiting</h2>")
                for run in [*self.running, *self.waiting]:
                    self._line(run)
                if self.count > len(self.waiting):
                    html(f"<small>and {self.count - len(self.waiting)} more are waiting</small>")
        if self.sweeps:
            with ui.element("section").classes("card stack").style("gap:4px"):
                html("<h2>Sweeps</h2>")
                for sweep in self.sweeps:
                    self._sweep(sweep)

    def _line(self, run: Run) -> None:
        normal, name = escape(normal_title(run.normal)), escape(self.studio.names()[run.identity])
        text = "stopping…" if run.stop_requested else _progress(run)
        with ui.element("div").classes("between").style("align-items:center;padding:8px 0"):
            html(
                f'<div>{formatting.state(run.state)} &nbsp;<a href="/runs/{run.identity}">'
                f"{name} on {normal}</a> <small>seed {run.seed} {text}"
                "</small></div>"
            )
            on_click = partial(self._cancel, run.identity)
            controls.button("Cancel", on_click, "small", aria_label=f"Cancel run {run.identity}")

    def _sweep(self, sweep: SweepState) -> None:
        done, total = sweep.counts["finished"], sweep.total
        parts = [f"{done} of {total} finished"]
        parts += [f"{n} {word}" for key, word in (("running", "training"), ("failed", "failed"))
                  if (n := sweep.counts[key])]  # fmt: skip
        going = sweep.open > 0
        if sweep.paused and not going:
            parts.append("paused")
        elif not going and done < total:
            parts.append("stopped")
        with ui.element("div").classes("stack").style("gap:8px;padding:10px 0"):
            with ui.element("div").classes("between").style("align-items:center"):
                html(f"<div><b>{escape(sweep.name)}</b> <small data-test='sweep'>"
                     f"{', '.join(parts)}</small></div>")  # fmt: skip
                with ui.element("div").classes("row"):
                    self._buttons(sweep, going, done < total)
            share = 100 * done / max(total, 1)
            html(
                f'<div class="bar" role="progressbar" aria-label="{escape(sweep.name)}" '
                f'aria-valuenow="{share:.0f}"><i style="width:{share:.1f}%"></i></div>'
            )

    def _buttons(self, sweep: SweepState, going: bool, unfinished: bool) -> None:
        queue, key = self.studio.queue, sweep.key
        if going:
            controls.button("Pause", partial(self._do, queue.pause, key), "small")
            controls.button("Cancel", partial(self._do, queue.cancel_sweep, key), "small")
        elif unfinished:
            word = "Resume" if sweep.paused else "Continue"
            controls.button(word, partial(self._do, queue.resume, key), "small")
            if sweep.paused:
                controls.button("Cancel", partial(self._do, queue.cancel_sweep, key), "small")
        if not going and not sweep.paused:
            controls.button("Remove from list", partial(self._do, queue.forget_sweep, key), "small")
        if sweep.counts["finished"]:
            address = f"/experiments?compare={','.join(sweep.identities[:60])}"
            controls.link("Compare", address, "btn small")

    def _cancel(self, identity: str) -> None:
        self.studio.queue.cancel([identity])
        self.refresh()

    def _do(self, act: Any, key: str) -> None:
        act(key)
        self.studio.queue.keep_working()
        self.refresh()


def _progress(run: Run) -> str:
    if not run.progress:
        return ""
    phase = "pretraining" if run.progress["phase"] == "pretrain" else "training"
    return f"{phase} epoch {run.progress['epoch']} of {run.progress['epochs']}"
