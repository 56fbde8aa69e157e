"""Scores a prediction file of a public benchmark against its annotation file, without a model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.evaluators.base import Metric, Predictions

EXAMPLES = """\
examples:
  mmvt score qvhighlights my_val_preds.jsonl highlight_val_release.jsonl
  mmvt score nextqa my_answers.json nextqa/val.csv --json
  mmvt score nextqa my_answers.json nextqa/val.csv --allow-missing --out results.json

An id that is missing, unexpected or there twice is an error, and so is what is no number. The same
files give the same bytes of JSON.
"""
BENCHMARKS = {
    "qvhighlights": "moments and highlights: a line of JSON a query, as for the public evaluator",
    "nextqa": "multiple choice: JSON with {'prediction': place} of each question VIDEO_QID",
}
WINDOWS = ("R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP")
CLIPS = ("mAP", "Hit@1")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt score",
        description="Score a prediction file of a public benchmark; no model is needed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    benchmarks = made.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, about in BENCHMARKS.items():
        one = benchmarks.add_parser(name, help=about, description=f"Score {about}.")
        one.add_argument("predictions", type=Path, help="what is predicted")
        one.add_argument("annotations", type=Path, help="the public file with the right answers")
        one.add_argument(
            "--allow-missing",
            action="store_true",
            help="count what is not predicted as a miss, instead of refusing",
        )
        one.add_argument("--json", action="store_true", help="print JSON instead of a table")
        one.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there as well")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Score a file and print the results; return 0."""
    args = parser().parse_args(argv)
    from mmvt.files import atomic_write_json

    results = score(args.benchmark, args.predictions, args.annotations, args.allow_missing)
    if args.out is not None:
        atomic_write_json(args.out, results)
    if args.json:
        print(json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        print(as_text(results))
    return 0


def score(
    benchmark: str, predictions: Path, annotations: Path, allow_missing: bool = False
) -> dict[str, Any]:
    """Return the figures of a prediction file, and the protocol behind them.

    Args:
        benchmark: one of :data:`BENCHMARKS`.
        predictions: what is predicted.
        annotations: the public file with the right answers.
        allow_missing: count what is not predicted as a miss.

    Raises:
        DataError: a file cannot be read, or an id is missing, unexpected or there twice.
    """
    from mmvt.evaluators.metrics.highlight import official_names
    from mmvt.files import sha256_file

    arrays, metric = _prepared(benchmark, predictions, annotations, allow_missing)
    results = dict(metric(arrays))
    if benchmark == "qvhighlights":
        results["official"] = official_names(results)
    files = {"predictions": predictions, "annotations": annotations}
    results["protocol"] = {
        "benchmark": benchmark,
        **results["protocol"],
        **{name: {"file": f.name, "sha256": sha256_file(f)} for name, f in files.items()},
    }
    return results


def _prepared(
    benchmark: str, predictions: Path, annotations: Path, allow_missing: bool
) -> tuple[Predictions, Metric]:
    from mmvt.evaluators import submissions
    from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
    from mmvt.evaluators.metrics.highlight import HighlightMetric

    if benchmark == "qvhighlights":
        arrays = submissions.qvhighlights_predictions(predictions, annotations)
        return arrays, HighlightMetric(allow_missing=allow_missing)
    arrays = submissions.nextqa_predictions(predictions, annotations)
    return arrays, MultipleChoiceMetric(allow_missing=allow_missing)


def as_text(results: Mapping[str, Any]) -> str:
    """Return results as tables for people, figures in percent."""
    protocol = results["protocol"]
    counts = [
        f"{protocol[name]} {name.replace('_', ' ')}"
        for name in ("queries", "questions", "missing_queries", "missing_questions")
        if name in protocol
    ]
    lines = [f"{protocol['name']}: {', '.join(counts)}; ids {protocol['ids_sha256'][:12]}"]
    if "windows" in results:
        lines += ["", *_table("windows", ("queries", *WINDOWS), results["windows"])]
    if "clips" in results:
        lines += ["", *_table("clips", CLIPS, results["clips"])]
    if "groups" in results:
        whole = {"all": {name: results[name] for name in ("accuracy", "questions")}}
        lines += ["", *_table("", ("questions", "accuracy"), {**whole, **results["groups"]})]
    return "\n".join(lines)


def _table(title: str, columns: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a table; counts are whole numbers, all others shares."""
    cells = [[title, *columns]]
    cells += [
        [name, *(_shown(row.get(column)) for column in columns)] for name, row in rows.items()
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"{row[0]:<{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in cells
    ]


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{100 * value:.2f}"


if __name__ == "__main__":
    raise SystemExit(main())
