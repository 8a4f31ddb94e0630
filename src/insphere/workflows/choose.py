"""Which method suits a folder of normal images, found without a labelled anomaly."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insphere.atomic import atomic_path
from insphere.data.cache import cache_dir
from insphere.data.inputs import opened, training_groups, training_images
from insphere.detectors.base.estimator import OneClassDetector
from insphere.detectors.registry import build_detector
from insphere.errors import DataError, InsphereError, SpecError
from insphere.fingerprint import array_fingerprint
from insphere.parsing import ParseError, parse_json
from insphere.resources import return_freed_memory, rows_within
from insphere.scoring.conformal import held_out
from insphere.workflows.choosing.candidates import CANDIDATES, Candidate, applicable, preferred
from insphere.workflows.choosing.challenges import HALVES, Challenge, make_challenges
from insphere.workflows.choosing.judging import Judged, Scores, combined, judge

FEWEST = 20
"""Normal images that a comparison needs."""
HELD, HELD_SHARE = 60, 0.25
"""Most images held out, and the share that is held out of fewer."""
MOST = 600
"""Most images that a candidate is trained on for the comparison."""
MEMBERS = (2, 3)
"""Numbers of candidates that are tried together."""
MINUTES = 10.0
UNKNOWN = (
    "Made-up anomalies stand in for real ones: what your real anomalies look like is not known "
    "here, so label a few as soon as you have them, and compare with insphere evaluate."
)
"""What a choice cannot know."""


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the comparison.

    Parameters
    ----------
    name : str
        Name of the candidate, or names joined by " + ".
    members : tuple of Candidate
        One, or those that are combined.
    judged : Judged
        How well it separates the challenges.
    seconds : float
        For fitting and scoring.
    """

    name: str
    members: tuple[Candidate, ...]
    judged: Judged
    seconds: float

    @property
    def method(self) -> str:
        """Key of the method to fit."""
        return self.members[0].method if len(self.members) == 1 else "combination"

    @property
    def params(self) -> dict[str, Any]:
        """Options of the method to fit."""
        if len(self.members) == 1:
            return dict(self.members[0].params)
        listed = [{"method": one.method, "params": dict(one.params)} for one in self.members]
        return {"members": listed}


@dataclass(frozen=True, eq=False)
class Choice:
    """The outcome of a comparison.

    Parameters
    ----------
    rows : list of Row
        Best first.
    left_out : dict of str to str
        Candidates that were not compared, and why.
    n_train, n_held : int
        Images that the candidates were trained on, and held-out ones.
    seconds : float
        Wall time of this call.
    scores : dict of str to Scores
        Scores of each candidate, for further analysis.
    stopped : bool
        Whether it was interrupted before all candidates were compared.
    """

    rows: list[Row]
    left_out: dict[str, str]
    n_train: int
    n_held: int
    seconds: float
    scores: dict[str, Scores] = field(default_factory=dict)
    stopped: bool = False

    @property
    def best(self) -> Row:
        """The recommended row."""
        return self.rows[0]

    @property
    def sentence(self) -> str:
        """The recommendation and its reason."""
        best, low_high = self.best, self.best.judged.interval
        said = (
            f"Take {best.name}: it tells made-up anomalies from {self.n_held} held-out normal "
            f"images with an AUC of {_percent(best.judged.proxy)} "
            f"({_percent(low_high[0])} to {_percent(low_high[1])})"
        )
        others = [row for row in self.rows[1:] if len(row.members) == 1]
        if not others:
            return f"{said}; nothing else was compared."
        second = max(others, key=lambda row: row.judged.proxy)
        value = _percent(second.judged.proxy)
        if second.judged.proxy > best.judged.proxy:
            marks = best.members[0].draws_maps and not second.members[0].draws_maps
            why = "marks the place" if marks else "is the simpler one"
            return (
                f"{said}; {second.name} has {value}, but the difference may be chance, and "
                f"{best.name} {why}."
            )
        if _not_worse(second, best):
            return f"{said}; {second.name} has {value}, and the difference may be chance."
        return f"{said}, clearly before {second.name} with {value}."

    def detector(self, *, seed: int = 0, **params: Any) -> OneClassDetector:
        """Return the recommended detector, not fitted.

        Parameters
        ----------
        seed : int
            Its ``random_state``.
        **params
            Further parameters, such as `false_alarm_rate`.
        """
        return build_detector(self.best.method, self.best.params | params, seed=seed)

    def table(self) -> list[dict[str, Any]]:
        """Return the comparison as plain values, best first."""
        return [
            {
                "candidate": row.name,
                "method": row.method,
                "params": row.params,
                "proxy_auc": round(row.judged.proxy, 4),
                "interval": [round(value, 4) for value in row.judged.interval],
                "auc": {name: round(value, 4) for name, value in row.judged.auc.items()},
                "seconds": round(row.seconds, 2),
            }
            for row in self.rows
        ]


