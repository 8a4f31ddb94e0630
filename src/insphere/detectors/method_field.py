"""Names of methods as fields of pydantic models: aliases become keys, for one identity of a run."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from insphere.detectors.method_table import find_method, method_key


def _key_or_name(name: str) -> str:
    return find_method(name) or name


MethodKey = Annotated[str, AfterValidator(method_key)]
"""The key of a method; unknown names are refused."""
MethodName = Annotated[str, AfterValidator(_key_or_name)]
"""The key of a method; unknown names stay, for rows of methods that are not in the table."""
