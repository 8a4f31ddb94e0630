"""Images a second when training and scoring: ``python benchmarks/speed.py``.

Ours is what a user gets from `DeepSVDD.fit` and `DeepSVDD.anomaly_score` on uint8 arrays. Beside it
stand, in interleaved rounds:

- the limit: forward, backward and Adam step of the same network on a tensor that is already
  preprocessed (float32, channels-last), in the order it lies in memory, in the same process; for
  scoring, a forward pass in inference mode;
- the usual way and PyOD; see `rivals`.

Ratios are taken within each round, so that whatever else the machine does strikes both sides.
Results are merged into ``results/speed.json``.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from insphere import DeepSVDD
from insphere.data.load import load_dataset
from insphere.detectors.base.network_state import SCORING_BATCH
from insphere.nets.build import build_decoder, build_encoder
from insphere.nets.spec import NAMED
from insphere.preprocess.pipeline import to_batch
from insphere.training.callbacks import Callback, Record
from machine import machine, write_json
from rivals import Pixels, Rivals, rivals

RESULTS = Path(__file__).parent / "results" / "speed.json"
BATCH = 200
SIZES = {"mnist": (5923, 40_000), "cifar10": (1000, 2000)}
"""Images to train on (of the first class) and to score (the last of the set) in each round."""

OURS, LIMIT = "insphere", "limit"
GOALS = {
    ("train", LIMIT): 0.90,
    ("pretrain", LIMIT): 0.90,
    ("score", LIMIT): 0.85,
    ("train", "usual"): 3.0,
    ("score", "usual"): 10.0,
}
Seconds = dict[str, dict[str, list[float]]]


def bare_training(name: str, x: Tensor, *, pretrain: bool) -> Callable[[], None]:
    """Return one epoch of nothing but steps on a prepared tensor: what no loop can beat."""
    spec, shape = NAMED[name], (x.shape[1], x.shape[2], x.shape[3])
    torch.manual_seed(0)
    encoder = build_encoder(spec, shape).to(memory_format=torch.channels_last)
    decoder = build_decoder(spec, shape, bounded_output=True).to(memory_format=torch.channels_last)
    parameters = [*encoder.parameters(), *(decoder.parameters() if pretrain else ())]
    optimizer = torch.optim.Adam(parameters, lr=1e-4, weight_decay=0.5e-6, fused=True)
    center = torch.full((spec.rep_dim,), 0.1)
    parts = x.tensor_split(math.ceil(len(x) / BATCH))

    def epoch() -> None:
        for part in parts:
            optimizer.zero_grad(set_to_none=True)
            if pretrain:
                loss = (decoder(encoder(part)) - part).square().flatten(1).sum(dim=1).mean()
            else:
                loss = (encoder(part) - center).square().sum(dim=1).mean()
            loss.backward()
            optimizer.step()

    return epoch


def bare_scoring(detector: DeepSVDD, x: Tensor) -> Callable[[], None]:
    """Return one pass of nothing but forward on a prepared tensor."""
    encoder, center = detector.sphere_.encoder, detector.sphere_.center
    parts = x.split(SCORING_BATCH)

    @torch.inference_mode()
    def run() -> None:
        for part in parts:
            (encoder(part) - center).square().sum(dim=1)

    return run


@torch.no_grad()
def prepared(detector: DeepSVDD, images: Pixels) -> Tensor:
    """Preprocess all images into one float32 tensor, channels-last."""
    preprocessor = detector.sphere_.preprocessor
    parts = [
        preprocessor(to_batch(images[start : start + 1024], torch.device("cpu")))
        for start in range(0, len(images), 1024)
    ]
    return torch.cat(parts).clone(memory_format=torch.channels_last)


def timed(run: Callable[[], Any]) -> float:
    """Return the wall time of one call, in seconds."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


class Interleaved(Callback):
    """After each epoch of a real fit, gives every other contender its turn.

    Parameters
    ----------
    others : dict
        For each phase, contenders by name; each returns the seconds of one epoch.

    Attributes
    ----------
    seconds : dict
        Phase, contender, one value for each epoch.
    """

    def __init__(self, others: Mapping[str, Mapping[str, Callable[[], float]]]) -> None:
        self.others = others
        self.seconds: Seconds = defaultdict(lambda: defaultdict(list))

    def phase_start(self, phase: str, epochs: int, done: int, images: int) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def epoch_end(self, record: Record) -> None:
        """Stop the clock while the others run."""
        taken = self.seconds[record["phase"]]
        taken[OURS].append(time.perf_counter() - self._started)
        for name, run in self.others[record["phase"]].items():
            taken[name].append(run())
        self._started = time.perf_counter()


