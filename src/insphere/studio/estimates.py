"""An estimate of the training time, measured while the visitor fills in the form."""

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

SETTLED = 0.5  # seconds without a change before something is measured
_measured: dict[str, Estimate] = {}


def show(
    studio: Studio, spec: RunSpec, baseline: RunSpec, counterpart: RunSpec | None = None
) -> None:
    """Show the estimated time of a run and its baseline, without those that are finished.

    Parameters
    ----------
    studio : Studio
        The studio that trains.
    spec, baseline : RunSpec
        The run and its baseline.
    counterpart : RunSpec, optional
        The same for all normal classes together, which a run by class brings along.
    """
    place = html('<p class="estimate muted" data-test="estimate">Estimating the time…</p>')
    place.props('aria-live="polite"')
    beside = [counterpart] if counterpart is not None and spec.by_class else []
    specs = {one.identity: one for one in (spec, *beside, baseline)}

    async def settle() -> None:
        text = await _sentence(studio, list(specs.values()))
        if not place.is_deleted:  # the form may have changed in the meantime
            place.set_content(text)

    ui.timer(SETTLED, settle, once=True)


async def _sentence(studio: Studio, specs: list[RunSpec]) -> str:
    """Return the sentence as HTML."""
    missing = [one for one in specs if not _known(studio, one)]
    if not missing:
        what = ("This run is", "This run and its baseline are", "These runs are")[len(specs) - 1]
        text = f"{what} finished already. The result is shown at once."
        return f'<p class="estimate" data-test="estimate">{text}</p>'
    try:
        estimates = [await _estimate(studio, one) for one in missing]
    except InsphereError as error:
        return f'<p class="muted" data-test="estimate">{escape(str(error))}</p>'
    seconds = [one.seconds for one in estimates]
    total = max(seconds) if studio.queue.workers > 1 else sum(seconds)
    what = ("the run", "the run and its baseline", "the three runs")[len(missing) - 1]
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
