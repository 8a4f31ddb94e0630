"""``insphere demo``."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Kind, Quiet

if TYPE_CHECKING:
    from rich.table import Table

    from insphere.experiments.demo import Demo
    from insphere.modalities.modality import Modality


def demo(
    digit: Annotated[int, typer.Option(help="The normal digit.", min=0, max=9)] = 3,
    kind: Kind = None,
    seed: Annotated[
        int, typer.Option(help="Seed: the number that all randomness starts from.", min=0)
    ] = 0,
    out: Annotated[
        Path, typer.Option(help="Folder for the model and the report.", metavar="FOLDER")
    ] = Path("insphere-demo"),
    open_it: Annotated[
        bool, typer.Option("--open", help="Open the report in the browser.", show_default=False)
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train on one handwritten digit and find the others: a tour of about a minute.

    The demo trains Deep SVDD and five other methods on real MNIST digits, and compares them. It
    saves the model and writes a report, one HTML page that opens offline. Nothing is downloaded.

    For example:

        insphere demo
        insphere demo --digit 8 --open
        insphere demo --kind table
        insphere demo --kind text
    """
    if kind is not None:
        from insphere.modalities.load import kind_named

        if (wanted := kind_named(kind)).key != "images":
            _kind_demo(wanted, out, seed=seed, open_it=open_it, as_json=as_json, quiet=quiet)
            return
    from insphere.experiments.demo import demo_data, run_demo
    from insphere.training.progress_bar import ProgressBar

    data, fallback = demo_data()
    if fallback:
        console.note(f"Note: {fallback}")
    if not quiet:
        console.note(
            f"{len(data):,} real digits ({data.name}): {digit} is normal, the other nine are "
            "anomalous.\nNo method sees an anomalous digit during training.\n"
        )
    result = run_demo(
        data,
        out,
        digit=digit,
        seed=seed,
        callbacks=[] if quiet else [ProgressBar()],
        started=(lambda title: None) if quiet else (lambda title: console.note(f"· {title}")),
    )
    if as_json:
        values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(result).items()}
        console.print_json(values | {"note": fallback or None})
    elif not quiet:
        _print_result(result, out)
    if open_it:
        console.open_in_browser(result.report)


def _kind_demo(
    kind: type[Modality], out: Path, *, seed: int, open_it: bool, as_json: bool, quiet: bool
) -> None:
    """Run the demo of another kind of data than images."""
    from insphere.cli.score_output import print_scores
    from insphere.experiments.demo import run_kind_demo

    result = run_kind_demo(
        kind,
        out,
        seed=seed,
        started=(lambda title: None) if quiet else (lambda title: console.note(f"· {title}")),
    )
    if as_json:
        console.print_json(
            {
                "dataset": result.data.name,
                "normal": result.normal,
                "rows": result.rows,
                "n_test": len(result.scored),
                "model": str(result.model),
                "report": str(result.report),
            }
        )
    elif not quiet:
        console.say("")
        console.out.print(_methods_table(result.rows))
        console.say("")
        print_scores(result.scored, None)
        console.say(f"\nReport: {console.shown(result.report)}  (one file, opens offline)")
        console.say(f"Model:  {console.shown(result.model)}")
    if open_it:
        console.open_in_browser(result.report)


def _methods_table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("method", no_wrap=True)
    columns = {"auc": max, "average_precision": max, "fpr_at_95_tpr": min}
    for title in ("AUC", "avg. precision", "FPR at 95 % TPR", "seconds"):
        table.add_column(title, justify="right")
    best = {key: pick(row[key] for row in rows) for key, pick in columns.items()}
    for row in rows:
        cells = [
            f"[bold green]{100 * row[key]:.1f} %[/]"
            if row[key] == best[key]
            else f"{100 * row[key]:.1f} %"
            for key in columns
        ]
        table.add_row(row["name"], *cells, f"{row['seconds']:.1f}")
    return table


def _print_result(result: Demo, out: Path) -> None:
    console.say("")
    console.out.print(_methods_table(result.rows))
    console.explain(
        f"\nTrained on {result.n_train:,} images of the digit {result.digit}, tested on "
        f"{result.n_test:,} other images. AUC is the chance that an anomalous digit scores higher "
        "than a normal one. The untrained network and the nearest neighbours on pixels are "
        "controls: training is worth something only if it beats them. Before it encloses the "
        "digit, the network learned from the same images how they had been turned and shifted."
    )
    for finding in result.findings:
        console.explain(f"Collapse guard: {finding}")
    console.say("")
    rows: dict[str, Any] = {
        "Report": f"{console.shown(result.report)}  (one file, opens offline)",
        "Model": console.shown(result.model),
        "Settings": console.shown(result.spec),
    }
    for name, text in rows.items():
        console.say(f"{name + ':':<10}{text}")
    model = shlex.quote(console.shown(result.model))
    other = (result.digit + 5) % 10
    console.say("\nTry next:", style="bold")
    for command, what in (
        (f"insphere demo --digit {other}", "another normal digit"),
        (f"insphere score {model} {result.dataset}", "the score of each image"),
        ("insphere fit FOLDER --size 64 --out my-model", "train on your own images"),
        ("insphere score my-model NEW-IMAGES --out scores.csv", "score new images"),
        (_studio(), "all of this in a browser"),
    ):
        console.say(f"  {command:<52} {what}")


def _studio() -> str:
    """Return the command that opens the studio; the command that installs it first, if missing."""
    there = find_spec("nicegui") is not None and find_spec("sqlalchemy") is not None
    return "insphere studio" if there else 'pip install "insphere[studio]" && insphere studio'
