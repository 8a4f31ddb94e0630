"""The base of detectors whose score is one torch module on raw samples."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from insphere.detectors.base.estimator import OneClassDetector


class NetworkDetector(OneClassDetector):
    """A detector with a network; see the concrete detectors."""

    has_gradients: ClassVar[bool] = True

    @abstractmethod
    def _module(self) -> nn.Module:
        """Return the module that `scoring_module` documents."""
