"""Parameters of a constructor, declared once as fields of the class and inherited.

scikit-learn requires a constructor that has one keyword for each parameter and only stores them. It
reads their names from the signature. A keyword-only dataclass has exactly such a constructor, made
from the fields of the class and its base classes. So shared parameters, such as those of a
pretrained network, are declared once, and ``get_params``, ``clone`` and type checkers see the whole
signature of each class.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

Class = TypeVar("Class")


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
def parameters(cls: type[Class]) -> type[Class]:
    """Make the annotated fields of a class the keywords of its constructor.

    Examples
    --------
    >>> from sklearn.base import BaseEstimator
    >>> @parameters
    ... class Window(BaseEstimator):
    ...     width: int = 3
    >>> @parameters
    ... class Smoothing(Window):
    ...     strength: float = 0.5
    >>> Smoothing(width=5).get_params()
    {'strength': 0.5, 'width': 5}
    """
    return dataclass(kw_only=True, eq=False, repr=False)(cls)
