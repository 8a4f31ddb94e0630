"""The settings of a head, from a constructor's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from numpy.typing import NDArray

from insphere.detectors.base.network_state import settings
from insphere.errors import SpecError
from insphere.nets.spec import EncoderSpec
from insphere.training.patches import DEFAULT_HEAD, PatchSpec, Unit
from insphere.training.recipe import Phase

Start = Literal["random", "whitened"]


def number_of_centers(center: NDArray[Any]) -> int:
    """Return how many centres an array of them holds."""
    return 1 if center.ndim == 1 else len(center)


def head_spec(
    head: EncoderSpec | Mapping[str, Any] | None,
    phase: Phase,
    unit: Unit,
    nu: float,
    allow_collapse: bool,
    *,
    whiten: float | None,
    start: Start = "random",
    centers: int = 1,
    **changes: Any,
) -> PatchSpec:
    """Return the settings of the training of a head.

    Parameters
    ----------
    head : EncoderSpec, mapping or None
        The network, or changes to the default one; None is the default one.
    phase : Phase
        Schedule.
    unit, nu, allow_collapse, whiten, start, centers
        See `PatchSpec`.
    **changes
        Settings that override those of the phase; None means not given. A given number of epochs
        is used as it is.

    Raises
    ------
    SpecError
        If a setting is out of range, or the head is not of kind mlp.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if "epochs" in given:
        given["min_steps"] = 0
    with settings():
        if head is None:
            head = DEFAULT_HEAD
        elif not isinstance(head, EncoderSpec):
            head = DEFAULT_HEAD.derive(head)
        if head.kind != "mlp":
            raise SpecError(f"A head over patches is of kind mlp, but got {head.kind}.")
        return PatchSpec(
            head=head,
            phase=Phase.model_validate(phase.model_dump() | given),
            unit=unit,
            whiten=whiten,
            start=start,
            centers=centers,
            nu=nu,
            allow_collapse=allow_collapse,
        )
