"""The kinds of pretraining that a spec can name. A new one needs a file and a line here."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from insphere.training.by_kind import chosen
from insphere.training.pretraining.pretraining import Pretraining

PRETRAININGS = {
    "autoencoder": "insphere.training.pretraining.autoencoder.AutoencoderPretraining",
}
"""Module and class of the settings of each form."""


def parse_pretraining(value: Any) -> Pretraining:
    """Return the settings of a pretraining from its kind, a mapping with ``kind``, or settings.

    Raises
    ------
    ValueError
        If the kind is unknown or a setting is out of range.
    """
    return chosen(value, Pretraining, PRETRAININGS, "pretraining")  # type: ignore[type-abstract]


AnyPretraining = Annotated[SerializeAsAny[Pretraining], BeforeValidator(parse_pretraining)]
