"""Tensors, data sets and loaders of torch as input; torch itself is not imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from insphere.errors import DataError

IMAGE_KEYS = ("image", "images", "pixel_values", "img", "x", "input")
"""Names under which data sets that yield dictionaries keep their images."""


def from_tensor(X: Any, torch: Any) -> NDArray[Any]:
    """Turn a tensor N×C×H×W, N×H×W or N×d into an array with channels last.

    Raises
    ------
    DataError
        If it has no values (a meta tensor), is not a plain tensor, or its channels are elsewhere.
    """
    if X.device.type == "meta":
        raise DataError("A meta tensor has a shape but no values: make a real one of it first.")
    try:
        X = X.detach().cpu()
        if X.layout != torch.strided:
            X = X.to_dense()
        if X.dtype == torch.bfloat16:
            X = X.float()
        values = np.asarray(X.resolve_conj().resolve_neg().numpy())
    except (RuntimeError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"The tensor of {X.dtype} cannot be read ({reason}): convert it with float()."
        ) from error
    if values.ndim != 4:
        return values
    if values.shape[1] not in (1, 3):
        last = values.shape[3] in (1, 3)
        hint = "; move its channels first with permute(0, 3, 1, 2)" if last else ""
        raise DataError(
            f"A tensor of images has the shape N×C×H×W with 1 or 3 channels, but got "
            f"{tuple(values.shape)}{hint}."
        )
    return np.moveaxis(values, 1, -1)


def is_torch_data(X: Any, torch: Any) -> bool:
    """Whether X is a ``Dataset`` or a ``DataLoader``."""
    utils = torch.utils.data
    return isinstance(X, utils.Dataset | utils.DataLoader)


def from_torch_data(
    X: Any, torch: Any, stack: Callable[[Sequence[Any]], NDArray[Any]]
) -> NDArray[Any]:
    """Read all images of a data set or loader, without its labels.

    Parameters
    ----------
    X : Dataset or DataLoader
        Yields images, or tuples whose first value is an image, or dictionaries with one.
    torch : module
        The imported package.
    stack : callable
        Makes one array of PIL images and arrays.

    Raises
    ------
    DataError
        If it is empty or yields no images.
    """
    batched = isinstance(X, torch.utils.data.DataLoader) and X.batch_size is not None
    parts = []
    for item in _items(X):
        image = _image_of(item)
        if isinstance(image, torch.Tensor):
            image = from_tensor(image if batched else image[None], torch)
            parts.append(image if batched else image[0])
        elif isinstance(image, Image.Image | np.ndarray) and not batched:
            parts.append(image)
        else:
            raise DataError(
                f"The data set yields {type(image).__name__}, where a tensor C×H×W, an array H×W×C "
                "or a PIL image is needed: convert its images, or give them as one array."
            )
    if not parts:
        raise DataError("The data set yields no images: check its length and its files.")
    if batched:
        if len({part.shape[1:] for part in parts}) > 1:
            raise DataError("The batches hold images of different shapes: resize them to one size.")
        return np.concatenate(parts)
    rows = all(isinstance(part, np.ndarray) and part.ndim == 1 for part in parts)
    return np.stack(parts) if rows else stack(parts)


def _items(X: Any) -> Iterator[Any]:
    """Yield the items of a data set, by index where it has a length."""
    by_index = hasattr(X, "__getitem__") and hasattr(X, "__len__") and not hasattr(X, "batch_size")
    if by_index:
        for index in range(len(X)):
            yield X[index]
        return
    yield from X


def _image_of(item: Any) -> Any:
    if isinstance(item, Mapping):
        for key in IMAGE_KEYS:
            if key in item:
                return item[key]
        raise DataError(
            f"The data set yields dictionaries with {', '.join(map(str, item))}, but none of "
            f"{', '.join(IMAGE_KEYS)}: rename the key of the images."
        )
    return item[0] if isinstance(item, (tuple, list)) and item else item
