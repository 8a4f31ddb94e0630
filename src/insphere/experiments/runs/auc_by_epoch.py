"""The AUC after every few epochs of a training, for information only.

During the training only checkpoints are kept. The test images and their labels are used after the
training. The last epoch is always the result, whatever the AUC of the others.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import atomic_path
from insphere.data.image_set import ImageSet
from insphere.detectors.base.network_state import batched
from insphere.detectors.spheres.deep_svdd import DeepSVDD
from insphere.errors import SpecError
from insphere.experiments.runs.run import RunResult, run
from insphere.experiments.runs.spec import RunSpec
from insphere.scoring.metrics import evaluate_scores
from insphere.training.callbacks import Callback
from insphere.training.checkpoint import read_checkpoint

PHASE = "train"
MOST = 25  # epochs that are measured, and the last
_ENCODER = "objective.encoder."


class KeptEpochs(Callback):
    """Keeps the checkpoint of the first epoch, of every few epochs and of the last.

    Parameters
    ----------
    checkpoints : Path
        Folder in which this training, and no other, has its checkpoints.
    """

    def __init__(self, checkpoints: Path) -> None:
        self.checkpoints = checkpoints
        self.folder = checkpoints / "epochs"
        self._epochs = 0

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Store the number of epochs of the phase."""
        self._epochs = epochs

    def epoch_end(self, record: dict[str, Any]) -> None:
        """Keep the checkpoint that the loop has just written."""
        epoch = record["epoch"]
        due = epoch % -(-self._epochs // MOST) == 0
        if record["phase"] != PHASE or not (due or epoch in (1, self._epochs)):
            return
        (written,) = self.checkpoints.glob(f"{PHASE}-*.safetensors")
        self.folder.mkdir(exist_ok=True)
        with atomic_path(self.path(epoch)) as partial:
            shutil.copyfile(written, partial)

    def path(self, epoch: int) -> Path:
        """Return the path of the checkpoint of an epoch."""
        return self.folder / f"{epoch}.safetensors"


def run_with_auc(
    spec: RunSpec, data: ImageSet, checkpoints: Path
) -> tuple[RunResult, list[dict[str, Any]]]:
    """Execute a run, then measure the AUC of earlier epochs.

    Parameters
    ----------
    spec : RunSpec
        The run; its method is Deep SVDD.
    data : ImageSet
        The data set of the run.
    checkpoints : Path
        Folder for checkpoints: empty, or from an interrupted run of the same spec.

    Returns
    -------
    result : RunResult
        The result of the run.
    history : list of dict
        The detector's history of the training; epochs that were measured have an ``auc`` (0…1).

    Raises
    ------
    SpecError
        If the method is another.
    """
    if spec.method != "deep-svdd":
        raise SpecError(f"The AUC by epoch can be measured for deep-svdd only, not {spec.method}.")
    kept = KeptEpochs(checkpoints)
    result = run(spec, data, checkpoints=checkpoints, callbacks=[kept])
    detector = result.detector
    if not isinstance(detector, DeepSVDD):
        raise RuntimeError("deep-svdd returned another detector.")
    history = [dict(record) for record in detector.history_ if record["phase"] == PHASE]
    for record in history:
        path = kept.path(record["epoch"])
        if path.is_file():
            scores = _scores(detector, path, result.split.X_test)
            record["auc"] = evaluate_scores(result.split.truth, scores).auc
    return result, history


def _scores(detector: DeepSVDD, path: Path, images: NDArray[np.uint8]) -> NDArray[Any]:
    """Score images with the weights of a checkpoint."""
    saved = read_checkpoint(path)
    if saved is None:
        raise RuntimeError(f"The checkpoint {path} cannot be read.")
    tensors, _ = saved
    sphere = copy.deepcopy(detector.sphere_)
    weights = {k.removeprefix(_ENCODER): v for k, v in tensors.items() if k.startswith(_ENCODER)}
    sphere.encoder.load_state_dict(weights)
    return batched(images, sphere.eval(), sphere, detector.precision)