def choose(
    X: Any,
    *,
    minutes: float = MINUTES,
    candidates: Sequence[Candidate] = CANDIDATES,
    groups: Any = None,
    folder: Path | None = None,
    progress: Callable[[str], None] | None = None,
    seed: int = 0,
) -> Choice:
    """Compare methods on normal images alone, and recommend one.

    A quarter of the images, at most 60, is held out. Anomalies are made from them: nine kinds of
    local damage, turned images, in which nothing is damaged but all is wrong, and digits as
    something far away. Each candidate is trained on the others, and its AUC is measured on each
    kind. The mean over damage and turned images, half each, decides; its interval comes from
    resampled held-out images. Of candidates that are not clearly worse than the best one, the first
    in the list is recommended; for photographs, the first that marks the place. The best two and
    three are also tried together. A candidate that is itself trained on synthetic anomalies is
    trained twice, with half of the kinds, and judged by the other half.

    Parameters
    ----------
    X : array, path or ImageSet
        Normal images, as in the ``fit`` of a detector; at least 20.
    minutes : float
        Time for the comparison, without the final fit. No candidate is started that would probably
        exceed it; the first one always runs.
    candidates : sequence of Candidate
        What is compared, cheapest first.
    groups : array, shape (n,), optional
        Images of one group (one part, one track) are held out together or not at all.
    folder : path, optional
        Where finished candidates are recorded; by default in the cache. The same call continues
        from there.
    progress : callable, optional
        Called with a sentence before and after each candidate.
    seed : int
        Of the split, the anomalies and the candidates.

    Returns
    -------
    Choice

    Raises
    ------
    SpecError
        If there are fewer than 20 images, or no candidate fits them.
    """
    started = time.perf_counter()
    X = opened(X)
    groups = training_groups(X) if groups is None else np.asarray(groups)
    images = _levels(training_images(X))
    if len(images) < FEWEST:
        raise SpecError(
            f"Choosing a method needs at least {FEWEST} normal images, but there are "
            f"{len(images)}; name one with --method instead."
        )
    shape = images.shape[1:]
    fitting, left_out = applicable(candidates, shape, len(images))
    if not fitting:
        raise SpecError(f"No candidate fits: {'; '.join(left_out.values())}.")
    share = min(HELD_SHARE, HELD / len(images))
    mask = held_out(len(images), 0.5, share, seed, groups)
    most = rows_within(images[:1].nbytes, MOST)
    held, train = (
        images[rows[_some(len(rows), limit, seed)]]
        for rows, limit in ((np.flatnonzero(mask), HELD), (np.flatnonzero(~mask), most))
    )
    del X, images  # only what is compared stays in memory
    made = make_challenges(held, train, seed=seed)
    record = _Record(folder, [train, held, *(one.images for one in made)], seed)
    say = progress or (lambda sentence: None)
    files = tempfile.TemporaryDirectory(prefix="insphere-choose-", ignore_cleanup_errors=True)
    challenges = [_Stored(one, Path(files.name)) for one in made]
    del made

    scores: dict[str, Scores] = {}
    seconds: dict[str, float] = {}
    unit: float | None = None
    stopped = False
    try:
        for candidate in fitting:
            known = record.read(candidate)
            if known is None:
                spent = time.perf_counter() - started
                expected = 0.0 if unit is None else unit * candidate.cost
                if unit is not None and spent + expected > 60 * minutes:
                    left_out[candidate.name] = (
                        f"it would take about {expected:.0f} s, more than is left of "
                        f"{minutes:g} minutes"
                    )
                    continue
                say(f"{candidate.name}: fitting to {len(train)} images")
                known = _tried(candidate, train, held, challenges, seed, left_out)
                if known is None:
                    say(f"{candidate.name}: left out, {left_out[candidate.name]}")
                    continue
                record.write(candidate, *known)
                return_freed_memory()
            scores[candidate.name], seconds[candidate.name] = known
            unit = max(unit or 0.0, seconds[candidate.name] / candidate.cost)
            judged = judge(scores[candidate.name], seed)
            say(f"{candidate.name}: AUC {_percent(judged.proxy)}")
    except KeyboardInterrupt:
        if not scores:
            raise
        stopped = True
        for candidate in fitting:
            if candidate.name not in scores:
                left_out.setdefault(candidate.name, "the comparison was stopped before")
    finally:
        files.cleanup()
    if not scores:
        raise SpecError(f"No candidate could be fitted: {'; '.join(left_out.values())}.")
    by_name = {candidate.name: candidate for candidate in preferred(fitting, shape)}
    rows = _rows(by_name, scores, seconds, seed)
    took = time.perf_counter() - started
    return Choice(rows, left_out, len(train), len(held), took, scores, stopped)


