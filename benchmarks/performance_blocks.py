"""Tables of speed, memory, sharing and the studio, from the measurements in ``results/``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from insphere.experiments.store.jsonl_rows import read_rows
from tables_of_rows import markdown

RESULTS = Path(__file__).parent / "results"
NETWORKS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
TASKS = {"pretrain": "pretraining", "train": "training", "score": "scoring"}
CONTENDERS = {
    "insphere": "insphere",
    "limit": "the steps of the network alone",
    "usual, 0 workers": "torchvision dataset, PIL transforms, DataLoader",
    "usual, 2 workers": "the same with 2 workers",
    "pyod": "PyOD's DeepSVDD (a dense network)",
}


def speed() -> str:
    """Lay out images a second of each program, and the factor by which insphere is faster."""
    networks = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))["networks"]
    lines = [
        "| network | task | program | images a second | insphere is faster by a factor of |",
        "|" + " --- |" * 5,
    ]
    for name, found in networks.items():
        for task, shown in TASKS.items():
            for contender, row in found[task].items():
                cells = [NETWORKS[name], shown, CONTENDERS[contender]]
                cells.append(_spread(row["images_per_second"], ",.0f"))
                ratio = row.get("ours_is_faster_by")
                cells.append("" if ratio is None else _spread(ratio, ".2f"))
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _machine(next(iter(networks.values()))["machine"])]) + "\n"


def headline() -> str:
    """Summarise speed and memory in a few sentences."""
    found = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))["networks"]["mnist"]
    said = []
    for task, verb in (("train", "trains"), ("score", "scores")):
        speed = found[task]["insphere"]["images_per_second"]["median"]
        usual = found[task]["usual, 0 workers"]["ours_is_faster_by"]["median"]
        said.append(f"{verb} {speed:,.0f} images a second, {usual:.1f} times as many")
    bare = found["train"]["limit"]["ours_is_faster_by"]["median"]
    folders = json.loads((RESULTS / "memory.json").read_text(encoding="utf-8"))["folders"]
    large = folders[-1]
    machine = found["machine"]
    return (
        f"On {machine['cores']} cores and MNIST, with the network of the recipe `fast`, insphere "
        f"{said[0]} as a torchvision dataset with "
        f"PIL transforms and a DataLoader, and at {100 * bare:.0f} % of the speed of the network "
        f"alone. It {said[1]}. Scoring a folder of {large['images']:,} images takes "
        f"{large['anonymous_mb']:,.0f} MB.\n"
    )


def memory() -> str:
    """Lay out the peak memory of scoring folders of different sizes."""
    found = json.loads((RESULTS / "memory.json").read_text(encoding="utf-8"))
    lines = ["| images in the folder | their pixels, MB | peak memory, MB |", "|" + " ---: |" * 3]
    for row in found["folders"]:
        lines.append(
            f"| {row['images']:,} | {row['pixels_mb']:,.0f} | {row['anonymous_mb']:,.0f} |"
        )
    small, large = found["folders"][0], found["folders"][-1]
    growth = large["anonymous_mb"] - small["anonymous_mb"]
    each = growth * 2**20 / (large["images"] - small["images"])
    lines += [
        "",
        f"Each further image takes {each:,.0f} bytes, for its name. {_machine(found['machine'])}",
    ]
    return "\n".join(lines) + "\n"


def memory_large() -> str:
    """Lay out the peak memory of fitting and scoring large photographs, by method."""
    rows = [row for row in read_rows(RESULTS / "memory-large.jsonl") if row["version"] == "now"]
    peaks: dict[str, dict[str, int]] = {}
    for row in rows:
        peaks.setdefault(row["method"], {})[row["command"]] = row["peak_mib"]
    lines = [
        [f"`{name}`", f"{found['fit']:,}", f"{found['score']:,}"]
        for name, found in sorted(peaks.items(), key=lambda item: item[1]["fit"])
    ]
    table = markdown(["method", "training, peak MiB", "scoring, peak MiB"], lines)
    return f"{table}\n{_machine(rows[-1]['machine'])}\n"


def studio() -> str:
    """Lay out the time of a page and of the answer to a click: the median and the longest."""
    if not (RESULTS / "studio.json").is_file():
        return "Not measured yet.\n"
    found = json.loads((RESULTS / "studio.json").read_text(encoding="utf-8"))
    visitors = f"{found['visitors']} visitors at once"
    rows = {
        "first page, empty browser cache": found["first_page"]["without_cache"],
        "first page, again": found["first_page"]["with_cache"],
        "answer to a click, no training": found["answer_idle"],
        "the same while two networks train": found["answer_while_training"],
        f"the same with {visitors} in addition": found["answer_with_visitors"],
        f"first page with {visitors} in addition": found["first_page_with_visitors"][
            "without_cache"
        ],
    }
    lines = ["| | median, ms | longest, ms | measurements |", "| --- | ---: | ---: | ---: |"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {1000 * row['median']:,.0f} | {1000 * row['worst']:,.0f} | {row['n']} |"
        )
    first = found["first_comparison"]
    lines += [
        "",
        f"From opening the page and pressing *Train* at once to the comparison of the trained "
        f"models: {first['seconds']:.0f} s. {_machine(found['machine'])}",
    ]
    return "\n".join(lines) + "\n"


def sharing() -> str:
    """Lay out the processor time of runs together, which share stages, and one by one."""
    found = json.loads((RESULTS / "sharing.json").read_text(encoding="utf-8"))
    lines = [
        "| runs | class | one by one, s | together, s | saved |",
        "| --- | --- " + "| ---: " * 3 + "|",
    ]
    for title, row in found["groups"].items():
        where = f"{NETWORKS[row['dataset']]} {row['normal']}"
        alone, shared = (sum(row[f"{name}_seconds"]) for name in ("alone", "shared"))
        saved = f"{100 * row['saved']:.0f} %"
        lines.append(f"| {title} | {where} | {alone:.0f} | {shared:.0f} | {saved} |")
    return "\n".join([*lines, "", _machine(found["machine"])]) + "\n"


def _spread(values: Mapping[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['low']:{form}}–{values['high']:{form}})"


def _machine(found: Mapping[str, Any]) -> str:
    versions = found["versions"]
    return (
        f"Measured on {found['processor']}, {found['threads']} threads, {found['instructions']}, "
        f"torch {versions['torch']}, insphere {versions['insphere']}."
    )


BLOCKS: dict[str, Callable[[], str]] = {
    "speed": speed,
    "speed-headline": headline,
    "memory": memory,
    "memory-large": memory_large,
    "sharing": sharing,
    "studio": studio,
}
