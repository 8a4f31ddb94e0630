"""The base of detectors that score patches: grid, scores of images and heat maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import nn

from insphere.data.letterbox import content_size
from insphere.detectors.base.by_class import ByClass
from insphere.detectors.base.checks import is_real, require, require_count
from insphere.detectors.base.estimator import Array, batches
from insphere.detectors.base.network_detector import NetworkDetector
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.score_modules import NearestClass
from insphere.detectors.frozen_features.pretrained_network import (
    CHUNK,
    PretrainedNetwork,
    require_images,
    without_backbone,
)
from insphere.detectors.pretrained.patch_scores import (
    Floats,
    Pooling,
    check_pooling,
    enlargements,
    image_maps,
    pool_patches,
    shown_patches,
)
from insphere.detectors.pretrained.places import Places, UsualScores
from insphere.detectors.pretrained.regions import Mask, Region, judged, read_region
from insphere.detectors.pretrained.scoring_heads import (
    JudgedPatches,
    PatchMaps,
    PatchPooling,
    PlacedScores,
)
from insphere.errors import DataError
from insphere.features import Form
from insphere.features.extract import BATCH, Features
from insphere.features.module import FeatureModule
from insphere.features.photos import PhotoExtractor
from insphere.nets.backbones import BackboneCard, check_stages
from insphere.resources import PREPARING, rows_within
from insphere.training.device import resolve_device

Positions = NDArray[np.int64]
REGION, USUAL = OWN = ("region", "usual")  # names of arrays in a saved model
SHORTER_SIDE = 336  # pixels of photographs as the network sees them, by default
MOST_ENLARGED = 16.0
SURVEYED = 200  # photographs whose sizes are looked at
VALUE_BYTES = 16  # that one feature of one patch takes while it is made and scored
ENLARGED = 4  # enlargement from which images have no detail for the finest feature map


def of_head(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays that belong to a head, not to a fine-tuned backbone, a region or places."""
    return {name: value for name, value in without_backbone(arrays).items() if name not in OWN}


