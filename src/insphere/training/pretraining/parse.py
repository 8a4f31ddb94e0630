"""Settings of a pretraining from what a spec or an argument says."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from insphere.training.by_kind import settings_by_kind
from insphere.training.pretraining.pretraining import Pretraining
from insphere.training.pretraining.table import PRETRAININGS


def parse_pretraining(value: Any) -> Pretraining:
    """Return the settings of a pretraining from its kind, a mapping with ``kind``, or settings.

    Raises
    ------
    ValueError
        If the kind is unknown or a setting is out of range.
    """
    return settings_by_kind(value, Pretraining, PRETRAININGS, "pretraining")  # type: ignore[type-abstract]


AnyPretraining = Annotated[SerializeAsAny[Pretraining], BeforeValidator(parse_pretraining)]