def _rows(
    by_name: Mapping[str, Candidate],
    scores: Mapping[str, Scores],
    seconds: Mapping[str, float],
    seed: int,
) -> list[Row]:
    """Judge all candidates and some combinations; best first.

    The first candidate of `by_name` that is not clearly worse than the best one leads: the interval
    of the difference, over the same resampled images, begins at 0 or below. (The rule of one
    standard error of Breiman et al. 1984, "Classification and regression trees", with two.) A
    combination comes before it only if it is clearly better than the best candidate.
    """
    single = [
        Row(name, (by_name[name],), judge(found, seed), seconds[name])
        for name, found in scores.items()
    ]
    single.sort(key=lambda row: -row.judged.proxy)
    by_row = {row.name: row for row in single}
    together = []
    for count in MEMBERS:
        top = single[:count]
        if len(top) == count:
            judged = judge(combined([scores[row.name] for row in top], seed), seed)
            name = " + ".join(row.name for row in top)
            members = tuple(row.members[0] for row in top)
            together.append(Row(name, members, judged, sum(row.seconds for row in top)))
    together.sort(key=lambda row: -row.judged.proxy)
    best = single[0].judged
    better = [
        row for row in together if float(np.quantile(row.judged.draws - best.draws, 0.025)) > 0
    ]
    rest = sorted(
        [*single, *(row for row in together if row not in better)],
        key=lambda row: (-row.judged.proxy, len(row.members)),
    )
    if not better:
        leader = next(row for row in map(by_row.get, by_name) if row and _not_worse(row, single[0]))
        rest.remove(leader)
        rest.insert(0, leader)
    return [*better, *rest]


def _not_worse(row: Row, best: Row) -> bool:
    """Whether a row is not clearly worse: the interval of the difference begins at 0 or below."""
    return float(np.quantile(best.judged.draws - row.judged.draws, 0.025)) <= 0


