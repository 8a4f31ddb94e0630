"""The methods that are compared, cheapest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from insphere.detectors.registry import build_detector, check_installed, method_card
from insphere.errors import InsphereError


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method with its options.

    Parameters
    ----------
    name : str
        Name in tables and in the record of what was compared.
    method : str
        Key of the method.
    params : mapping
        Options that differ from the defaults.
    trial : mapping
        Further options for the comparison only, such as fewer steps.
    cost : float
        Roughly how long it takes, as a multiple of the first candidate.
    sides : (int, int)
        Shortest sides of images, in pixels, for which it is tried.
    fewest : int
        Normal images that it takes. A training of minutes would be repeated for the threshold of
        fewer than 95 (see `insphere.scoring.conformal.usual_calibration`).
    learns : bool
        Whether it is trained on synthetic anomalies. It is then fitted twice, with half of the
        kinds, and judged by the other half.
    """

    name: str
    method: str
    params: Mapping[str, Any] = field(default_factory=dict)
    trial: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 1.0
    sides: tuple[int, int] = (1, 1 << 20)
    fewest: int = 0
    learns: bool = False

    @property
    def draws_maps(self) -> bool:
        """Whether it says where an anomaly is, without covering the image piece by piece."""
        return hasattr(build_detector(self.method, dict(self.params), seed=0), "anomaly_map")


# Patches that know their surroundings, at the photographs' own scale, by distance to the borders.
PLACED: Mapping[str, Any] = {
    "stages": ["s6"],
    "scale": "auto",
    "neighbourhood": 1,
    "pooling": "top",
    "top_share": 0.03,
    "places": "border",
}

CANDIDATES: tuple[Candidate, ...] = (
    Candidate(name="feature-knn", method="feature-knn"),
    Candidate(name="feature-mahalanobis", method="feature-mahalanobis"),
    Candidate(
        name="feature-mahalanobis s5+s6",
        method="feature-mahalanobis",
        params={"stages": ["s5", "s6"], "statistic": "both"},
    ),
    Candidate(name="knn", method="knn", cost=0.5, sides=(1, 64)),
    Candidate(name="patch-gaussian", method="patch-gaussian", cost=4, sides=(48, 1 << 20)),
    Candidate(
        name="patch-gaussian s6",
        method="patch-gaussian",
        params={"stages": ["s6"]},
        cost=2,
        sides=(48, 1 << 20),
    ),
    Candidate(
        name="patch-memory s6",
        method="patch-memory",
        params={**PLACED, "reweighting": 9},
        cost=4,
        sides=(48, 1 << 20),
    ),
    Candidate(name="patch-memory", method="patch-memory", cost=4, sides=(48, 1 << 20)),
    Candidate(
        name="fpsvdd whitened",
        method="fpsvdd",
        params={**PLACED, "start": "whitened"},
        cost=5,
        sides=(48, 1 << 20),
    ),
    Candidate(
        name="patch-discriminator",
        method="patch-discriminator",
        trial={"copies": 2},
        cost=30,  # 29 on 200 photos of 640×480, measured on two cores
        sides=(48, 1 << 20),
        fewest=120,
        learns=True,
    ),
    Candidate(name="deep-svdd", method="deep-svdd", cost=4, sides=(1, 64)),
    Candidate(
        name="segmentation",
        method="segmentation",
        trial={"steps": 600},
        cost=20,
        sides=(48, 1 << 20),
        fewest=120,
        learns=True,
    ),
)
"""All candidates. A new one is a line here. Of those that cannot be told apart, the first is
recommended (see `preferred`); so a control such as the distance on pixels stands after what it
controls."""
SMALL_SIDE = 64
"""Images with a longer shorter side are photographs, in which a place can be shown."""


def preferred(candidates: Sequence[Candidate], shape: Sequence[int]) -> list[Candidate]:
    """Order candidates by which is recommended where they cannot be told apart.

    Parameters
    ----------
    candidates : sequence of Candidate
        The simplest first.
    shape : (H, W, C)
        Of the images. For photographs, candidates that mark the place come first.
    """
    photographs = min(shape[:2]) > SMALL_SIDE
    return sorted(candidates, key=lambda one: photographs and not one.draws_maps)


def applicable(
    candidates: Sequence[Candidate], shape: Sequence[int], n: int
) -> tuple[list[Candidate], dict[str, str]]:
    """Select the candidates for some images.

    Parameters
    ----------
    candidates : sequence of Candidate
        Of any kind.
    shape : (H, W, C)
        Of the images.
    n : int
        Number of normal images.

    Returns
    -------
    fitting : list of Candidate
        In the same order.
    left_out : dict of str to str
        Why each of the others is not tried.
    """
    fitting, left_out = [], {}
    side = min(shape[:2])
    for candidate in candidates:
        card = method_card(candidate.method)
        if not candidate.sides[0] <= side <= candidate.sides[1]:
            left_out[candidate.name] = (
                f"it is for images with sides of {candidate.sides[0]} pixels and more"
                if side < candidate.sides[0]
                else f"it is for images with sides of at most {candidate.sides[1]} pixels"
            )
        elif n < candidate.fewest:
            left_out[candidate.name] = f"it takes at least {candidate.fewest} normal images"
        elif "images" not in card.takes or card.needs_labels:
            left_out[candidate.name] = "it needs labels"
        else:
            try:
                check_installed(candidate.method)
            except InsphereError as error:
                left_out[candidate.name] = str(error)
            else:
                fitting.append(candidate)
    return fitting, left_out
