"""Deep SAD: Deep SVDD with a few labelled anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from insphere.detectors.base.class_labels import anomaly_labels
from insphere.detectors.base.network_state import settings
from insphere.detectors.base.parameters import parameters
from insphere.detectors.spheres.deep_svdd import DeepSVDD
from insphere.errors import DataError
from insphere.training.deep_svdd import SphereSpec
from insphere.training.labelled_anomalies import LabelledAnomalies
from insphere.training.recipe import Recipe

_ADVICE = (
    "y holds 0 for an unlabelled, 1 for a normal and -1 for an anomalous sample; for the class of "
    "each normal sample use DeepSVDD"
)


@parameters
class DeepSAD(DeepSVDD):
    """Deep semi-supervised anomaly detection (Ruff et al. 2020): Deep SVDD with a few labels.

    Unlabelled samples, which are taken to be mostly normal, and labelled normal samples are drawn
    to the centre c, as in Deep SVDD: their loss is the squared distance d = ‖φ(x) − c‖². Labelled
    anomalies are pushed away from it: their loss is 1/(d + ε). The anomaly score is d.

    Labelled anomalies of one kind can make others harder to find, because the network learns what
    tells this kind apart. So measure it on kinds that were not labelled, too.

    Parameters
    ----------
    eta : float, default=1.0
        η: how much a labelled sample counts, in units of an unlabelled one.
    recipe : {"fast", "paper", "best"} or Recipe, default="fast"
        As in `DeepSVDD`, whose default is another: "best", which learns to tell turned images
        apart before it is shown labels, has to be asked for here.
    **others
        As in `DeepSVDD`; `objective` is "one-class" and `pollution` None.

    Attributes
    ----------
    n_labelled_ : dict
        Number of labelled samples: ``"normal"`` and ``"anomalous"``.
    offset_, threshold_, center_, radius_, history_ and others
        See `DeepSVDD`. Threshold, calibration, centre, radius and preprocessing use no labelled
        anomaly.

    Examples
    --------
    >>> import numpy as np
    >>> from insphere import DeepSAD
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal(size=(200, 8)), 3 + rng.normal(size=(5, 8))])
    >>> y = np.repeat([0, -1], [200, 5])
    >>> detector = DeepSAD(random_state=0).fit(X, y)
    >>> detector.predict(3 + rng.normal(size=(3, 8)))
    array([-1, -1, -1])
    """

    card = replace(
        DeepSVDD.card,
        key="deep-sad",
        title="Deep SAD",
        summary="Deep SVDD that is also shown a few labelled anomalies",
        takes_anomalies=True,
        takes_classes=False,
        idle=("objective", "pollution"),
    )

    _uses_labels: ClassVar[bool] = True
    _loss: ClassVar[Literal["inverse", "cross-entropy"]] = "inverse"

    recipe: str | Recipe | Mapping[str, Any] = "fast"
    eta: float = 1.0

    def _read_labels(
        self, y: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | tuple[None, None]:
        self.classes_ = []
        self.n_labelled_ = {"normal": 0, "anomalous": 0}
        if y is None:
            return None, None
        labels = anomaly_labels(y, (1,), _ADVICE)
        self.n_labelled_ = {
            "normal": int((labels == 1).sum()),
            "anomalous": int((labels == -1).sum()),
        }
        if (labels == -1).all():
            raise DataError(
                f"All samples are labelled as anomalous, so nothing is normal; {_ADVICE}."
            )
        return labels, labels >= 0

    def _resolve(self, several: bool = False, weighted: bool = False) -> SphereSpec:
        spec = super()._resolve(several, weighted)
        with settings():
            return SphereSpec.model_validate(
                dict(spec) | {"labelled": LabelledAnomalies(loss=self._loss, eta=self.eta)}
            )

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        arrays, meta = super()._state()
        return arrays, meta | {"n_labelled": self.n_labelled_}

    def _set_state(self, arrays: Any, meta: Any) -> None:
        super()._set_state(arrays, meta)
        self.n_labelled_ = dict(meta["n_labelled"])
