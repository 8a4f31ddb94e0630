"""Tables of speed and memory for the docs, from ``results/speed.json`` and ``memory.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
NETWORKS = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
TASKS = {"pretrain": "pretraining", "train": "training", "score": "scoring"}
CONTENDERS = {
    "insphere": "insphere",
    "limit": "nothing but the network's steps",
    "usual, 0 workers": "torchvision dataset, PIL, DataLoader",
    "usual, 2 workers": "the same, 2 workers",
    "pyod": "PyOD's DeepSVDD (a dense network)",
}


def speed() -> str:
    """Images a second of each contender, and how many times as fast insphere is."""
    networks = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))["networks"]
    lines = ["| network | task | what | images / s | insphere is faster by |", "|" + " --- |" * 5]
    for name, found in networks.items():
        for task, shown in TASKS.items():
            for contender, row in found[task].items():
                cells = [NETWORKS[name], shown, CONTENDERS[contender]]
                cells.append(_spread(row["images_per_second"], ",.0f"))
                ratio = row.get("ours_is_faster_by")
                cells.append("" if ratio is None else _spread(ratio, ".2f"))
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _machine(next(iter(networks.values()))["machine"])]) + "\n"


def memory() -> str:
    """Peak memory of scoring folders of different sizes."""
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
        f"{each:,.0f} bytes more for each image more: its name. {_machine(found['machine'])}",
    ]
    return "\n".join(lines) + "\n"


def _spread(values: Mapping[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['low']:{form}}–{values['high']:{form}})"


def _machine(found: Mapping[str, Any]) -> str:
    versions = found["versions"]
    return (
        f"Measured on {found['processor']}, {found['threads']} threads, {found['instructions']}, "
        f"torch {versions['torch']}, insphere {versions['insphere']}."
    )


BLOCKS: dict[str, Callable[[], str]] = {"speed": speed, "memory": memory}
