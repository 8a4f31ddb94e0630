"""The Boundary Attack on a classifier, through foolbox."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from insphere.errors import DataError, require

Images = NDArray[np.uint8]


class _Rounded(nn.Module):
    """A classifier that sees pixels as whole numbers from 0 to 255, as a file keeps them."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier((x * 255).round() / 255)
        return logits


def predicted(classifier: nn.Module, images: Images) -> NDArray[np.int64]:
    """Return the class that a classifier predicts for each image.

    Parameters
    ----------
    classifier : torch.nn.Module
        From images N×C×H×W between 0 and 1 to logits.
    images : ndarray of uint8, shape (N, H, W, C)
        What to classify.

    Returns
    -------
    ndarray of int64, shape (N,)
    """
    with torch.inference_mode():
        logits: Tensor = classifier(_tensor(images))
        return logits.argmax(dim=1).numpy()


def boundary_attack(
    classifier: nn.Module, images: Images, starts: Images, *, steps: int, seed: int = 0
) -> Images:
    """Change other images until they look like `images`, while the classifier sees something else.

    Brendel, Rauber and Bethge (2018), "Decision-based adversarial attacks": a random walk from a
    starting image along the boundary of the classes towards the image. It needs only decisions of
    the classifier. The more steps, the less of the starting image remains. Decisions are made on
    rounded pixels, so that the result is still misclassified when it is read from a file.

    Parameters
    ----------
    classifier : torch.nn.Module
        From images N×C×H×W between 0 and 1 to logits, in evaluation mode, on the CPU.
    images : ndarray of uint8, shape (N, H, W, C)
        Images that it classifies rightly; they stay as they are.
    starts : ndarray of uint8, shape (N, H, W, C)
        For each a starting image, of another class in the eyes of the classifier.
    steps : int
        Steps of the walk.
    seed : int
        Decides the walk. A walk with more steps begins like one with fewer.

    Returns
    -------
    ndarray of uint8, shape (N, H, W, C)

    Raises
    ------
    MissingExtraError
        If foolbox is not installed.
    DataError
        If a start has the class of its image, so that there is no boundary between them.
    """
    foolbox = require("foolbox", "attacks", "The Boundary Attack")
    rounded = _Rounded(classifier).train(classifier.training)
    classes = predicted(rounded, images)
    same = int((classes == predicted(rounded, starts)).sum())
    if same:
        raise DataError(
            f"{same} of {len(starts)} starting images are of the class of their image already, in "
            "the eyes of the classifier: start from images of another class."
        )
    model = foolbox.PyTorchModel(rounded, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.BoundaryAttack(steps=steps)
    criterion = foolbox.criteria.Misclassification(torch.from_numpy(classes))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)  # foolbox draws from the generator of the process
        found, _, _ = attack(
            model, _tensor(images), criterion, starting_points=_tensor(starts), epsilons=None
        )
    pixels = (found * 255).round().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels).astype(np.uint8)


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).contiguous().float() / 255
