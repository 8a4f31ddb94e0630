"""Whatever is given in place of images or rows is read, or refused in one sentence."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from fuzzing import Drawn, check_sentence, no_longer_than, tries
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from insphere.detectors import KNNDetector, MahalanobisDetector
from insphere.errors import InsphereError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 255, (12, 4, 4), np.uint8)
ROWS = RNG.normal(size=(12, 3))
DTYPES = (
    "u1", "i1", "u2", ">u2", "i4", "u8", "i8", "f2", "f4", ">f4", "f8", "g", "?", "c8", "M8[s]",
    "m8[D]",
    "U3", "S3", "O", "i4,f4",
)  # fmt: skip
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 255.0, 0.5, 3e38, -3e38, 1e300, 1e-45, np.nan, np.inf])


@st.composite
def odd_arrays(draw: Drawn) -> Any:
    """Draw an array of an odd type or shape, or with odd numbers."""
    shapes = [(12, 4, 4), (12, 4, 4, 1), (12, 4, 4, 3), (12, 3), (12,), (), (0, 4, 4), (12, 0, 4),
              (1, 4, 4), (2, 2, 2, 2, 2), (12, 3, 4, 4), (4, 4, 12), (3, 1, 1)]  # fmt: skip
    shape = draw(st.sampled_from(shapes) | arrays.array_shapes(max_dims=5, max_side=5))
    kind = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            values = rng.uniform(0, draw(st.sampled_from([1, 255, 65535])), shape).astype(kind)
        except (TypeError, ValueError):
            values = np.zeros(shape, kind)
        if values.size and values.dtype.kind in "fc" and draw(st.booleans()):
            for _ in range(draw(st.integers(1, 3))):
                values.reshape(-1)[draw(st.integers(0, values.size - 1))] = draw(NUMBERS)
    if values.dtype.kind == "O" and values.size:
        values.reshape(-1)[0] = draw(
            st.sampled_from([None, "x", object(), np.zeros(3), [1], 2**80, 1j, float("nan")])
        )
    return values


@st.composite
def odd_holders(draw: Drawn) -> Any:
    """Put an array into whatever people keep numbers in."""
    values = draw(odd_arrays())
    how = draw(st.sampled_from(["array", "list", "masked", "view", "memmap", "tensor", "meta",
                                "sparse", "grad", "strange", "matrix", "tuple"]))  # fmt: skip
    try:
        if how == "list":
            return values.tolist()
        if how == "tuple":
            return tuple(values)
        if how == "masked":
            return np.ma.masked_array(values, mask=draw(st.booleans()))
        if how == "view":
            return values[::-1] if values.ndim else values
        if how == "matrix":
            return np.matrix(values)
        if how in ("tensor", "meta", "sparse", "grad"):
            tensor = torch.from_numpy(values)
            if how == "meta":
                return tensor.to("meta")
            if how == "sparse":
                return tensor.to_sparse()
            return tensor.float().requires_grad_() if how == "grad" else tensor
    except (TypeError, ValueError, RuntimeError):
        return values
    if how == "strange":
        return draw(st.sampled_from([None, "", "nowhere", b"bytes", 3, {}, {"a": 1}, [], [[]],
        [None],
                                     set(), iter([1]), object(), ["nowhere.png"], [1, "a"], "a\0b",
                                     [IMAGES[0], IMAGES[0][:2]], range(5), type,
                                     np.float32(1)]))  # fmt: skip
    return values


def attempt(detector: Any, calls: tuple[str, ...], X: Any) -> None:
    """Call methods with X; what is refused is one sentence, what is not is finite."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), no_longer_than(60):
        warnings.simplefilter("ignore")
        try:
            for call in calls:
                result = getattr(detector, call)(X)
                if call != "fit":
                    assert np.isfinite(result).all()
        except InsphereError as error:
            check_sentence(str(error), 600)


@pytest.mark.parametrize("cls", [KNNDetector, MahalanobisDetector])
@tries(120)
@given(X=odd_holders())
def test_anything_is_fitted_or_refused(cls, X):
    attempt(cls(), ("fit", "score_samples", "predict"), X)


@pytest.mark.parametrize(
    "train", [IMAGES, ROWS, IMAGES / np.float32(255)], ids=["u8", "rows", "f4"]
)
@tries(100)
@given(X=odd_holders())
@example(X=torch.zeros((12, 1, 4, 4), device="meta"))
@example(X=np.full((12, 4, 4), 3e38, np.float32))
@example(X=np.full((12, 3), 3e38, np.float32))
def test_anything_is_scored_or_refused(train, X):
    attempt(KNNDetector(n_neighbors=2).fit(train), ("score_samples", "predict"), X)
