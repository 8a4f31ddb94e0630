"""Parts of the page of a run: its AUC beside baseline and controls, and galleries of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from nicegui import ui

from insphere.data.value_range import shown_as_uint8
from insphere.errors import DataError
from insphere.experiments.analysis.published_results import published_column, published_table
from insphere.experiments.runs.display_names import dataset_title, option_keys
from insphere.experiments.runs.processing_options import OPTIONS
from insphere.experiments.runs.run_builder import (
    UNTRAINED,
    assumed_gain,
    baseline_of,
    controls_of,
    counterpart_of,
)
from insphere.experiments.store.run_record import Run
from insphere.explain import extremes
from insphere.modalities.examples import kind_of_example
from insphere.studio import formatting, sample_lists
from insphere.studio.app_state import Studio, split_of
from insphere.studio.frame import html

SHOWN = 14


@dataclass(frozen=True)
class ComparedRun:
    """A run with its baseline and its controls.

    Parameters
    ----------
    run : Run
        The run.
    baseline : Run or None
        Plain Deep SVDD with the same class and seed; None if it is the run itself or does not
        exist.
    controls : list of Run
        The controls that exist in the store.
    counterpart : Run or None
        The same for all normal classes together, or one for each of them, if it is in the store.
    """

    run: Run
    baseline: Run | None
    controls: list[Run]
    counterpart: Run | None = None

    @property
    def runs(self) -> list[Run]:
        """The run and all beside it, each once."""
        beside = [one for one in (self.run, self.counterpart, self.baseline) if one is not None]
        return list({one.identity: one for one in (*beside, *self.controls)}.values())

    @property
    def missing(self) -> bool:
        """Whether the baseline was never started."""
        return self.baseline is None and baseline_of(self.run.spec) != self.run.spec


def compared_run(studio: Studio, run: Run) -> ComparedRun:
    """Find the baseline and the controls of a run."""
    spec = run.spec
    base, counterpart = baseline_of(spec), counterpart_of(spec)
    others = [base, *controls_of(spec), *([] if counterpart is None else [counterpart])]
    found = {one.identity: one for one in studio.store.runs([one.identity for one in others])}
    controls = [found[one.identity] for one in controls_of(spec) if one.identity in found]
    own = base.identity == run.identity
    return ComparedRun(
        run,
        None if own else found.get(base.identity),
        [one for one in controls if one.identity != run.identity],
        None if counterpart is None else found.get(counterpart.identity),
    )


def hero(found: ComparedRun) -> str:
    """Return the AUC, that of the baseline or else the untrained network, and the difference."""
    run, other, name = found.run, found.baseline, "the baseline"
    if other is None and not found.missing:
        other = next((one for one in found.controls if one.method == UNTRAINED), None)
        name = "the same network, untrained"
    parts = [
        f'<div><span class="label">AUC of this run</span><span class="big" data-test="auc">'
        f"{formatting.percent(run.auc)}<sup>%</sup></span></div>"
    ]
    if other is not None and (other.auc is None or run.auc is None):
        parts.append(
            f'<div><span class="label">AUC of {name}</span>{formatting.state(other.state)}</div>'
        )
    elif other is not None and other.auc is not None and run.auc is not None:
        difference = run.auc - other.auc
        css = "up" if difference > 0.0005 else "down" if difference < -0.0005 else ""
        test = "baseline-auc" if other is found.baseline else "untrained-auc"
        parts.append(
            f'<div><span class="label">AUC of {name}</span><a href="/runs/{other.identity}" '
            f'style="text-decoration:none"><span class="big lesser" data-test="{test}">'
            f"{formatting.percent(other.auc)}<sup>%</sup></span></a></div>"
            f'<div><span class="label">Difference, in points</span><span class="big {css}" '
            f'data-test="difference">{formatting.points(difference)}</span></div>'
        )
    return f'<div class="hero">{"".join(parts)}</div>'


def assumption(found: ComparedRun) -> str:
    """Return a sentence on the gain that a report assumed for the options of a run."""
    options = option_keys(found.run.spec.params)
    gain = assumed_gain(options)
    if kind_of_example(found.run.dataset) is not None:
        return ""
    if baseline_of(found.run.spec) == found.run.spec:
        return "This is the baseline: plain Deep SVDD, with which other runs are compared."
    if not options:
        return ""
    if gain is None:
        return "The report assumed no gain for these options."
    parts = ", ".join(
        f"{escape(OPTIONS[name].title)} {formatting.points(OPTIONS[name].assumed or 0.0)}"
        for name in options
        if OPTIONS[name].assumed is not None
    )
    return (
        f"A report <b>assumed {formatting.points(gain)}</b> points for these options, without a "
        f"training ({parts}). With one seed, differences of a point or two are often chance: run "
        "several seeds."
    )


def labelled(run: Run) -> str:
    """Return what labelled anomalies a run was shown, and its AUC on these classes and others."""
    use = run.row().get("labels") or {}
    if "labelled_anomalies" not in use:
        return ""
    if "anomalous_source" in use:
        which = escape(dataset_title(use["anomalous_source"]))
        if left_out := use.get("left_out"):
            which += f" ({left_out:,} more are also normal or tested images, and were left out)"
    else:
        classes = use["anomalous_classes"]
        which = "the class " if len(classes) == 1 else "the classes "
        which += escape(", ".join(classes))
    parts = [
        f"{formatting.percent(use[key])} % on {words}"
        for key, words in (
            ("auc_of_labelled_classes", "anomalies of these classes"),
            ("auc_of_other_classes", "anomalies of classes that it never saw"),
        )
        if key in use
    ]
    said = f" Its AUC is {' and '.join(parts)}." if parts else ""
    images = "image" if use["labelled_anomalies"] == 1 else "images"
    return (
        f"It was shown {use['labelled_anomalies']:,} {images} of {which} that are labelled as "
        f"anomalous; baseline and controls were not.{said}"
    )


def scale(studio: Studio, found: ComparedRun) -> str:
    """Return all AUCs on a scale from 50 to 100 per cent, with the published value if known."""
    names = studio.names()
    rows: list[tuple[str, float | None, str, Run | None]] = [
        ("Baseline: " * (run is found.baseline) + names[run.identity], run.auc,
         "own" if run is found.run else "", run)
        for run in found.runs
    ]  # fmt: skip
    column = published_column(found.run.spec)
    if column is not None:
        value = published_table(found.run.dataset)[column].get("".join(found.run.normal))
        if value is not None:
            rows.append(("Published, mean of 10 seeds", value.mean / 100, "published", None))
    low = min([0.5, *(auc for _, auc, _, _ in rows if auc is not None)])
    parts = []
    for name, auc, css, run in rows:
        place = 0.0 if auc is None else 100 * (auc - low) / (1 - low)
        mark = "" if auc is None else f'<i style="left:{place:.1f}%"></i>'
        shown = formatting.percent(auc) if auc is not None else "…"
        title = escape(name)
        if run is not None and not css:
            title = f'<a href="/runs/{run.identity}">{title}</a>'
            if auc is None:
                title += f"<br>{formatting.state(run.state)}"
        parts.append(
            f'<div class="scale {css}"><span>{title}</span><div class="track" '
            f'aria-hidden="true">{mark}</div><span class="v">{shown}</span></div>'
        )
    ends = f"<span>{formatting.percent(low, 0)} %</span><span>100 %</span>"
    return "".join(parts) + f'<div class="ends"><span></span><div>{ends}</div><span></span></div>'


def galleries(studio: Studio, run: Run, opened: Callable[[int], Any]) -> None:
    """Show the images with the highest and lowest scores, and the worst errors."""
    if (kind := kind_of_example(run.dataset)) is not None:
        sample_lists.show(studio, run, kind, opened)
        return
    try:
        scores, truth = studio.store.files.scores(run.identity)
        images = shown_as_uint8(split_of(run.spec).X_test)
    except DataError as error:
        html(f"<p class=muted>{escape(str(error))}</p>")
        return
    if len(images) != len(scores):
        html(
            "<p class=muted>These images have changed since they were scored, so they are not "
            "shown.</p>"
        )
        return
    found = extremes(scores, SHOWN, truth)
    groups: list[tuple[str, str, Sequence[int] | Any]] = [
        ("Most anomalous", "highest scores", found.most_anomalous),
        ("Most normal", "lowest scores", found.most_normal),
        (
            "Worst false alarms",
            "normal images with the highest scores",
            found.most_anomalous_normals,
        ),
        ("Worst misses", "anomalous images with the lowest scores", found.most_normal_anomalies),
    ]
    with ui.element("div").classes("two"):
        for title, note, index in groups:
            with ui.element("section").classes("stack").style("gap:10px"):
                html(f"<h3>{title} <small>{note}</small></h3>")
                _thumbs(images, scores, truth, index, opened)


def _thumbs(images: Any, scores: Any, truth: Any, index: Any, opened: Callable[[int], Any]) -> None:
    parts = []
    for place in index if index is not None else ():
        kind = "anomalous" if truth[place] else "normal"
        mark = (
            '<span class="anomalous">✕ anomalous</span>'
            if truth[place]
            else "<span>○ normal</span>"
        )
        alt = f"image {place}, truly {kind}, score {scores[place]:.3g}"
        picture = formatting.picture(np.asarray(images[place]), alt)
        parts.append(
            f'<a class="thumb" href="?image={place}" data-image="{place}">{picture}{mark}</a>'
        )
    box = html(f'<div class="thumbs many">{"".join(parts)}</div>')
    box.on(
        "click",
        lambda event: opened(int(event.args)),
        js_handler="""(e) => {
            const link = e.target.closest("[data-image]");
            if (link && !e.ctrlKey && !e.metaKey) { e.preventDefault(); emit(link.dataset.image); }
        }""",
    )
