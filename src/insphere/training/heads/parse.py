"""Settings of a head from what a spec or an argument says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from insphere.training.by_kind import settings_by_kind
from insphere.training.heads.head import HeadSpec
from insphere.training.heads.table import HEADS


def parse_head(value: Any) -> HeadSpec:
    """Return the settings of a head from its kind, a mapping with ``kind``, or settings.

    Raises
    ------
    ValueError
        If the kind is unknown or a setting is out of range.
    """
    return settings_by_kind(value, HeadSpec, HEADS, "head")  # type: ignore[type-abstract]


AnyHead = Annotated[SerializeAsAny[HeadSpec], BeforeValidator(parse_head)]