def _tried(
    candidate: Candidate,
    train: NDArray[np.uint8],
    held: NDArray[np.uint8],
    challenges: Sequence[_Stored],
    seed: int,
    left_out: dict[str, str],
) -> tuple[Scores, float] | None:
    """Fit a candidate and score everything; None if it cannot be fitted."""
    started = time.perf_counter()
    normal: dict[str, NDArray[np.float64]] = {}
    anomalous: dict[str, NDArray[np.float64]] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for params, judged_by in _trials(candidate):
                arguments = dict(candidate.params) | dict(candidate.trial) | params
                detector = build_detector(
                    candidate.method, arguments | {"contamination": 0.0}, seed=seed
                ).fit(train)
                chosen = [one for one in challenges if judged_by is None or one.name in judged_by]
                of_normal = detector.anomaly_score(held)
                for one in chosen:
                    normal[one.name] = of_normal
                    anomalous[one.name] = detector.anomaly_score(one.images)
    except (InsphereError, MemoryError) as error:
        left_out[candidate.name] = str(error) or "there is too little memory"
        return None
    ordered = [one for one in challenges if one.name in anomalous]
    scores = Scores(
        {one.name: normal[one.name] for one in ordered},
        {one.name: anomalous[one.name] for one in ordered},
        {one.name: one.origin for one in ordered},
        {one.name: one.group for one in ordered},
    )
    return scores, time.perf_counter() - started


def _trials(candidate: Candidate) -> Iterator[tuple[dict[str, Any], set[str] | None]]:
    """Yield options, and by which challenges the detector is judged; None for all."""
    if not candidate.learns:
        yield {}, None
        return
    from insphere.workflows.choosing.challenges import FAR, WHOLE

    for seen, judged_by in (HALVES, HALVES[::-1]):
        others = {*WHOLE, *FAR} if seen is HALVES[0] else set()
        yield {"kinds": seen}, {*judged_by, *others}


class _Stored:
    """A challenge whose images lie in a file: anomalies of all kinds take more than the normals."""

    def __init__(self, challenge: Challenge, folder: Path) -> None:
        self.name, self.group, self.origin = challenge.name, challenge.group, challenge.origin
        self._file = folder / f"{challenge.name}.npy"
        np.save(self._file, challenge.images)

    @property
    def images(self) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = np.load(self._file)
        return found


class _Record:
    """Scores of finished candidates, one line of JSON for each."""

    def __init__(self, folder: Path | None, images: Sequence[NDArray[np.uint8]], seed: int) -> None:
        words = [*map(array_fingerprint, images), str(seed)]
        self._data = hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
        place = cache_dir() / "choices" if folder is None else Path(folder)
        self._folder = place / self._data

    def _path(self, candidate: Candidate) -> Path:
        parts = [candidate.method, dict(candidate.params), dict(candidate.trial)]
        text = json.dumps(parts, sort_keys=True, default=str)
        return self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"

    def read(self, candidate: Candidate) -> tuple[Scores, float] | None:
        try:
            saved = parse_json(self._path(candidate).read_bytes())
            normal, anomalous, origin = (
                {str(name): np.array(values) for name, values in saved[part].items()}
                for part in ("normal", "anomalous", "origin")
            )
            found = Scores(normal, anomalous, origin, dict(saved["group"]))
            return found, float(saved["seconds"])
        except (OSError, ParseError, LookupError, TypeError, ValueError, AttributeError):
            return None

    def write(self, candidate: Candidate, scores: Scores, seconds: float) -> None:
        values = {
            "candidate": candidate.name,
            "seconds": seconds,
            "group": scores.group,
            **{
                part: {name: array.tolist() for name, array in getattr(scores, part).items()}
                for part in ("normal", "anomalous", "origin")
            },
        }
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self._path(candidate)) as partial:
                partial.write_text(json.dumps(values), "utf-8")
        except OSError:
            return  # a comparison without a record is only slower to repeat


def _levels(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Return images as uint8, in which synthetic anomalies are made."""
    if images.ndim != 4:
        raise DataError("A method is chosen for images; for tables, name one with --method.")
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    scale = 255 / max(high - low, 1e-12)
    levels: NDArray[np.uint8] = np.rint((images - low) * scale).astype(np.uint8)
    return levels


def _some(n: int, most: int, seed: int) -> NDArray[np.int64]:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng((seed, n)).permutation(n)[:most])


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"