def measure(name: str, train: Pixels, test: Pixels, rounds: int) -> dict[str, Any]:
    """Measure all contenders on one network; one round more is run first and not counted."""
    first = DeepSVDD(
        recipe="fast",
        encoder=name,
        epochs=1,
        pretrain_epochs=0,
        contamination=0.05,
        random_state=0,
        device="cpu",
    )
    first.fit(train)
    x = prepared(first, train)
    scaling = first.sphere_.preprocessor.steps[-1]
    extremes = (float(scaling.low), float(scaling.high))
    with rivals(torch.get_num_threads(), name, train, test, extremes, BATCH) as away:
        bare = {phase: bare_training(name, x, pretrain=phase == "pretrain")
                for phase in ("pretrain", "train")}  # fmt: skip
        others = {phase: {LIMIT: lambda run=run: timed(run)} for phase, run in bare.items()}
        others["train"] |= _turns(away, "train")
        turns = Interleaved(others)
        detector = DeepSVDD(
            recipe="fast", contamination=0.05,
            encoder=name, epochs=rounds + 1, pretrain_epochs=rounds + 1, batch_size=BATCH,
            callbacks=[turns], random_state=0, device="cpu", precision="float32",
        ).fit(train)  # fmt: skip
        limit = bare_scoring(detector, prepared(detector, test))
        scoring = {
            OURS: lambda: timed(lambda: detector.anomaly_score(test)),
            LIMIT: lambda: timed(limit),
            **_turns(away, "score"),
        }
        for _ in range(rounds + 1):
            for contender, run in scoring.items():
                turns.seconds["score"][contender].append(run())
    counts = {"pretrain": len(train), "train": len(train), "score": len(test)}
    return {
        "images": counts,
        "batch": BATCH,
        "rounds": rounds,
        **{
            task: summary({who: taken[1:] for who, taken in turns.seconds[task].items()}, images)
            for task, images in counts.items()
        },
    }


def _turns(away: Rivals, task: str) -> dict[str, Callable[[], float]]:
    return {rival: lambda rival=rival: away.seconds(rival, task) for rival in away.names}


def summary(seconds: Mapping[str, Sequence[float]], images: int) -> dict[str, Any]:
    """Medians, spread, and how many times as fast as each other contender ours is.

    Parameters
    ----------
    seconds : dict
        Wall time of each round, by contender.
    images : int
        Images of a round.
    """
    rows = {}
    for contender, taken in seconds.items():
        rows[contender] = {"images_per_second": _spread(images / np.array(taken))}
        if contender != OURS:
            rows[contender]["ours_is_faster_by"] = _spread(
                np.array(taken) / np.array(seconds[OURS])
            )
    return rows


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    """Median, least and most, to four digits."""
    found = {"median": np.median(values), "low": values.min(), "high": values.max()}
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def usual(rows: Mapping[str, Any]) -> str | None:
    """Name the faster of the usual ways, by number of workers."""
    names = [name for name in rows if name.startswith("usual")]
    return max(names, key=lambda n: rows[n]["images_per_second"]["median"], default=None)


def table(results: Mapping[str, Any]) -> Table:
    """All numbers beside their goals."""
    out = Table(title="Images a second: median (least to most)")
    for column in ("network", "task", "contender", "images / s", "ours is faster by", "goal"):
        out.add_column(column, justify="left" if column in ("network", "task") else "right")
    for name, found in results.items():
        for task in ("pretrain", "train", "score"):
            rows = found[task]
            for contender, row in rows.items():
                ratio = row.get("ours_is_faster_by")
                goal = GOALS.get((task, "usual" if contender == usual(rows) else contender))
                if name != "mnist" and contender != LIMIT:
                    goal = None
                out.add_row(
                    name, task, contender, _shown(row["images_per_second"], ",.0f"),
                    _shown(ratio, ".2f") if ratio else "", f"≥ {goal:g}" if goal else "",
                )  # fmt: skip
            out.add_section()
    return out


def _shown(values: Mapping[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['low']:{form}} to {values['high']:{form}})"


def main(
    networks: Annotated[list[str] | None, typer.Argument(help="mnist, cifar10 or both.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds that count, at least 5.", min=1)] = 5,
    threads: Annotated[int | None, typer.Option(help="Threads of every contender.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few images, one round.")] = False,
    out: Annotated[Path, typer.Option(help="Where results are merged into.")] = RESULTS,
) -> None:
    """Measure, print the table and write the results."""
    if threads is not None:
        torch.set_num_threads(threads)
    results = json.loads(out.read_text(encoding="utf-8"))["networks"] if out.exists() else {}
    for name in networks or list(SIZES):
        data = load_dataset(name)
        n_train, n_test = (100, 50) if quick else SIZES[name]
        index = np.flatnonzero((data.labels == 0) & ~data.is_test)[:n_train]
        train = np.array(data.images[index])
        test = np.array(data.images[-n_test:])
        found = measure(name, train, test, 1 if quick else rounds)
        results[name] = {"machine": machine("torchvision", "pyod")} | found
        write_json(out, {"networks": results})
    Console().print(table(results))


if __name__ == "__main__":
    typer.run(main)
