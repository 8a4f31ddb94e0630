"""``insphere choose``: which method suits a folder of normal images."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insphere.cli import console
from insphere.cli.options import Json, Quiet, Reading, Source, reads_images
from insphere.durations import duration

if TYPE_CHECKING:
    from insphere.workflows.choose import Choice
    from insphere.workflows.fitting import Fit


@reads_images()
def choose(
    source: Source,
    *,
    reading: Reading,
    minutes: Annotated[
        float, typer.Option(help="Time for the comparison, without the final training.", min=0.01)
    ] = 10.0,
    out: Annotated[
        str | None,
        typer.Option(
            help="Also train the winner on all normal images, and save it to this folder.",
            metavar="MODEL",
        ),
    ] = None,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option(help="False-alarm rate of the winner's threshold; see insphere fit."),
    ] = None,
    overwrite: Annotated[
        bool | None,
        typer.Option(
            "--overwrite", help="Replace the model that is in that folder.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare methods on normal images alone, and recommend one.

    A part of the images is held out, and anomalies are made from it: cuts, cracks, stains, folds,
    images in disorder. Each method is trained on the other images, and its AUC on these anomalies
    is measured. Nothing is known of your real anomalies, and nothing is assumed about the
    labels: only normal images are used. Run the same command again to continue a comparison
    that was stopped.

    For example:

        insphere choose photos/good
        insphere choose photos/good --minutes 30 --out model
    """
    from insphere.detectors.model_folder import check_destination
    from insphere.workflows.fit_config import AUTO, make_config
    from insphere.workflows.fitting import choose_for, fit_source

    given = {
        **reading,
        "source": source,
        "method": AUTO,
        "choose_minutes": minutes,
        "false_alarm_rate": false_alarm_rate,
        "out": out,
        "overwrite": overwrite,
    }
    settings, _ = make_config(given)
    show = not quiet and not as_json
    say = console.note if show else None
    bars = None if show else False
    if out is None:
        choice, fitted = choose_for(settings, progress=bars, choosing=say), None
    else:
        check_destination(settings.out, overwrite=settings.overwrite)
        fitted = fit_source(settings, progress=bars, choosing=say)
        fitted.detector.save(settings.out, overwrite=settings.overwrite)
        assert fitted.choice is not None
        choice = fitted.choice
    if as_json:
        console.print_json(_summary(choice, fitted))
    elif not quiet:
        _print(choice, fitted, source)


def _summary(choice: Choice, fitted: Fit | None) -> dict[str, Any]:
    from insphere.workflows.choose import UNKNOWN

    return {
        "recommended": choice.best.method,
        "params": choice.best.params,
        "sentence": choice.sentence,
        "candidates": choice.table(),
        "left_out": choice.left_out,
        "n_train": choice.n_train,
        "n_held": choice.n_held,
        "seconds": round(choice.seconds, 2),
        "unknown": UNKNOWN,
        "model": None if fitted is None else fitted.config.out,
    }


def _print(choice: Choice, fitted: Fit | None, source: str) -> None:
    from rich.table import Table

    from insphere.workflows.choose import UNKNOWN

    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column("candidate")
    for heading in ("AUC on made-up anomalies", "95 % interval", "worst kind", "time"):
        table.add_column(heading, justify="right")
    for row in choice.rows:
        low, high = row.judged.interval
        worst = min(row.judged.auc, key=lambda name: row.judged.auc[name])
        table.add_row(
            row.name,
            f"{100 * row.judged.proxy:.1f}",
            f"{100 * low:.1f} to {100 * high:.1f}",
            f"{worst} {100 * row.judged.auc[worst]:.0f}",
            duration(row.seconds, measured=True),
        )
    console.out.print(table)
    for name, why in choice.left_out.items():
        console.say(f"Left out: {name}, {why}", style="dim")
    console.say(f"\n{choice.sentence}", style="bold")
    console.say(UNKNOWN)
    if fitted is None:
        console.say(f"\nNext: insphere fit {shlex.quote(source)} --method auto", style="bold")
    else:
        model = shlex.quote(fitted.config.out)
        console.say(f"\nNext: insphere score {model} NEW-IMAGES", style="bold")
