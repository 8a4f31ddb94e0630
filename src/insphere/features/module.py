"""Features as one differentiable module, from raw images to their features."""

from __future__ import annotations

from torch import Tensor, nn

from insphere.features.adapted import map_form
from insphere.features.extract import Extractor, both_sides
from insphere.features.form import Form, joined, within_range
from insphere.features.resizing import Resizing
from insphere.nets.backbones.network import Tail


class FeatureModule(nn.Module):
    """Computes the same as `features` and `adapted_features`, without cache and with gradients.

    Parameters
    ----------
    extractor : Extractor
        The frozen backbone.
    tail : Tail or None
        Its last stages, fine-tuned; None if none were.
    form : Form
        Form of the features.
    mirrored : bool
        With a tail: average the maps of each image and of its mirror image.

    Attributes
    ----------
    seen : int
        Values of an image as the network sees it, once `export_for` was told their size.
    """

    def __init__(
        self, extractor: Extractor, tail: Tail | None, form: Form, *, mirrored: bool = False
    ) -> None:
        super().__init__()
        self.backbone = extractor.network
        self.tail = tail
        self.form = form
        self.mirrored = mirrored
        self._extractor = extractor
        self.resizing: Resizing | None = None
        self.seen = 0

    def export_for(self, size: tuple[int, int], *, whole: bool) -> None:
        """Resize as matrices, which an exported graph can hold; see `Resizing`.

        Parameters
        ----------
        size : (int, int)
            Height and width of all images to come.
        whole : bool
            Whether they are bytes.
        """
        found = self._extractor
        height, width = found.resized_size(size)
        self.seen = 3 * height * width
        self.resizing = Resizing(size, (height, width), found.resampling, whole=whole)

    def forward(self, x: Tensor) -> Tensor:
        """Map raw images N×C×H×W, uint8 or floats between 0 and 1, to features."""
        if self.resizing is None:
            prepared = self._extractor.prepare_tensor(x)
        else:
            x = x if self.resizing.whole else x * 255
            prepared = self._extractor.normalise_tensor(self.resizing(x))
        if self.tail is None:
            maps = self._extractor.whole_maps(prepared, self.form.stages)
            if self.form.stride is None:
                return self.form.compute(maps, self._extractor.kept)
            down, across = self.form.shape  # of images that fill their canvas
            own = joined(maps, self.form, (prepared.shape[2], prepared.shape[3]))
            return within_range(own[:, :down, :across], self._extractor.kept)
        found = self._tuned(prepared, self.tail)
        if self.mirrored:
            found = both_sides(found, self._tuned(prepared.flip(3), self.tail))
        return self.form.compute(found, self._extractor.kept)

    def _tuned(self, prepared: Tensor, tail: Tail) -> dict[str, Tensor]:
        before = map_form(self._extractor, len(tail.steps))
        maps = self._extractor.maps(prepared, before.stages)
        rows = before.compute(maps, self._extractor.kept)
        start = rows.to(self._extractor.dtype).permute(0, 3, 1, 2)
        return tail.maps(start)
