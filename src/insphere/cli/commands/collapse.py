"""``insphere collapse``: train networks that collapse, and some that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from insphere.atomic import write_whole
from insphere.cli import console
from insphere.cli.options import Json
from insphere.errors import SpecError


def collapse(
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="Scenario: plain, bias, bounded, zero-centre, affine, variance, vicreg or noise. "
            "Repeat it for several (default: all).",
            metavar="NAME",
        ),
    ] = None,
    dataset: Annotated[str, typer.Option(help="Name of a data set, or path.")] = "digits-8x8",
    normal: Annotated[str, typer.Option(help="Name of the normal class.")] = "3",
    epochs: Annotated[int, typer.Option(help="Epochs: passes over the training images.")] = 100,
    batch_norm: Annotated[
        bool,
        typer.Option("--batch-norm", help="Use batch norm, which makes a collapse slower."),
    ] = False,
    seeds: Annotated[int, typer.Option(help="Number of seeds for each scenario.")] = 1,
    out: Annotated[
        str | None,
        typer.Option(
            help="Add the results to this file. Runs that are in it already are not repeated.",
            metavar="FILE.jsonl",
        ),
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option(help="Draw radius and AUC by epoch into this file.", metavar="FILE.svg"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how the sphere of Deep SVDD collapses, and what prevents it.

    A collapsed network maps every image to the same point, so it finds no anomalies. This command
    trains networks with and without the causes of a collapse, and compares them. Elsewhere
    insphere refuses networks with these causes: bias terms, bounded activations, a centre of zero
    and affine shifts.

    For example:

        insphere collapse --scenario plain --scenario bias --figure collapse.svg
    """
    from insphere.experiments.analysis.collapse_study import SCENARIOS, collapse_run, summary
    from insphere.experiments.store.jsonl_rows import append_row, read_rows

    names = list(scenario or SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise SpecError(f"Unknown scenario {unknown[0]}; use one of {', '.join(SCENARIOS)}.")
    if epochs < 1 or seeds < 1:
        raise SpecError("--epochs and --seeds take whole numbers from 1 upwards.")
    if figure is not None and not figure.lower().endswith(".svg"):
        raise SpecError(f"Name a file ending in .svg for the figure, not {figure}.")
    there = [] if out is None else read_rows(Path(out))
    rows: list[dict[str, Any]] = []
    for name in names:
        for seed in range(seeds):
            settings: dict[str, Any] = {
                "dataset": dataset, "epochs": epochs, "batch_norm": batch_norm, "seed": seed,
            }  # fmt: skip
            wanted = settings | {"scenario": name, "normal": [normal]}
            row = next((r for r in there if wanted.items() <= r.items()), None)
            if row is None:
                if not as_json:
                    console.note(f"{SCENARIOS[name].title}, seed {seed} …")
                row = collapse_run(name, normal=normal, **settings)
                if out is not None:
                    append_row(Path(out), row)
            rows.append(row)
    if figure is not None:
        _draw(rows, Path(figure))
    if as_json:
        console.print_json({"rows": [summary(row) | {"seed": row["seed"]} for row in rows]})
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("network")
    for title in ("radius / start", "AUC before", "AUC after", "guard"):
        table.add_column(title, justify="left" if title == "guard" else "right")
    for row in rows:
        values = summary(row)
        table.add_row(
            values["title"],
            f"{values['radius_share']:.2g}",
            f"{100 * values['auc_start']:.1f} %",
            f"{100 * values['auc_end']:.1f} %",
            _guard(values),
        )
    console.out.print(table)
    if figure is not None:
        console.say(f"Figure: {console.shown(figure)}")


def _guard(values: dict[str, Any]) -> str:
    if values["refused"]:
        return "refuses the network"
    epoch = values["guard_epoch"]
    return "does not stop it" if epoch is None else f"stops in epoch {epoch}"


def _draw(rows: list[dict[str, Any]], path: Path) -> None:
    from insphere import figures

    first = [row for row in rows if row["seed"] == 0]
    shown = [row for row in first if not row["remedy"]] or first
    write_whole(path, figures.to_svg(figures.collapse_curves(shown[:6])))
