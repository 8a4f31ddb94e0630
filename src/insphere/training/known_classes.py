"""Fine-tuning by the classes of normal images: told from one another and from a background."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from insphere.training.batch import Batch
from insphere.training.objectives import Objective

GAIN = 10.0  # so that the new layer learns ten times as fast as those that know something already
TINY = 1e-12


class Background(nn.Module):
    """How much likelier an image is under each known class than under the pretraining.

    The network was pretrained to name N classes. By Bayes' rule its probabilities p(k|x) give the
    density of an image under class k, relative to that of the pretraining where all N are equally
    frequent: N p(k|x). A known class c is taken for a mixture of them with shares f_c(k), so that

        r_c(x) = N Σ_k f_c(k) p(k|x)

    is a ratio of likelihoods as Ren et al. (2019) use it, with the pretraining as background. The
    loss is −log of r_y / (1 + Σ_c r_c), the probability of the right class y where the background
    is one class more. Only the stages below learn; the layer that names the N classes is fixed, so
    that images of known classes are also told from the N classes that none of them resembles.

    Parameters
    ----------
    layer : torch.nn.Linear
        From the mean of the last map to N logits.
    classes : int
        Number of known classes.
    """

    weight: Tensor
    bias: Tensor
    shares: Tensor

    def __init__(self, layer: nn.Linear, classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().float().clone())
        self.register_buffer("bias", layer.bias.detach().float().clone())
        self.register_buffer("shares", self.weight.new_zeros(classes, len(self.weight)))

    def measure(self, tail: nn.Module, batches: Iterable[Batch]) -> None:
        """Set f_c to the mean of p(k|x) over the images of each class, before any training."""
        count = self.shares.new_zeros(len(self.shares))
        self.shares.zero_()
        for batch in batches:
            assert batch.labels is not None
            labels = batch.labels.to(self.shares.device)
            self.shares.index_add_(0, labels, self.probabilities(means(tail(batch.x))))
            count += torch.bincount(labels, minlength=len(count))
        self.shares /= count[:, None].clamp_min(1)

    def probabilities(self, z: Tensor) -> Tensor:
        """Return p(k|x) for means of the last map, shape (B, N)."""
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(z, self.weight, self.bias).softmax(dim=1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss for means of the last map, shape (B, C)."""
        with torch.autocast(z.device.type, enabled=False):
            ratios = len(self.weight) * (self.probabilities(z) @ self.shares.T)
        right = ratios.gather(1, labels[:, None])[:, 0].clamp_min(TINY)
        return (torch.log1p(ratios.sum(dim=1)) - right.log()).mean()


class KnownClasses(Objective):
    """Cross-entropy of a linear classifier on the mean of the last map.

    What tells known classes apart tells unknown ones from them as well (Vaze et al. 2022), and
    pretrained networks that were fine-tuned in this way find unknown classes that are similar to
    known ones (Fort et al. 2021). The linear layer starts at zero.

    Parameters
    ----------
    tail : torch.nn.Module
        The trained stages, from map to map.
    channels : int
        Channels of the last map.
    classes : int
        Number of classes.
    background : Background, optional
        Its loss is added.
    """

    def __init__(
        self, tail: nn.Module, channels: int, classes: int, background: Background | None = None
    ) -> None:
        super().__init__()
        self.tail = tail
        self.background = background
        self.dense = nn.Linear(channels, classes)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self._right = 0
        self._seen = 0

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of maps with labels."""
        assert batch.labels is not None
        z = means(self.tail(batch.x))
        with torch.autocast(z.device.type, enabled=False):
            logits = GAIN * self.dense(z)
        self._right += int((logits.argmax(dim=1) == batch.labels).sum())
        self._seen += batch.size
        loss = F.cross_entropy(logits, batch.labels)
        return loss if self.background is None else loss + self.background(z, batch.labels)

    def end_epoch(self, epoch: int) -> dict[str, float]:
        """Return the share of training images whose class was right in their step."""
        right, seen = self._right, self._seen
        self._right = self._seen = 0
        return {"accuracy": right / max(1, seen)}


def means(m: Tensor) -> Tensor:
    """Return the mean of each channel over its map, float32: N×C×H×W to N×C."""
    return m.float().mean(dim=(2, 3))
