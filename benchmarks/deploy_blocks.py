"""Tables of exported models, their runtime and the server, from the rows in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from insphere.detectors.registry import detector_class
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results"
NOTHING = "Not measured yet.\n"


def _rows(name: str) -> list[dict[str, Any]]:
    file = RESULTS / f"{name}.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def _title(row: Mapping[str, Any]) -> str:
    title = detector_class(row["method"]).card.title
    return f"{title}, {row['settings']}" if row.get("settings") else title


def methods() -> str:
    """Differences of scores and verdicts for every method and source."""
    rows = _rows("export")
    if not rows:
        return NOTHING
    header = ["method", "data", "scored", "largest difference", "of the library from itself",
              "verdicts changed", "MB", "AUC, %"]  # fmt: skip
    cells = [
        [
            _title(row), row["source"], f"{row['n']:,}", f"{row['largest']:.1e}",
            "–" if row.get("apart") is None else f"{row['apart']:.1e}",
            str(row["changed"]), f"{row['bytes'] / 1e6:.2f}", f"{100 * row['auc']:.2f}",
        ]
        for row in rows
    ]  # fmt: skip
    return markdown(header, cells, 2)


def rounding() -> str:
    """Tabulate what float16 did to features of pretrained networks."""
    header = [
        "method", "export and library", "library and itself",
        "library and itself, features in float16", "float16 moves scores: median", "at most",
    ]  # fmt: skip
    cells = [
        [
            _title(row), f"{row['largest']:.1e}", f"{row['apart']:.1e}",
            f"{row['rounded']['apart']:.1e}", f"{row['rounded']['moved_median']:.1e}",
            f"{row['rounded']['moved']:.1e}",
        ]
        for row in _rows("export")
        if row.get("rounded")
    ]  # fmt: skip
    return markdown(header, cells, 1) if cells else NOTHING


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
    return markdown(header, cells, 3) if cells else NOTHING


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
            if not own:
                continue
            first = median(r["import_and_first_score_seconds"] for r in own)
            speed = median(r["images_per_second"] for r in own)
            title = detector_class(method).card.title
            title += ", recipe fast" if method == "deep-svdd" else ""
            cells.append([title, way, f"{first:.2f}", f"{speed:,.0f}"])
    size = next(row for row in rows if row["way"] == "environment")
    load = max((row.get("load", 0) for row in rows), default=0)
    said = (
        f"\nAn environment with {', '.join(size['packages'])} and what they need takes "
        f"{size['mb']:,.0f} MB. MNIST digits of 28×28. Rows: `benchmarks/results/runtime.jsonl`.\n"
    )
    if load > 2:
        said += (
            f"\nOther work kept the machine at a load of about {load} while this was measured, so "
            "that times are many times longer than on an idle one. Compare the lines, not the "
            "seconds.\n"
        )
    return markdown(header, cells, 2) + said


def serve() -> str:
    """Tabulate what the load script measured; rows without a form are of an earlier script."""
    rows = [row for row in _rows("serve") if "form" in row]
    if not rows:
        return NOTHING
    header = [
        "model", "images", "a request holds", "clients", "answered", "wrong", "images / s",
        "of the loop, %", "CPU ms an image", "in the loop", "of the loop by CPU, %",
        "one alone: median, ms", "all at once: p99, ms", "half the load: p99, ms",
        "memory grew, MB", "load",
    ]  # fmt: skip
    forms = {"image": "1 {file}", "zip": "a zip of {n} {file}s", "tensor": "a binary tensor of {n}"}
    cells = [
        [
            row["model"], row.get("samples", "digits of 28×28"),
            forms[row["form"]].format(n=row["images_in_a_request"], file=row.get("file", "PNG")),
            f"{row['clients']:.0f}", f"{row['images']:,.0f}", f"{row['wrong']:.0f}",
            f"{row['images_per_second']:,.0f}", f"{100 * row['share_of_loop']:.0f}",
            f"{row['cpu_ms_per_image']:.3f}", f"{row['loop_cpu_ms_per_image']:.3f}",
            f"{100 * row['loop_cpu_ms_per_image'] / row['cpu_ms_per_image']:.0f}",
            f"{row['alone_ms']:.1f}", f"{row['p99_ms']:.0f}", f"{row['steady_p99_ms']:.0f}",
            f"{row['memory_grew_mb']:.0f}", f"{row['load']:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    said = (
        "\nEvery score was compared with the library's. The machine has 2 cores, which server, "
        "clients and the loop shared with other programs: `load` is the number of processes that "
        "wanted to run. Compare the milliseconds of processor time, not the seconds. Rows: "
        "`benchmarks/results/serve.jsonl`, made by `python benchmarks/serve.py`.\n"
    )
    return markdown(header, cells, 2) + said


def many_rows() -> str:
    """Tabulate time and memory of the fits by the number of training rows."""
    rows = _rows("many_rows")
    if not rows:
        return NOTHING
    sizes = sorted({row["rows"] for row in rows})
    header = ["method", *(f"{n:,} rows: CPU s" for n in sizes), *(f"{n:,}: MB" for n in sizes),
              *(f"{n:,}: AUC" for n in sizes)]  # fmt: skip
    found = {(row["method"], row["rows"]): row for row in rows}

    def shown(method: str, n: int, key: str, form: str) -> str:
        row = found.get((method, n), {})
        if key == "fit_cpu_seconds" and "given_up_after" in row:
            return f"> {row['given_up_after']:,.0f}"
        if key == "memory_grew_mb" and "more_gb_than" in row:
            return f"> {1000 * row['more_gb_than']:,.0f}"
        value = row.get(key)
        return "–" if value is None else form.format(value)

    cells = [
        [
            method,
            *(shown(method, n, "fit_cpu_seconds", "{:,.1f}") for n in sizes),
            *(shown(method, n, "memory_grew_mb", "{:,.0f}") for n in sizes),
            *(shown(method, n, "auc", "{:.3f}") for n in sizes),
        ]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    processors = dict.fromkeys(row["machine"]["processor"] for row in rows)
    said = (
        "\nOne thread; digits 0 to 4 are normal, of 28×28 pixels; memory is what the process grew "
        f"by, its images left out. Processors: {', '.join(processors)}. "
        "Networks train one epoch. A process that needed more memory in "
        "all than is said was ended. A dash was not measured: the size before took too long (a "
        "minute of processor time for the last size), or nobody ran it. Rows: "
        "`benchmarks/results/many_rows.jsonl`, made by `python benchmarks/many_rows.py`.\n"
    )
    return markdown(header, cells, 1) + said


def bulk() -> str:
    """Set Ray beside plain processes."""
    rows = _rows("bulk")
    if not rows:
        return NOTHING
    header = [
        "workers", "images", "wrong", "images / s", "first file after, s",
        "from then on, images / s", "CPU ms an image", "driver, MB", "workers, MB", "engine, MB",
        "load",
    ]  # fmt: skip

    def grown(found: list[float]) -> str:
        return f"{found[0]:,.0f} → {found[1]:,.0f}"

    cells = [
        [
            f"{row['workers']} by {row['backend']}", f"{row['images']:,}", str(row["wrong"]),
            f"{row['images_per_second']:,.0f}", f"{row['first_file_after_seconds']:.0f}",
            f"{row['steady_images_per_second']:,.0f}", f"{row['cpu_ms_per_image']:.3f}",
            grown(row["driver_mb"]), grown(row["workers_mb"]), grown(row["engine_mb"]),
            f"{row['load']:.1f}",
        ]
        for row in rows
    ]  # fmt: skip
    most = max(row["images"] for row in rows)
    cost = {
        backend: median(
            row["cpu_ms_per_image"]
            for row in rows
            if row["images"] == most and row["backend"] == backend
        )
        for backend in {row["backend"] for row in rows if row["images"] == most}
    }
    said = ""
    if len(cost) == 2:
        share = 100 * cost["processes"] / cost["ray"]
        said = (
            f"\nWith {most:,} images, Ray scored {share:.0f} % as many images for a second of "
            "processor time as plain processes did."
        )
    said += (
        "\nEvery score was compared with the library's. Memory is the largest in the second fifth "
        "of the time and in the last, of all processes of a kind together; the engine of Ray is "
        "its store, scheduler and agents. Plain processes import the script, and torch with it. "
        "Other programs used the two cores at the same time "
        "(`load`), in one run more than in another: compare processor time, not images a second. "
        "Rows: `benchmarks/results/bulk.jsonl`, made by `python benchmarks/bulk.py`.\n"
    )
    return markdown(header, cells, 1) + said


BLOCKS: Mapping[str, Callable[[], str]] = {
    "export-methods": methods,
    "export-rounding": rounding,
    "export-variants": variants,
    "runtime": runtime,
    "serve": serve,
    "many-rows": many_rows,
    "bulk": bulk,
}
