"""The base of detectors whose score is one torch module on raw samples."""

from __future__ import annotations

from abc import abstractmethod

from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.data.column_scale import RESOLUTION
from insphere.detectors.base.estimator import OneClassDetector
from insphere.preprocess.columns import OnScaledColumns


class NetworkDetector(OneClassDetector):
    """A detector with a network; see the concrete detectors."""

    @abstractmethod
    def _module(self) -> nn.Module:
        """Return the module that `scoring_module` documents."""

    def scoring_module(self) -> nn.Module:
        """Return the torch module from raw samples to anomaly scores, preprocessing included.

        Use it for attribution, attacks and export. Its values equal those of `anomaly_score`,
        except for rounding in the number format of the network.
        With a number of parts as `calibration`, it is the score of the network trained on all
        images, which `anomaly_score` compares with that of the parts.

        Returns
        -------
        torch.nn.Module
            In evaluation mode, on the detector's device; it shares its weights with the detector.
            Takes images N×C×H×W, uint8 or floats from 0 to 1 (on the scale of the training images
            if these were floats), or rows N×F of a table; returns (N,). Any N; height, width and
            channels are those of the training images. Floats have gradients.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.

        Examples
        --------
        >>> import numpy as np
        >>> import torch
        >>> from insphere import DeepSVDD
        >>> rows = np.random.default_rng(0).normal(size=(50, 4))
        >>> detector = DeepSVDD(epochs=1, pretrain_epochs=0, random_state=0).fit(rows)
        >>> scores = detector.scoring_module()(torch.from_numpy(rows))
        >>> bool(np.allclose(scores.detach(), detector.anomaly_score(rows)))
        True
        """
        check_is_fitted(self)
        module, columns = self._module(), self.column_scale_
        if columns is not None:
            module = OnScaledColumns(columns.saved(), RESOLUTION, module)
        return module.eval()
