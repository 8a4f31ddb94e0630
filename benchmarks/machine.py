"""What a measurement depends on beside the code: processor, threads and versions."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from insphere.versions import versions


def machine(*packages: str) -> dict[str, Any]:
    """Describe processor, threads and the versions of `packages` that are installed."""
    installed = {d.name.lower(): d.version for d in metadata.distributions() if d.name}
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions() | {name: installed.get(name) for name in packages},
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write results so that a new measurement shows as a small difference."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
