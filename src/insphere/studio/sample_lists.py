"""Lists of samples that are no images, by their scores; each opens the inspection of one."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from nicegui import ui

from insphere.errors import DataError
from insphere.experiments.store.run_record import Run
from insphere.explain import extremes
from insphere.modalities.modality import Modality
from insphere.studio.app_state import Studio, split_of
from insphere.studio.frame import html

SHOWN = 10


def show(studio: Studio, run: Run, kind: type[Modality], opened: Callable[[int], Any]) -> None:
    """Show the samples with the highest and lowest scores, and the worst errors.

    Parameters
    ----------
    studio : Studio
        The studio that has the run.
    run : Run
        A finished run.
    kind : subclass of Modality
        The kind of its data.
    opened : callable
        Called with the place of a sample in the test part.
    """
    try:
        scores, truth = studio.store.files.scores(run.identity)
        split = split_of(run.spec)
    except DataError as error:
        html(f"<p class=muted>{escape(str(error))}</p>")
        return
    if len(split.test) != len(scores):
        html("<p class=muted>The data has changed since it was scored, so it is not shown.</p>")
        return
    found = extremes(scores, SHOWN, truth)
    groups: list[tuple[str, str, Any]] = [
        ("Most anomalous", "highest scores", found.most_anomalous),
        ("Most normal", "lowest scores", found.most_normal),
        ("Worst false alarms", "normal, with the highest scores", found.most_anomalous_normals),
        ("Worst misses", "anomalous, with the lowest scores", found.most_normal_anomalies),
    ]
    with ui.element("div").classes("two"):
        for title, note, index in groups:
            if index is None or not len(index):
                continue
            with ui.element("section").classes("stack").style("gap:10px"):
                html(f"<h3>{title} <small>{note}</small></h3>")
                names = kind.called(split.data, split.test[index])
                rows = "".join(
                    f'<tr><td><a href="?image={place}" data-image="{place}">{escape(name)}</a></td>'
                    f"<td>{'✕ anomalous' if truth[place] else '○ normal'}</td>"
                    f'<td class="num" style="text-align:right">{scores[place]:.4g}</td></tr>'
                    for place, name in zip(index.tolist(), names, strict=True)
                )
                box = html(f'<table class="list" data-test="samples">{rows}</table>')
                box.on(
                    "click",
                    lambda event: opened(int(event.args)),
                    js_handler="""(e) => {
                        const link = e.target.closest("[data-image]");
                        if (link && !e.ctrlKey && !e.metaKey) {
                            e.preventDefault(); emit(link.dataset.image);
                        }
                    }""",
                )
