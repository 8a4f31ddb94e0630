"""Checkpoints: one file for each phase with the whole state, written atomically."""

from __future__ import annotations

import hashlib
import json
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from insphere.atomic import atomic_path
from insphere.errors import InsphereError
from insphere.fingerprint import array_fingerprint
from insphere.parsing import parse_json
from insphere.training.training_set import TrainingSet, as_training_set

_META, _SHA256 = "insphere", "sha256"
_ADAM = ("step", "exp_avg", "exp_avg_sq")
_PARTS = {"objective", "optimizer"}


class CheckpointNames:
    """Names the checkpoint of a phase by a hash of everything that it depends on.

    Parameters
    ----------
    folder : pathlib.Path, optional
        Folder of checkpoints; None for no checkpoints.
    samples : ndarray or TrainingSet
        Raw training samples. Weights are part of every name.
    seed : int
        Seed of the training.
    autocast : torch.dtype, optional
        Number format of the network.
    """

    def __init__(
        self,
        folder: Path | None,
        samples: NDArray[Any] | TrainingSet,
        seed: int,
        autocast: torch.dtype | None,
    ) -> None:
        self.folder = folder
        self.train = as_training_set(samples)
        if folder is not None:
            self.common = {
                "data": array_fingerprint(self.train.data),
                "seed": seed,
                "autocast": str(autocast),
                "torch": torch.__version__,
            }
            if self.train.weights is not None:
                self.common["weights"] = array_fingerprint(self.train.weights)

    def path(self, phase: str, parts: dict[str, Any], *, labels: bool = True) -> Path | None:
        """Return the file of a phase; None without a folder.

        Parameters
        ----------
        phase : str
            Name of the phase.
        parts : dict
            Everything else that it depends on, as JSON values.
        labels : bool
            Whether it depends on labels and groups of the samples, if there are any.
        """
        if self.folder is None:
            return None
        known = self.train.known(("labels", "groups")) if labels else {}
        used = {k: array_fingerprint(v) for k, v in known.items() if v is not None}
        text = json.dumps(self.common | {"parts": parts | used}, sort_keys=True)
        return self.folder / f"{phase}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.safetensors"


def write_checkpoint(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Write tensors and JSON values to one file, which is always the old or the new one."""
    kept = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    text = json.dumps(meta)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            save_file(kept, partial, metadata={_META: text, _SHA256: _digest(kept, text)})
    except (OSError, SafetensorError) as error:
        raise InsphereError(
            f"The checkpoint could not be written to {path.parent} ({error}); free some space or "
            "choose another folder."
        ) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read a checkpoint; None if there is none, or, with a warning, if it was changed."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ValueError("it is not a file")
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        text = about.get(_META, "")
        if about.get(_SHA256) != _digest(tensors, text):
            raise ValueError("its SHA-256 does not fit")
        meta = parse_json(text.encode(), finite=False)
        if not isinstance(meta, dict):
            raise ValueError("it holds something else")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError, ValueError) as error:
        refuse_checkpoint(path, str(error))
        return None
    return tensors, meta


def refuse_checkpoint(path: Path, why: str) -> None:
    """Warn that a checkpoint is not used."""
    warnings.warn(
        f"The checkpoint {path} is damaged or of another training ({why}), and is not used.",
        stacklevel=3,
    )


def same_form(value: Any, pattern: Any) -> bool:
    """Whether JSON-like notes have the keys and types of a pattern; lists hold texts.

    Examples
    --------
    >>> pattern = {"start": {"spread": 0.5}, "findings": []}
    >>> same_form({"start": {"spread": 1}, "findings": []}, pattern)
    True
    >>> same_form({"start": None, "findings": []}, pattern)
    False
    """
    if isinstance(pattern, dict):
        return (
            isinstance(value, dict)
            and set(value) == set(pattern)
            and all(same_form(value[key], one) for key, one in pattern.items())
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(pattern, bool | str):
        return type(value) is type(pattern)
    return type(value) in (int, float)


def misfit(
    parts: Mapping[str, Mapping[str, Tensor]],
    wanted: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> str | None:
    """Return why saved tensors do not fit an objective and its optimizer; None if they fit.

    Parameters
    ----------
    parts : mapping
        The saved tensors of ``"objective"`` and ``"optimizer"``.
    wanted : mapping
        The state of the objective.
    optimizer : torch.optim.Optimizer
        Adam, over one group of parameters.
    """
    saved = parts.get("objective", {})
    if odd := sorted(set(saved) ^ set(wanted)):
        return f"{odd[0]!r} is {'missing' if odd[0] in wanted else 'unknown'}"
    for name, tensor in wanted.items():
        if saved[name].shape != tensor.shape or saved[name].dtype != tensor.dtype:
            return f"{name!r} has another shape or type"
    shapes = {
        f"{position}.{key}": torch.Size() if key == "step" else parameter.shape
        for position, parameter in enumerate(optimizer.param_groups[0]["params"])
        for key in _ADAM
    }
    for name, tensor in parts.get("optimizer", {}).items():
        if shapes.get(name) != tensor.shape:
            return f"{name!r} of the optimizer does not fit"
    trained = {name.split(".")[0] for name in parts.get("optimizer", {})}
    if len(parts.get("optimizer", {})) != len(_ADAM) * len(trained) or set(parts) - _PARTS:
        return "the optimizer's state is not whole"
    return None


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Name the optimizer's tensors by the position of their parameter."""
    tensors = {}
    for group in optimizer.param_groups:
        for position, parameter in enumerate(group["params"]):
            for key, value in optimizer.state[parameter].items():
                tensors[f"{position}.{key}"] = value
    return tensors


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore tensors in the memory layout of their parameters."""
    parameters = optimizer.param_groups[0]["params"]
    for name, value in tensors.items():
        position, key = name.split(".", 1)
        parameter = parameters[int(position)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][key] = value.to(parameter.device)
