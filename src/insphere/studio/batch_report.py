"""A report on scored photos as one HTML file that opens anywhere."""

from __future__ import annotations

import base64
import time
from html import escape
from pathlib import Path

from insphere.experiments.store.inspection_models import Batch, Inspection, Photo
from insphere.experiments.store.inspections import Inspections
from insphere.scoring.severity import severity_step
from insphere.studio.inspection_facts import learned, promise, trained

MOST = 60  # photos with pictures
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:1080px;margin:2rem auto;padding:0 1rem;
color:#191d21}
h1{font-size:1.7rem;margin:0}p{margin:.4rem 0}small,.muted{color:#5c646c}
article{border-top:1px solid #e2e3de;padding:1rem 0;display:grid;gap:12px;
grid-template-columns:1fr 1fr}
article>p{grid-column:1/3;margin:0}img{width:100%;border-radius:8px;display:block}
@media(prefers-color-scheme:dark){body{background:#101315;color:#eceeef}small,.muted{color:#9ba4ab}
article{border-color:#2c3236}}
"""
SAID = {"anomalous": "right", "normal": "false alarm"}


def batch_report(inspections: Inspections, inspection: Inspection, batch: Batch) -> str:
    """Return the page: what was trained, and the most severe photos with their maps.

    Parameters
    ----------
    inspections : Inspections
        The store.
    inspection, batch : Inspection, Batch
        What scored the photos, and which.
    """
    facts = inspection.result or {}
    counts = inspections.counts(batch.identity)
    done, total, alarms = counts.done, counts.total, counts.shown["alarms"]
    head, sure = promise(facts)
    lines = learned(inspections.reviews_of_batch(batch.identity), facts["promise"]["rate"])
    folder = inspections.batch_folder(batch)
    shown = inspections.queue(batch.identity, "alarms", limit=MOST)
    rest = f"<p class=muted>The {MOST} strangest of {alarms:,} alarms.</p>" if alarms > MOST else ""
    said = "".join(f"<p><b>{escape(a)}.</b> {escape(b)}</p>" for a, b in lines)
    date = time.strftime("%Y-%m-%d %H:%M", time.localtime(batch.created))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(batch.title)}</title><style>{_STYLE}</style>"
        f"<h1>{escape(batch.title)}</h1><p class=muted>{escape(inspection.title)}, {date}</p>"
        f"<p><b>{alarms:,} alarms</b> among {done:,} of {total:,} photos.</p>"
        f"<p>{escape(head)}. <small>{escape(sure)}</small></p>{said}"
        f"<p><small>{escape(trained(facts))}</small></p>{rest}"
        + "".join(_article(photo, folder) for photo in shown)
        + "</html>"
    )


def _article(photo: Photo, folder: Path) -> str:
    step = "" if photo.severity is None else f"{severity_step(photo.severity)}, "
    step += "" if photo.kind is None else f"nearest to {escape(photo.kind)}, "
    said = f", reviewed: {SAID[photo.review]}" if photo.review in SAID else ""
    pictures = "".join(
        _image(path, alt)
        for path, alt in (
            (folder / "larges" / f"{photo.key}.jpg", "the photo"),
            (folder / "thumbs" / f"{photo.key}.jpg", "the photo"),
            (folder / "maps" / f"{photo.key}.jpg", "what is strange about it"),
        )
        if path.is_file()
        and not (path.parent.name == "thumbs" and (folder / "larges" / path.name).is_file())
    )
    return (
        f"<article><p><b>{escape(photo.name)}</b> <span class=muted>{step}score "
        f"{photo.score:.4g}{said}</span></p>{pictures}</article>"
    )


def _image(path: Path, alt: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    return f'<img src="data:image/jpeg;base64,{content}" alt="{alt}">'
