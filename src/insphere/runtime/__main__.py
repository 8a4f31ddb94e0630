"""``python -m insphere.runtime model.onnx SOURCE``: scores as CSV or JSON lines."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from typing import Any

from insphere.errors import InsphereError
from insphere.runtime.scorer import Scorer, Scores

COLUMNS = ("name", "score", "verdict", "p_value", "severity", "z_score")


def rows_of(found: Scores) -> list[dict[str, Any]]:
    """Return the scores as rows of JSON values; what a model does not have is None."""

    def column(values: Any) -> list[Any]:
        return [None] * len(found) if values is None else values.tolist()

    verdicts = [
        None if v is None else "anomalous" if v else "normal" for v in column(found.verdicts)
    ]
    columns = (
        *(found.names, column(found.scores), verdicts, column(found.p_values)),
        *(column(found.severities), column(found.z_scores)),
    )
    return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Score a folder with an exported model; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m insphere.runtime",
        description="Score images or rows with a model that insphere export wrote.",
    )
    parser.add_argument("model", metavar="MODEL.onnx", help="the exported model")
    parser.add_argument(
        "source", metavar="SOURCE", help="folder, zip or image file; or a CSV or Parquet file"
    )
    parser.add_argument("--threshold", type=float, help="instead of the threshold of the model")
    parser.add_argument("--group", help="what they belong to, such as a camera, if it is known")
    parser.add_argument("--threads", type=int, help="threads for one batch")
    parser.add_argument("--json", action="store_true", help="a JSON object a line instead of CSV")
    given = parser.parse_args(arguments)
    try:
        scorer = Scorer(given.model, threads=given.threads)
        threshold = given.threshold
        if threshold is None and given.group is not None:
            threshold = scorer.threshold_of(given.group)
        table = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        if not given.json:
            table.writeheader()
        for found in scorer.score_in_turn(given.source, threshold=threshold):
            for row in rows_of(found):
                if given.json:
                    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
                else:
                    table.writerow(row)
    except InsphereError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
