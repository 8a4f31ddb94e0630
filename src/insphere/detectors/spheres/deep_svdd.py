"""Deep SVDD as a scikit-learn outlier estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from insphere.detectors.base.class_labels import classes_of_normals
from insphere.detectors.base.how_to_train import how_to_train
from insphere.detectors.base.method_card import MethodCard
from insphere.detectors.base.network_state import (
    arrays_of,
    batched,
    best_encoder,
    encoder_spec,
    load_arrays,
    matching_weights,
    preprocess_steps,
    settings,
)
from insphere.detectors.base.parameters import parameters
from insphere.detectors.base.trained_network import TrainedNetworkDetector
from insphere.detectors.base.weights import WeightedDetector
from insphere.errors import DataError, SpecError
from insphere.modalities.modality import Modality
from insphere.nets.fold import folded
from insphere.nets.ranks import ranks
from insphere.nets.spec import EncoderSpec
from insphere.nets.sphere import Sphere
from insphere.preprocess.pipeline import Preprocessor
from insphere.training.deep_svdd import SphereSpec, TrainedSphere, train_sphere
from insphere.training.device import resolve_device
from insphere.training.heads.center import Center
from insphere.training.heads.centers import Centers
from insphere.training.heads.head import Head, HeadSpec
from insphere.training.heads.parse import parse_head
from insphere.training.memory import keep_freed_memory
from insphere.training.objectives import radius_quantile
from insphere.training.pollution import Pollution, parse_pollution
from insphere.training.pretraining.parse import parse_pretraining
from insphere.training.pretraining.pretraining import Pretraining
from insphere.training.pretraining.with_views import PretrainingWithViews
from insphere.training.recipe import FAST, Recipe, is_for_best, parse_recipe
from insphere.training.regularizers import Regularizers
from insphere.training.step_memory import fitting_recipe
from insphere.training.training_set import TrainingSet


@parameters
class DeepSVDD(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    WeightedDetector,
    TrainedNetworkDetector,
):
    """Deep Support Vector Data Description (Ruff et al. 2018, "Deep One-Class Classification").

    A network φ(x; W), the encoder, is trained to map normal samples close to a fixed centre c. The
    anomaly score is the squared distance ‖φ(x) − c‖². Of images, the default recipe trains φ to
    tell how they were turned and shifted, and the score combines distances from the normal ones;
    ``recipe="fast"`` or "paper" is the method of the paper.

    Parameters
    ----------
    objective : {"one-class", "soft-boundary"}, default="one-class"
        Mean squared distance from the centre (equation 4), or a sphere with a radius that a share
        `nu` of the training samples may exceed (equation 3).
    nu : float, default=0.1
        ν in (0, 1]: the share of normal training samples outside the soft boundary. It also
        determines `radius_` for both objectives.
    encoder : str, EncoderSpec, dict or None, default=None
        "mnist", "cifar10", "gtsrb", "resnet18", "compact", a spec, or None for the default for the
        shape of the samples. A dict is a complete spec. With ``"base"`` set to one of these names,
        or to "auto" for the default, it holds changes to that encoder:
        ``{"base": "auto", "residual": True}``.
    preprocess : str, sequence or None, default=None
        Steps by name or spec, such as ``["gcn", "zca"]``; None is the paper's contrast
        normalisation and min-max for images, and standardised columns for tables.
    recipe : {"best", "fast", "paper"} or Recipe, default="best"
        Schedule of pretraining and training. "best" is for images: unless they are given, it also
        chooses the encoder "compact", the pretraining "rotation" and the head "combined", which is
        fitted and not trained. What cannot have that head (classes, weights of samples, the soft
        boundary, pollution, regularizers or a rate `lr`) gets a sphere around the pretrained
        encoder, trained as in "fast". Everything is as in "fast" for tables, for images of fewer
        than 8 pixels a side, without a pretraining that tells views of an image apart
        (``pretrain_epochs=0``, ``pretraining=None`` or "autoencoder"), and with a number of
        `epochs`, unless pretraining or head are named too.
    epochs, pretrain_epochs : int, optional
        Override the recipe's numbers of epochs; ``pretrain_epochs=0`` starts from random weights.
    lr : float, optional
        Override the recipe's learning rate of the one-class phase.
    batch_size : int, optional
        Override the recipe's batch size of both phases.
    radius_update : {"epoch", "batch"}, default="epoch"
        When the soft-boundary radius is updated; see `insphere.training.objectives.Hypersphere`.
    contamination, false_alarm_rate, calibration
        How the threshold is placed; see `OneClassDetector`.
    device : str, default="auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Number format of the network; "auto" uses bfloat16 if the processor has it and the
        network is wide enough to be faster with it.
    checkpoint_dir : path, optional
        Folder for a checkpoint after each epoch. Fitting the same data with the same settings
        again continues from it. Detectors that differ only in their objective use the same
        pretrained encoder.
    regularizers : Regularizers, dict or None, default=None
        Weights of terms that prevent a collapse, such as ``{"variance": 1.0}``. With a weight on
        the variance, bias terms are allowed. See `insphere.training.regularizers`.
    pretraining : str, Pretraining, dict or None, default="auto"
        How the encoder is pretrained, for the recipe's epochs of pretraining: a kind of
        `insphere.training.pretraining.table.PRETRAININGS`, its settings as a dict with ``"kind"``,
        or None to start from random weights, as ``pretrain_epochs=0`` does. "auto" is what the
        recipe chooses: "rotation" in "best", else the autoencoder.
    head : str, HeadSpec or dict, default="auto"
        What encloses the representations: a kind of `insphere.training.heads.table.HEADS`, or its
        settings. "auto" is what the recipe chooses: "combined" in "best", else one centre, or one
        for each class if `fit` gets classes of the normal samples.
        ``{"kind": "centers", "n_centers": 5}`` finds several centres without classes.
    pollution : float, Pollution, dict or None, default=None
        Share of the training samples that are assumed to be anomalous, in (0, 0.5), if the normals
        are not clean. As a dict it also has the ``"form"`` of treating them: "refine", "soft" or
        "hard"; see `insphere.training.pollution`.
    allow_collapse : bool, default=False
        Allow networks that can collapse, and do not stop the training when they do.
    callbacks : sequence of Callback, default=()
        Objects that follow the training; see `insphere.training.callbacks`.
    verbose : bool, default=False
        Show progress in the terminal.
    random_state : int, RandomState or None, default=None
        Seed of all randomness, which is used in `fit` only.

    Attributes
    ----------
    center_ : ndarray, shape (rep_dim,)
        The centre c; missing for heads without a single centre.
    classes_ : list
        Classes of the normal samples, in the order of the centres; empty without classes.
    radius_ : float
        Radius that leaves a share `nu` of the normal training samples outside: the optimal R of
        the soft-boundary objective for the trained weights.
    history_ : list of dict
        One record for each epoch: phase, epoch, loss, lr, radius, outside (share), spread,
        score_spread, effective_rank, dead_units, seconds, images_per_second.
    guard_findings_ : list of str
        Messages of the collapse guard.
    spec_ : SphereSpec
        All settings, with the defaults filled in.
    sphere_ : Sphere
        The torch module that maps images, or rows on `column_scale_`, to squared distances.
    offset_, threshold_, score_mean_, score_std_
        See `OneClassDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> from insphere import DeepSVDD
    >>> normal = np.random.default_rng(0).normal(size=(200, 8))
    >>> detector = DeepSVDD(random_state=0).fit(normal)
    >>> detector.predict(np.vstack([normal[:3], 8 + normal[:2]]))
    array([ 1,  1,  1, -1, -1])
    """

    card = MethodCard(
        key="deep-svdd",
        title="Deep SVDD",
        family="sphere",
        summary="trains a network on normal images, and says how far others are from them",
        has_options=True,
        takes_classes=True,
    )

    recipe: str | Recipe | Mapping[str, Any] = "best"
    objective: Literal["one-class", "soft-boundary"] = "one-class"
    nu: float = 0.1
    pretrain_epochs: int | None = None
    radius_update: Literal["epoch", "batch"] = "epoch"
    regularizers: Regularizers | Mapping[str, Any] | None = None
    pretraining: str | Pretraining | Mapping[str, Any] | None = "auto"
    head: str | HeadSpec | Mapping[str, Any] = "auto"
    pollution: float | Pollution | Mapping[str, Any] | None = None
    allow_collapse: bool = False

    _takes: ClassVar[tuple[str, ...]] = ("labels", "weights")
    _uses_labels: ClassVar[bool] = False

    # ------------------------------------------------------------------ public

    def fit(  # type: ignore[override]  # see WeightedDetector
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        strata: Any = None,
        sample_weight: Any = None,
    ) -> Self:
        """Train on normal samples and place the threshold.

        Parameters
        ----------
        X, groups, strata, sample_weight
            As in `OneClassDetector.fit` and `WeightedDetector.fit`.
        y : array, shape (n,), optional
            Class of each normal sample, such as a product or a camera: whole numbers or strings.
            With two classes or more there is one centre and one radius for each, on one encoder.
            The score is then the squared distance to the nearest sphere in units of its radius.

        Returns
        -------
        self
        """
        return super().fit(X, y, groups=groups, strata=strata, sample_weight=sample_weight)

    def predict_class(self, X: Any) -> NDArray[Any]:
        """Return the class whose sphere is nearest, in units of its radius.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images or rows of the same shape as the training samples.

        Returns
        -------
        ndarray, shape (n,)
            Classes as they were given to `fit`; without classes, positions of the centres.

        Raises
        ------
        SpecError
            If there is only one centre.
        """
        nearest = self.class_scores(X).argmin(axis=1)
        found: NDArray[Any] = np.asarray(self._class_names())[nearest]
        return found

    def class_scores(self, X: Any) -> NDArray[Any]:
        """Return the squared distance to each sphere in units of its radius.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images or rows of the same shape as the training samples.

        Returns
        -------
        ndarray, shape (n, n_classes)
            In the order of `classes_`. The smallest of a row is the anomaly score.

        Raises
        ------
        SpecError
            If there is only one centre.
        """
        scorer, head = self._scorer, self._several_centers(self._scorer)
        return batched(
            self._read(X), lambda x: head.scaled(scorer.represent(x)), scorer, self.precision
        )

    def add_class(self, X: Any, name: Any) -> Self:
        """Add the sphere of another normal class; encoder, threshold and other spheres stay.

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Normal samples of the new class, at least two.
        name : int or str
            Its name, of the same type as the other classes.

        Returns
        -------
        self

        Raises
        ------
        SpecError
            If there is only one centre, or the class exists.
        DataError
            If there are fewer than two samples.
        """
        names = self._class_names()
        head = self._several_centers(self.sphere_)
        if name in names:
            raise SpecError(f"There is a class {name!r} already; give the new one another name.")
        z = torch.from_numpy(self.transform(X)).to(head.centers)
        if len(z) < 2:
            raise DataError(f"A class needs at least two samples, but {name!r} has {len(z)}.")
        head.add(z)
        self.classes_ = [*names, name]
        self._scorer = folded(self.sphere_)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the representations φ(x).

        Parameters
        ----------
        X : array, tensor, path or ImageSet
            Images or rows of the same shape as the training samples.

        Returns
        -------
        ndarray, shape (n, rep_dim)
            float32 for images, float64 for tables.
        """
        check_is_fitted(self)
        scorer, width = self._scorer, self._n_features_out

        def upright(x: Tensor) -> Tensor:
            return scorer.represent(x)[:, :width]  # other views of it follow, if there are any

        return batched(self._read(X), upright, scorer, self.precision)

    def takes_best(self, shape: tuple[int, ...]) -> bool:
        """Whether the choices of the recipe "best" apply to samples of a shape.

        Parameters
        ----------
        shape : tuple of int
            (C, H, W) of images, or (F,).
        """
        if self.recipe != "best" or not is_for_best(shape) or self.pretrain_epochs == 0:
            return False
        if self.epochs and self.pretraining == self.head == "auto" and not self._uses_labels:
            return False  # a few steps around such a network are worse than none
        if self.pretraining in ("auto", None):
            return self.pretraining == "auto"
        with settings():
            return isinstance(parse_pretraining(self.pretraining), PretrainingWithViews)

    def encoder_for(self, modality: Modality) -> EncoderSpec:
        """Return the settings of the network for samples of a kind and shape."""
        best = self.takes_best(modality.sample_shape)
        return encoder_spec(best_encoder(self.encoder) if best else self.encoder, modality)

    def trains_head(self, shape: tuple[int, ...]) -> bool:
        """Whether a phase of one-class training follows the pretraining.

        Parameters
        ----------
        shape : tuple of int
            (C, H, W) of images, or (F,).
        """
        with settings():
            return not self._head(self.takes_best(shape)).views

    def _module(self) -> nn.Module:
        return self.sphere_

    # ------------------------------------------------------------------ OneClassDetector

    def _read_labels(self, y: Any) -> tuple[NDArray[np.int64] | None, NDArray[np.bool_] | None]:
        self.classes_, codes = classes_of_normals(y)
        return codes, None

    def _fit(
        self,
        X: NDArray[Any],
        *,
        labels: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> NDArray[Any]:
        keep_freed_memory()
        spec = self._resolve(bool(self.classes_), weights is not None)
        form, head = (
            spec.pretraining.for_samples(X),
            spec.head.for_shape(self.modality_.sample_shape),
        )
        if (form, head) != (spec.pretraining, spec.head):
            spec = spec.model_copy(update={"pretraining": form, "head": head})
        normal = None if spec.labelled is None or labels is None else labels >= 0
        trained = self._train(TrainingSet(X, labels, None, weights, normal), spec)
        self._adopt(spec, trained)
        known = trained.scores
        distances = self._training_scores(X) if known is None else known.numpy()
        of_normals = distances if normal is None else distances[normal]
        self.radius_ = float(radius_quantile(torch.from_numpy(of_normals), spec.nu))
        return distances

    def _train(self, train: TrainingSet, spec: SphereSpec) -> TrainedSphere:
        return train_sphere(train, spec, **how_to_train(self))

    def _anomaly_score(self, X: NDArray[Any]) -> NDArray[Any]:
        return batched(X, self._scorer, self._scorer, self.precision)

    def _training_scores(self, X: NDArray[Any]) -> NDArray[Any]:
        scorer = self._scorer
        head = scorer.head
        assert isinstance(head, Head)
        return batched(X, lambda x: head.as_if_new(scorer.represent(x)), scorer, self.precision)

    def _state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        meta = {
            "spec": self.spec_.model_dump(mode="json"),
            "radius": self.radius_,
            "history": self.history_,
            "guard_findings": self.guard_findings_,
            **({"classes": self.classes_} if self.classes_ else {}),
        }
        return arrays_of(self.sphere_), meta

    def _set_state(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        device = resolve_device(self.device)
        with matching_weights():
            spec = SphereSpec.model_validate(meta["spec"])
            shape = self.modality_.sample_shape
            encoder, head = spec.build_networks(shape)
            sphere = Sphere(Preprocessor(spec.preprocess, shape), encoder, head)
            load_arrays(sphere, arrays, device)
        findings = list(meta["guard_findings"])
        self._adopt(spec, TrainedSphere(sphere, list(meta["history"])), findings)
        self.radius_ = float(meta["radius"])
        self.classes_ = list(meta.get("classes", ()))

    # ------------------------------------------------------------------ inside

    def _adopt(
        self, spec: SphereSpec, trained: TrainedSphere, findings: list[str] | None = None
    ) -> None:
        self.spec_ = spec
        self.sphere_ = trained.sphere
        self._scorer = folded(trained.sphere)
        self.history_ = trained.history
        self.guard_findings_ = trained.findings if findings is None else findings
        if isinstance(trained.sphere.head, Center):
            self.center_ = trained.sphere.center.cpu().numpy()
        self._n_features_out = spec.encoder.rep_dim

    def _class_names(self) -> list[Any]:
        check_is_fitted(self)
        return self.classes_ or list(range(len(self._several_centers(self.sphere_).centers)))

    def _several_centers(self, sphere: Sphere) -> Centers:
        check_is_fitted(self)
        if not isinstance(sphere.head, Centers):
            raise SpecError(
                "This detector has one centre and knows no classes: give fit the class of each "
                'normal sample as y, or take head="centers".'
            )
        return sphere.head

    def _head(self, best: bool, several: bool = False, weighted: bool = False) -> HeadSpec:
        """Return the settings of the head; see `_resolve`."""
        if self.head != "auto":
            return parse_head(self.head)
        if best and not (several or weighted or self._needs_a_sphere()):
            return parse_head("combined")
        return parse_head("centers" if several else "center")

    def _needs_a_sphere(self) -> bool:
        """Whether something was asked for that a head which is not trained cannot do."""
        trained = (self.pollution, self.regularizers, self.epochs, self.lr)
        soft = self.objective != "one-class"
        return self._uses_labels or soft or any(asked is not None for asked in trained)

    def _resolve(self, several: bool = False, weighted: bool = False) -> SphereSpec:
        """Return the constructor's arguments as one spec.

        Parameters
        ----------
        several : bool
            Whether the normal samples have classes.
        weighted : bool
            Whether the samples have weights.
        """
        shape = self.modality_.sample_shape
        best = self.takes_best(shape)
        if best and ranks() > 1:
            raise SpecError(
                "The recipe best trains in one process: start it without torchrun, or take "
                "recipe=fast."
            )
        recipe = FAST if self.recipe == "best" and not best else parse_recipe(self.recipe)
        pretrain = {"epochs": self.pretrain_epochs, "batch_size": self.batch_size}
        train = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        pretraining = self.pretraining
        if pretraining is None:
            pretrain["epochs"] = 0
        if pretraining in ("auto", None):
            pretraining = "rotation" if best else "autoencoder"
        steps = preprocess_steps(self.preprocess, self.modality_)
        with settings():
            given = self.regularizers
            if isinstance(given, Mapping):
                given = Regularizers.model_validate(dict(given))
            enclosing = self._head(best, several, weighted)
            if best and not enclosing.views:
                recipe = recipe.model_copy(update={"train": FAST.train})
            if enclosing.views and self.epochs:
                raise SpecError(
                    "A head that compares several views is fitted and not trained: leave out "
                    "epochs, or take head=center."
                )
            if enclosing.views:
                train["epochs"] = 0
            encoder = self.encoder_for(self.modality_)
            resolved = recipe.override(pretrain=pretrain, train=train)
            if self.batch_size is None:
                named = "fast" if self.recipe == "best" else self.recipe
                resolved = fitting_recipe(named, resolved, encoder, shape, self.n_train_)
            return SphereSpec(
                encoder=encoder,
                preprocess=steps,
                recipe=resolved,
                objective=self.objective,
                nu=self.nu,
                radius_update=self.radius_update,
                allow_collapse=self.allow_collapse,
                regularizers=given,
                pretraining=parse_pretraining(pretraining),
                head=enclosing,
                pollution=parse_pollution(self.pollution),
            )
