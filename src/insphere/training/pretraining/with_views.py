"""What the forms of pretraining share that leave an encoder of several views of an image."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from insphere.nets.draws import initial_weights
from insphere.nets.view_encoder import ViewEncoder, ViewPlan
from insphere.training.images import Samples
from insphere.training.loop import mixed_seed
from insphere.training.pretraining.held_out import Chosen, held_out
from insphere.training.pretraining.pretraining import Pretraining
from insphere.training.start import Start


class PretrainingWithViews(Pretraining):
    """Settings of a pretraining behind which a head looks at views of each image.

    A tenth of the normal images is held out, on which a head with several parts is calibrated.
    """

    @abstractmethod
    def plan(self, shape: tuple[int, ...]) -> ViewPlan:
        """Return the views of images (C, H, W) that a head looks at."""

    def samples(self, start: Start) -> Samples:
        """Return the images without those that are held out."""
        return Chosen(start.images, ~held_out(len(start.images)))

    def view_encoder(
        self, encoder: nn.Module, rep_dim: int, shape: tuple[int, ...], seed: int
    ) -> ViewEncoder:
        """Return an encoder of the views of `plan` around one of an image; classifiers are new."""
        plan = self.plan(shape)
        with initial_weights(mixed_seed(seed, 1)):
            return ViewEncoder(encoder, rep_dim, plan, shape)
