"""Tables of exported models, their runtime and the server, from the rows in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from insphere.detectors.registry import detector_class

RESULTS = Path(__file__).parent / "results"
NOTHING = "Not measured yet.\n"


def _rows(name: str) -> list[dict[str, Any]]:
    file = RESULTS / f"{name}.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _table(header: list[str], rows: list[list[str]], texts: int) -> str:
    rule = ["---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows]) + "\n"


def _title(row: Mapping[str, Any]) -> str:
    return detector_class(row["method"]).card.title


def methods() -> str:
    """Differences of scores and verdicts for every method and source."""
    rows = _rows("export")
    if not rows:
        return NOTHING
    header = ["method", "data", "scored", "largest difference", "verdicts changed", "MB", "AUC, %"]
    cells = [
        [
            _title(row), row["source"], f"{row['n']:,}", f"{row['largest']:.1e}",
            str(row["changed"]), f"{row['bytes'] / 1e6:.2f}", f"{100 * row['auc']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    return _table(header, cells, 2)


def variants() -> str:
    """Set what float16 and int8 save beside what they cost."""
    header = ["method", "data", "format", "MB", "AUC lost, points", "verdicts changed", "of"]
    cells = [
        [
            _title(row), row["source"], variant, f"{found['bytes'] / 1e6:.2f}",
            f"{100 * found['auc_lost']:+.2f}", str(found["changed"]), f"{row['n']:,}",
        ]
        for row in _rows("export")
        for variant, found in row["variants"].items()
    ]  # fmt: skip
    return _table(header, cells, 3) if cells else NOTHING


def runtime() -> str:
    """Import, first score, speed and size."""
    rows = _rows("runtime")
    if not rows:
        return NOTHING
    header = ["method", "with", "import and first score, s", "images / s, one thread"]
    cells = []
    for method in dict.fromkeys(row["method"] for row in rows if "method" in row):
        for way in ("runtime", "library"):
            own = [r for r in rows if r.get("method") == method and r["way"] == way]
            first = median(r["import_and_first_score_seconds"] for r in own)
            speed = median(r["images_per_second"] for r in own)
            title = detector_class(method).card.title
            cells.append([title, way, f"{first:.2f}", f"{speed:,.0f}"])
    size = next(row for row in rows if row["way"] == "environment")
    said = (
        f"\nAn environment with {', '.join(size['packages'])} and what they need takes "
        f"{size['mb']:,.0f} MB. Medians of three turns; MNIST digits of 28×28. Rows: "
        "`benchmarks/results/runtime.jsonl`.\n"
    )
    return _table(header, cells, 2) + said


def serve() -> str:
    """Tabulate what the load script measured."""
    rows = _rows("serve")
    if not rows:
        return NOTHING
    header = [
        "model", "clients", "seconds", "images", "wrong", "images / s", "of the best loop, %",
        "median, ms", "p99, ms", "one alone, ms", "memory grew, MB",
    ]  # fmt: skip
    cells = [
        [
            row["model"], str(row["clients"]), f"{row['seconds']:.0f}", f"{row['images']:,}",
            str(row["wrong"]), f"{row['images_per_second']:,.0f}",
            f"{100 * row['images_per_second'] / row['loop_images_per_second']:.0f}",
            f"{row['median_ms']:.1f}", f"{row['p99_ms']:.1f}", f"{row['alone_ms']:.1f}",
            f"{row['memory_grew_mb']:.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    said = (
        "\nEvery score was compared with the library's. Rows: `benchmarks/results/serve.jsonl`, "
        "made by `python benchmarks/serve.py`.\n"
    )
    return _table(header, cells, 1) + said


BLOCKS: Mapping[str, Callable[[], str]] = {
    "export-methods": methods,
    "export-variants": variants,
    "runtime": runtime,
    "serve": serve,
}
