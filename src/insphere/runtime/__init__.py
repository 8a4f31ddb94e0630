"""Scoring with an exported model, where only NumPy, ONNX Runtime and Pillow are installed.

Examples
--------
.. code-block:: python

    from insphere.runtime import Scorer

    found = Scorer("model.onnx").score("photos/new")
    print(found.names, found.scores, found.verdicts)
"""

from insphere.runtime.description import Description
from insphere.runtime.scorer import Scorer, Scores

__all__ = ["Description", "Scorer", "Scores"]
