"""One file a phase: everything that the next epoch depends on, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from insphere.atomic import atomic_path
from insphere.errors import InsphereError

_META = "insphere"


def write_checkpoint(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON-able `meta` to one file that is either the old or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            save_file(
                {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()},
                partial,
                metadata={_META: json.dumps(meta)},
            )
    except (OSError, SafetensorError) as error:
        raise InsphereError(
            f"The checkpoint could not be written to {path.parent} ({error}); free some space or "
            "choose another folder."
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint; None if there is none or it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})[_META])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError, KeyError, ValueError):
        return None
    return tensors, meta


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the optimizer's tensors by the position of their parameter."""
    tensors = {}
    for group in optimizer.param_groups:
        for position, parameter in enumerate(group["params"]):
            for key, value in optimizer.state[parameter].items():
                tensors[f"{position}.{key}"] = value
    return tensors


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put tensors back, in the memory layout of their parameters."""
    parameters = optimizer.param_groups[0]["params"]
    for name, value in tensors.items():
        position, key = name.split(".", 1)
        parameter = parameters[int(position)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value.to(parameter.device)