@parameters
class PatchDetector(ByClass, NetworkDetector, PretrainedNetwork):
    """Patches from the feature maps of some stages, on one grid; see the concrete detectors.

    Parameters
    ----------
    pooling : {"max", "top", "weighted", "mean"}, default="max"
        How the scores of patches are pooled to the score of an image; see
        `insphere.detectors.pretrained.patch_scores.pool_patches`.
    top_share : float, default=0.1
        Share of the patches that "top" averages.
    stages : sequence of str or None, default=None
        Stages whose feature maps are used; None takes middle ones (strides 8 and 16).
    neighbourhood : int, default=3
        Side of the square around a position over which each feature map is averaged.
    grid : int or None, default=None
        Patches in a row and in a column. None takes the positions of the finest feature map; or of
        the coarsest if images were enlarged four times or more, and have no finer detail.
    smoothing : float or None, default=None
        Standard deviation, in pixels, of the Gaussian that smooths heat maps; None is half the
        distance of two patches, if the concrete class does not say more.
    scale : float, "auto" or None, default=None
        Factor by which the network sees images larger than they are, with their aspect kept and
        without what pads them (see `insphere.data.letterbox`); those larger than a tile are looked
        at in tiles. "auto" enlarges small images until their shorter side has about 336 pixels,
        and leaves others as they are. None resizes all to the square of `resolution`, whatever
        their aspect.
    places : {"none", "border"}, default="none"
        "border": count the score of a patch in standard deviations above the mean of normal patches
        that lie at the same place, by their distances to the borders; see
        `insphere.detectors.pretrained.places`.
    region : path, sequence of 4 numbers or None, default=None
        What is judged: a picture that is white there and black elsewhere, or top, left, bottom and
        right of a rectangle as shares of height and width. None judges everything.
    backbone, weights, resolution, resampling, mirrored, finetune, cache
        See `PretrainedNetwork`.
    device, precision, callbacks
        See `PretrainedNetwork`.
    contamination, false_alarm_rate, calibration, random_state
        See `OneClassDetector`.

    Attributes
    ----------
    form_ : Form
        How patches are made from features.
    usual_ : UsualScores or None
        What scores are usual at each place.
    scale_ : float or None
        The factor that was used.
    region_ : ndarray of bool or None
        Where images are judged.
    """

    _not_saved = PretrainedNetwork._not_saved
    _spread: ClassVar[float] = 0.5  # of the smoothing of heat maps by default, in patches

    pooling: Pooling = "max"
    top_share: float = 0.1
    neighbourhood: int = 3
    grid: int | None = None
    smoothing: float | None = None
    scale: float | str | None = None
    places: Places = "none"
    region: Region = None

    def _patch_scores(self, F: Features) -> Floats:
        """Return the scores (N, P) of patches (N, P, C); higher is more anomalous."""
        raise NotImplementedError

    def anomaly_map(self, X: Any) -> NDArray[np.float32]:
        """Return heat maps: how anomalous the surroundings of each pixel are.

        All heat maps have the same scale and can be compared.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            As in `anomaly_score`.

        Returns
        -------
        ndarray of float32, shape (n, H, W)
            At the resolution of the images.
        """
        check_is_fitted(self)
        data = self._read(X)
        height, width = data.shape[1:3]
        parts = []
        few = rows_within(32 * height * width, CHUNK)  # a few copies of the maps at once
        for part in batches(data, max(few, BATCH)):
            scores = self._shown_scores(self._patches(part))
            grids = scores.reshape(len(part), *self.form_.shape)
            if self.scale_ is None:
                parts.append(image_maps(grids, (height, width), self.smoothing, self._spread))
                continue
            covered, down, across = self._covered((height, width))
            maps = image_maps(grids, covered, self.smoothing, self._spread)
            maps = maps[:, down][:, :, across]
            for one, image in zip(maps, part, strict=True):
                lower, right = content_size(image)
                one[lower:], one[:, right:] = 0, 0
            parts.append(maps)
        return np.concatenate(parts)

    def _begin(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        """Read the region and open the network for images such as X; fine-tune it if wanted."""
        self.region_: Mask | None = read_region(self.region)
        self.usual_: UsualScores | None = None
        self.scale_: float | None = self._resolve_scale((X.shape[1], X.shape[2]), X)
        self._open()
        self._adapt(X, labels)
        self.form_: Form = self._resolve_form((X.shape[1], X.shape[2]))

    def _resolve_scale(self, size: tuple[int, int], X: Array) -> float | None:
        if self.scale is None:
            return None
        for name in ("resolution", "finetune", "grid"):
            require(
                getattr(self, name) is None,
                f"scale keeps images at their own size, and {name} does not: leave one out.",
            )
        if self.scale != "auto":
            require(
                is_real(self.scale),
                f'scale is a factor, "auto" or None, but got {self.scale!r}.',
            )
            return float(self.scale)
        some = X[:: max(1, len(X) // SURVEYED)]
        shorter = float(np.median([min(content_size(image)) for image in some]))
        return min(MOST_ENLARGED, max(1.0, round(SHORTER_SIDE / shorter, 2)))

    def _open(self) -> None:
        if self.scale_ is None:
            super()._open()
            return
        self._load(
            lambda network: PhotoExtractor(
                network,
                scale=float(self.scale_ or 1),
                resampling=self.resampling,
                mirrored=self.mirrored,
                precision=self.precision,
                device=resolve_device(self.device),
            )
        )

    def _prepare(self, X: Array, labels: NDArray[np.int64] | None) -> None:
        require_images(X, self)
        self._begin(X, labels)
        self.guard_findings_: list[str] = self._findings()

    def _represent(self, X: Array) -> Features:
        return self._patches(X)

    def _score_represented(self, F: Array) -> Floats:
        return self._pooled(self._patch_scores(F))

    def _at_once(self, X: Array) -> int:
        """Return of how many photographs the patches are in memory at a time."""
        return rows_within(self._bytes_each, CHUNK, parts=PREPARING)

    @property
    def _sizes(self) -> list[int]:
        """Number of features of each stage."""
        return [self.backbone_.stage(name).channels for name in self.form_.stages]

    @property
    def _bytes_each(self) -> int:
        """Memory of the patches of a photograph while they are made and scored."""
        return VALUE_BYTES * sum(self._sizes) * self.form_.shape[0] * self.form_.shape[1]

    def _shown_scores(self, F: Features) -> Floats:
        """Return the scores of patches (N, P) that maps show, by the nearest class."""
        if not self.members_:
            return self._placed(self._patch_scores(F))
        nearest = self._by_class(F).argmin(axis=1)
        found = np.empty(F.shape[:2])
        for place, member in enumerate(self.members_):
            mine = nearest == place
            if mine.any():
                scores = member._placed(member._patch_scores(F[mine]))
                found[mine] = scores / self.radii_[place]
        return found

    def _head(self) -> nn.Module:
        """Return the module from patches (N, G, G, C) to scores."""
        raise NotImplementedError

    def _module(self) -> nn.Module:
        heads = [member._head() for member in self.members_]
        head = NearestClass(heads, self.radii_) if heads else self._head()
        return self._on_patches(head)

    def _on_patches(self, head: nn.Module) -> nn.Module:
        """Return the module from images that fill their canvas to what `head` says of patches.

        With a region, the head sees the judged patches alone, (N, 1, P, C).
        """
        features = FeatureModule(self._extractor, self._tail, self.form_, mirrored=self.mirrored)
        parts: list[nn.Module] = [features]
        if self.region_ is not None:
            parts.append(JudgedPatches(self._judged))
        return nn.Sequential(*parts, head.to(self._extractor.device)).eval()

    @property
    def _judged(self) -> Mask:
        """Where images that fill their canvas are judged, (rows, columns)."""
        if self.region_ is None:
            return np.ones(self.form_.shape, bool)
        return judged(self.region_, (1.0, 1.0), self.form_.shape)

    def _patch_head(self) -> nn.Module:
        """Return what `_patch_scores` computes, as a module on patches (N, G, G, C)."""
        raise NotImplementedError

    @property
    def not_exported(self) -> str:
        """Why it cannot be exported: photographs of several sizes need a graph for each size."""
        trained: Any = getattr(self, "trained_on_", None)
        if self.fills_canvas and trained is not None and trained.fit != "stretch":
            return (
                "it looks at photographs of several sizes, each at its own scale, and a graph is "
                "for one size; fit it with a size, or with scale=None and a resolution"
            )
        return ""

    @property
    def fills_canvas(self) -> bool:
        """Whether an exported model scores only photographs that fill their canvas."""
        return self.scale_ is not None

    def _map_module(self) -> nn.Module | None:
        if self.members_:
            return None
        size = (self.modality_.sample_shape[1], self.modality_.sample_shape[2])
        covered, down, across = self._covered(size)
        rows, columns = enlargements(self.form_.shape, covered, self.smoothing, self._spread)
        scores = [self._patch_head()]
        if (placing := self._placing()) is not None:
            scores.append(placing)
        known = self._judged
        shown = None if known.all() else shown_patches(known, covered)
        if shown is not None:
            shown = (shown[0], shown[1][np.ix_(down, across)])
        maps = PatchMaps(rows[down], columns[across], self.form_.shape, shown)
        return self._on_patches(nn.Sequential(*scores, maps))

    def _covered(self, size: tuple[int, int]) -> tuple[tuple[int, int], Positions, Positions]:
        """Return the pixels that the grid covers, and which rows and columns of these are shown.

        Of photographs at their own scale, the last row and column of patches reach beyond them.
        """
        if self.scale_ is None:
            return size, np.arange(size[0]), np.arange(size[1])
        side = (self.form_.stride or 1) / self.scale_
        covered = [max(n, round(side * count)) for n, count in
                   zip(size, self.form_.shape, strict=True)]  # fmt: skip
        off = round(self.backbone_.offset * side)
        down, across = (
            np.clip(np.arange(n) - off, 0, m - 1) for n, m in zip(size, covered, strict=True)
        )
        return (covered[0], covered[1]), down, across

    def _placing(self) -> nn.Module | None:
        """Return what `_placed` computes, as a module; None if it changes nothing."""
        if self.usual_ is None:
            return None
        known = self._judged
        mean, deviation = self.usual_.grids(known)
        return PlacedScores(mean[known], deviation[known])

    def _pooling(self) -> nn.Module:
        pooling = PatchPooling(self.pooling, self.top_share)
        placing = self._placing()
        return pooling if placing is None else nn.Sequential(placing, pooling)

    def _learn_places(self, scores: Floats) -> None:
        """Measure what scores (N, P) are usual at each place, if wanted."""
        self.usual_ = None
        if self.places == "border":
            self.usual_ = UsualScores.of(scores.reshape(len(scores), *self.form_.shape))

    def _placed(self, scores: Floats) -> Floats:
        """Return scores (N, P) as they count at their places."""
        if self.usual_ is None:
            return scores
        return self.usual_(scores.reshape(len(scores), *self.form_.shape)).reshape(scores.shape)

    def _default_stages(self, card: BackboneCard) -> tuple[str, ...]:
        return card.default_patches

    def _resolve_form(self, size: tuple[int, int]) -> Form:
        """Return how patches are made for images of this height and width."""
        card = self.backbone_
        stages = check_stages(
            card,
            card.choose_stages(self._default_stages) if self.stages is None else tuple(self.stages),
        )
        if self.stages is None and self._tail is not None:
            stages = self._stages_in_use[-1:]
        self._check_in_use(stages)
        require_count("neighbourhood", self.neighbourhood, 1)
        require(
            self.neighbourhood % 2 == 1, f"neighbourhood is odd, but got {self.neighbourhood!r}."
        )
        check_pooling(self.pooling, self.top_share)
        require(
            self.places in get_args(Places),
            f'places is "none" or "border", but got {self.places!r}.',
        )
        require(
            self.smoothing is None or (is_real(self.smoothing) and self.smoothing >= 0),
            f"smoothing is a number of pixels or None, but got {self.smoothing!r}.",
        )
        if self.grid is not None:
            require_count("grid", self.grid, 1)
            return Form("patches", stages, self.neighbourhood, int(self.grid))
        if isinstance(self._extractor, PhotoExtractor):
            stride = min(card.stage(name).stride for name in stages)
            rows, columns = self._extractor.grid(size, stride)
            return Form("patches", stages, self.neighbourhood, rows, None, columns, stride)
        resolution = self._extractor.resolution
        strides = [card.stage(name).stride for name in stages]
        stride = max(strides) if max(size) * ENLARGED <= resolution else min(strides)
        return Form("patches", stages, self.neighbourhood, max(1, resolution // stride))

    def _patches(self, X: Array, *, fitting: bool = False, cache: bool = True) -> Features:
        """Return the patches of images, shape (N, P, C); NaN where nothing is to be judged."""
        values = self._extract(X, self.form_, fitting=fitting, cache=cache)
        if self.region_ is not None:
            values = np.array(values)
            for i, image in enumerate(X):
                height, width = image.shape[:2] if self.scale_ is None else content_size(image)
                content = (height / image.shape[0], width / image.shape[1])
                values[i][~judged(self.region_, content, self.form_.shape)] = np.nan
            if np.isnan(values[..., 0]).reshape(len(values), -1).all(axis=1).any():
                raise DataError(
                    "The region leaves nothing to judge of some images: it is smaller than a patch."
                )
        return values.reshape(len(values), -1, values.shape[-1])

    def _pooled(self, scores: Floats) -> Floats:
        """Return the scores of images from those of their patches, (N, P)."""
        return pool_patches(self._placed(scores), self.pooling, self.top_share)

    def _form_meta(self) -> dict[str, Any]:
        return {"form": self.form_.settings(), "scale": self.scale_}

    def _form_arrays(self) -> dict[str, Array]:
        found = {} if self.region_ is None else {REGION: self.region_.astype(np.uint8)}
        return found | ({} if self.classes_ else self._usual_arrays())

    def _usual_arrays(self) -> dict[str, Array]:
        if self.usual_ is None:
            return {}
        return {USUAL: np.stack([self.usual_.mean, self.usual_.deviation])}

    def _set_usual(self, arrays: Mapping[str, Array]) -> None:
        usual = arrays.get(USUAL)
        self.usual_ = None if usual is None else UsualScores(usual[0], usual[1])

    def _restore_form(self, meta: Any, arrays: Mapping[str, Array]) -> None:
        region = arrays.get(REGION)
        self.region_ = None if region is None else region.astype(bool)
        self._set_usual(arrays)
        self.classes_, self.members_, self.radii_ = [], [], np.empty(0)
        scale = meta.get("scale")
        self.scale_ = None if scale is None else float(scale)
        self._restore_backbone(meta, arrays)
        form = dict(meta["form"])
        form["stages"] = tuple(form["stages"])
        self.form_ = Form(**form)
