"""How long it will take, in a sentence: measured while the visitor still chooses."""

from __future__ import annotations

from html import escape

from nicegui import ui

from insphere.errors import InsphereError
from insphere.experiments.execution.time_estimate import Estimate, from_runs, measure
from insphere.experiments.execution.worker import dataset
from insphere.experiments.runs.spec import RunSpec
from insphere.studio import formatting
from insphere.studio.app_state import Studio
from insphere.studio.frame import html

SETTLED = 0.5  # seconds without another choice before something is measured
_measured: dict[str, Estimate] = {}


def show(studio: Studio, spec: RunSpec, baseline: RunSpec) -> None:
    """Show the time that the runs which are not known yet will take."""
    place = html('<p class="estimate muted" data-test="estimate">Measuring the time it takes…</p>')
    place.props('aria-live="polite"')

    async def settle() -> None:
        text = await _told(studio, spec, baseline)
        if not place.is_deleted:  # another choice may have come in the meantime
            place.set_content(text)

    ui.timer(SETTLED, settle, once=True)


async def _told(studio: Studio, spec: RunSpec, baseline: RunSpec) -> str:
    """Return the sentence as HTML."""
    specs = list({one.identity: one for one in (spec, baseline)}.values())
    missing = [one for one in specs if not _known(studio, one)]
    if not missing:
        what = "It is" if spec == baseline else "Both are"
        text = f"{what} known already: the result is there at once."
        return f'<p class="estimate" data-test="estimate">{text}</p>'
    try:
        estimates = [await _estimate(studio, one) for one in missing]
    except InsphereError as error:
        return f'<p class="muted" data-test="estimate">{escape(str(error))}</p>'
    seconds = [one.seconds for one in estimates]
    total = max(seconds) if studio.queue.workers > 1 else sum(seconds)
    what = "the run and its baseline" if len(missing) > 1 else "the run"
    return (
        f'<p class="estimate" data-test="estimate"><b>{formatting.about(total).capitalize()}</b> '
        f"for {what}<br><small>{escape(estimates[0].source)}</small></p>"
    )


def _known(studio: Studio, spec: RunSpec) -> bool:
    run = studio.run(spec.identity)
    return run is not None and run.state == "finished"


async def _estimate(studio: Studio, spec: RunSpec) -> Estimate:
    found = from_runs(spec, studio.store.runs(states=("finished",)))
    if found is not None:
        return found
    if spec.identity not in _measured:
        _measured[spec.identity] = await studio.ask(_measure, spec)
    return _measured[spec.identity]


def _measure(spec: RunSpec) -> Estimate:
    return measure(spec, dataset(spec.dataset))
