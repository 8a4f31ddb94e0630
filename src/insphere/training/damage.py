"""Settings of made-up damage that several trainings take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from insphere.synthetic_anomalies import KINDS


def _known(kinds: tuple[str, ...]) -> tuple[str, ...]:
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(KINDS)}")
    return kinds


def _ordered(strengths: tuple[float, float]) -> tuple[float, float]:
    if not 0 < strengths[0] <= strengths[1] <= 1:
        raise ValueError("the strengths are two numbers, above 0 and at most 1, the lesser first")
    return strengths


DamageKinds = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_known)]
"""Kinds of synthetic anomalies, at least one; see `insphere.synthetic_anomalies.KINDS`."""
Strengths = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Least and greatest strength, above 0 and at most 1."""
