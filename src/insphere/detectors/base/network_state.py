"""Functions for detectors with a network: settings, scoring in batches, loading."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from sklearn.utils import check_random_state
from torch import Tensor, nn

from insphere.detectors.base.estimator import batches
from insphere.errors import ModelError, SpecError
from insphere.modalities.modality import Modality
from insphere.nets.build import default_encoder
from insphere.nets.draws import initial_weights
from insphere.nets.spec import NAMED, EncoderSpec
from insphere.preprocess.pipeline import StepSpec, chosen_steps, to_batch
from insphere.resources import rows_within
from insphere.training.device import Precision, autocast_dtype
from insphere.training.memory import keep_freed_memory
from insphere.training.step_memory import SMALL_PIXELS, pass_bytes
from insphere.validation import sentence

SCORING_BATCH = 256
MEDIUM_PIXELS = 64 * 64


def encoder_spec(
    encoder: str | EncoderSpec | Mapping[str, Any] | None, modality: Modality
) -> EncoderSpec:
    """Return the encoder given by name, as a spec or as settings; by default that for the data.

    Settings with a ``base`` are changes to that encoder: a name, or "auto" for the default.
    """
    if encoder is None:
        encoder = modality.default_encoder
    if encoder is None:
        return default_encoder(modality.sample_shape)
    if isinstance(encoder, EncoderSpec):
        return encoder
    if isinstance(encoder, str):
        if encoder not in NAMED:
            raise SpecError(f"Unknown encoder {encoder!r}; use one of {', '.join(NAMED)}.")
        return NAMED[encoder]
    changes = dict(encoder)
    base = changes.pop("base", None)
    if base is None:
        return EncoderSpec.model_validate(changes)
    return encoder_spec(None if base == "auto" else str(base), modality).derive(changes)


def best_encoder(
    encoder: str | EncoderSpec | Mapping[str, Any] | None,
) -> str | EncoderSpec | Mapping[str, Any]:
    """Return the encoder, or where the default is meant that of the recipe "best"."""
    if encoder is None:
        return "compact"
    if isinstance(encoder, Mapping) and encoder.get("base") == "auto":
        return dict(encoder) | {"base": "compact"}
    return encoder


def preprocess_steps(
    preprocess: str | Sequence[Any] | None, modality: Modality
) -> tuple[StepSpec, ...]:
    """Return the preprocessing given by name or as settings, or chosen for the kind of data."""
    given = modality.default_preprocess if preprocess is None else preprocess
    return chosen_steps(given, modality.sample_shape)


@contextmanager
def settings() -> Iterator[None]:
    """Turn a validation error of a spec into one sentence.

    Raises
    ------
    SpecError
        If a setting is out of range.
    """
    try:
        yield
    except ValidationError as error:
        raise SpecError(sentence(error, "The detector")) from error


def seed_from(random_state: Any) -> int:
    """Draw the seed of one fit."""
    return int(check_random_state(random_state).randint(2**31 - 1))


def batched(
    X: NDArray[Any],
    compute: Callable[[Tensor], Tensor],
    network: nn.Module,
    precision: Precision,
) -> NDArray[Any]:
    """Apply a trained network to raw samples, batch by batch.

    Parameters
    ----------
    X : ndarray, shape (N, H, W, C) or (N, F)
        Raw samples.
    compute : callable
        From a raw batch to one row for each sample.
    network : torch.nn.Module
        The network in `compute`; it determines the device and the number format.
    precision : {"auto", "float32", "bfloat16"}
        Number format of the network; see `insphere.training.device.autocast_dtype`.
    """
    keep_freed_memory()
    device = next(itertools.chain(network.parameters(), network.buffers())).device
    dtype = autocast_dtype(precision, network)
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not None):
        done = 0
        size = _scoring_batch(X, lambda part: compute(to_batch(part, device)), network)
        for part in batches(X, size):
            rows = compute(to_batch(part, device))
            if not done:  # one array from the start: many small ones would fragment the memory
                kept = torch.float32 if rows.dtype == torch.bfloat16 else rows.dtype
                out = torch.empty((len(X), *rows.shape[1:]), dtype=kept)
            out[done : done + len(rows)] = rows
            done += len(rows)
    result: NDArray[Any] = out.numpy()
    return result


def _scoring_batch(X: NDArray[Any], compute: Callable[[Any], Tensor], network: nn.Module) -> int:
    """Return how many samples are scored at once; of large images only as many as memory takes."""
    if X.ndim < 4 or min(len(X), SCORING_BATCH) * X[0, ..., 0].size <= SMALL_PIXELS:
        return SCORING_BATCH
    each = pass_bytes(lambda: compute(X[:1]), network)
    share = 2 if X[0, ..., 0].size <= MEDIUM_PIXELS else 8  # more at once is no faster
    return rows_within(share * each, SCORING_BATCH)


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return parameters and buffers by name."""
    return {name: tensor.cpu().numpy() for name, tensor in module.state_dict().items()}


def load_arrays(
    module: nn.Module, arrays: Mapping[str, NDArray[Any]], device: torch.device
) -> None:
    """Load saved parameters and buffers into a module, and move it to `device` for scoring."""
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    module.load_state_dict(tensors, assign=True)
    has_convolutions = any(isinstance(m, nn.Conv2d) for m in module.modules())
    layout = torch.channels_last if has_convolutions else torch.preserve_format
    module.to(memory_format=layout).to(device).eval()


@contextmanager
def matching_weights() -> Iterator[None]:
    """Build a network for saved weights, without an effect on the random state.

    Raises
    ------
    ModelError
        If saved settings and weights contradict each other.
    """
    try:
        with initial_weights(0):
            yield
    except (KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            "The model's settings and weights do not belong together; save it again."
        ) from error
