"""Parameters of a constructor, declared once as fields of the class and inherited.

scikit-learn asks that a constructor has one keyword for each parameter and only stores them, and
reads their names off its signature. A keyword-only dataclass writes exactly that constructor, from
the fields of the class and of those that it derives from. So what several detectors share, such as
the settings of a pretrained network, is written down once; ``get_params``, ``clone`` and type
checkers see each class's whole signature.
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
