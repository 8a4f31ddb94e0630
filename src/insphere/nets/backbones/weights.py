"""Weights from a file, read without running anything that the file holds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from insphere.errors import ModelError

RANDOM = "random"
_CLASSIFIERS = ("fc.", "_fc.", "head.", "classifier.", "head_dist.")
_UNUSED = ("num_batches_tracked", "mask_token")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read safetensors or a PyTorch state dict.

    PyTorch files are read with ``weights_only=True``: one that holds anything but tensors and plain
    containers is refused, and nothing in it is executed.

    Raises
    ------
    ModelError
        If there is no such file, or it holds no weights.
    """
    if not path.is_file():
        raise ModelError(f"There is no weights file {path}; give safetensors or a state dict.")
    content: Any
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(f"{path} cannot be read as weights: {_first_line(error)}.") from error
    except Exception as error:  # UnpicklingError; its module is not imported anywhere here
        raise ModelError(
            f"{path} is refused: it holds more than weights ({_first_line(error)}); save only the "
            "state dict, best as safetensors."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} holds no state dict; save the state dict of the network alone.")
    tensors = {str(k).removeprefix("module."): v for k, v in content.items()}
    if not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ModelError(f"{path} holds no state dict; save the state dict of the network alone.")
    return tensors


def load_into(network: nn.Module, weights: Mapping[str, Tensor], name: str, origin: str) -> None:
    """Put weights into a network, all of them, but for those of a classifier.

    Raises
    ------
    ModelError
        If they are another network's.
    """
    own = network.state_dict()
    used = {key: value for key, value in weights.items() if key in own}
    missing = [key for key in own if key not in used and not _optional(key)]
    extra = [key for key in weights if key not in own and not _optional(key)]
    shapes = [key for key, value in used.items() if value.shape != own[key].shape]
    if missing or extra or shapes:
        what = (
            f"{len(missing)} are missing, {len(extra)} too many, {len(shapes)} of another shape, "
            f"such as {(missing + extra + shapes)[0]}"
        )
        raise ModelError(f"The weights in {origin} are not those of {name}: {what}.")
    network.load_state_dict(used, strict=False)


def weights_fingerprint(network: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a network's weights, without a classifier's."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if _optional(name):
            continue
        value = tensor.detach().cpu().float().contiguous()
        digest.update(f"{name} {tuple(value.shape)}".encode())
        digest.update(value.numpy().data)
    return digest.hexdigest()


def _optional(key: str) -> bool:
    return key.startswith(_CLASSIFIERS) or key.endswith(_UNUSED)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0].rstrip(".") if text else type(error).__name__
