"""Scores a prediction file of a public benchmark against its annotation file, without a model."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmvt_cli._cli import cli_errors

EXAMPLES = """\
examples:
  mmvt score qvhighlights my_val_preds.jsonl highlight_val_release.jsonl
  mmvt score nextqa my_answers.json nextqa/val.csv --json
  mmvt score nextqa my_answers.json nextqa/val.csv --allow-missing --out results.json
  mmvt score answers my_answers.json test_qa.json --train train_qa.json --wordnet /usr/share/wordnet
  mmvt score captions my_captions.json yc2_val.json --meteor-jar meteor/meteor-1.5.jar
  mmvt score dense my_submission.json val_1.json

An id that is missing, unexpected or there twice is an error, and so is what is no number. The same
files give the same bytes of JSON.
"""
BENCHMARKS = {
    "qvhighlights": "moments and highlights: a line of JSON a query, as for the public evaluator",
    "nextqa": "multiple choice: JSON with {'prediction': place} of each question VIDEO_QID",
    "answers": "answers: JSON with {id: text or place of the choice}, or a list or lines of "
    "{'qid', 'answer'}",
    "captions": "captions: JSON with {id: caption}, or a list or lines of {'id', 'caption'}",
    "dense": "captions with times: JSON with results: {id: [{'sentence', 'timestamp'}]}",
}
NOUNS = ("queries", "questions", "clips", "videos")
WINDOWS = ("R1@0.5", "R1@0.7", "mAP@0.5", "mAP@0.75", "mAP")
CLIPS = ("mAP", "Hit@1")
WORDS = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D", "METEOR")
LIKENESSES = ("WUPS@0.0", "WUPS@0.9")
BLIND = {
    "question_only": "without the video",
    "answer_only": "without the question too",
    "majority": "majority answer",
}
SHARES = {
    "vocabulary_ceiling": "answers that occur in training",
    "chance": "by chance",
}
OVERLAPS = ("precision", "recall", "CIDEr-D", "METEOR")
STORIES = ("SODA_c", "SODA_c_precision", "SODA_c_recall")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt score",
        description="Score a prediction file of a public benchmark; no model is needed.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.set_defaults(meteor_jar=None, train=None, wordnet=None)
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
        if name in ("captions", "dense"):
            one.add_argument("--meteor-jar", type=Path, metavar="JAR", help="METEOR 1.5, for Java")
        if name == "answers":
            one.add_argument(
                "--train", type=Path, metavar="FILE", help="questions for training, for baselines"
            )
            one.add_argument(
                "--wordnet", type=Path, metavar="DIR", help="files of WordNet 3, for WUPS"
            )
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Score a file and print the results; return 0."""
    made = parser()
    args = made.parse_args(argv)
    for option, path in (("--meteor-jar", args.meteor_jar), ("--wordnet", args.wordnet)):
        if path is not None and not path.exists():
            made.error(f"{option}: {path} does not exist")
    from mmvt.files import atomic_write_json

    results = score(
        args.benchmark,
        args.predictions,
        args.annotations,
        allow_missing=args.allow_missing,
        meteor_jar=args.meteor_jar,
        train=args.train,
        wordnet=args.wordnet,
    )
    if args.out is not None:
        atomic_write_json(args.out, results)
    if args.json:
        print(json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        print(as_text(results))
    return 0


def score(
    benchmark: str,
    predictions: Path,
    annotations: Path,
    *,
    allow_missing: bool = False,
    meteor_jar: Path | None = None,
    train: Path | None = None,
    wordnet: Path | None = None,
) -> dict[str, Any]:
    """Return the figures of a prediction file, and the protocol behind them.

    Args:
        benchmark: one of :data:`BENCHMARKS`.
        predictions: what is predicted.
        annotations: the public file with the right answers.
        allow_missing: count what is not predicted as a miss.
        meteor_jar: of METEOR, for captions.
        train: questions for training, for what can be said of open answers without a model.
        wordnet: folder of its dictionary files, for WUPS of open answers.

    Raises:
        DataError: a file cannot be read, or an id is missing, unexpected or there twice.
    """
    from mmvt.evaluators import caption_files, dense_files, submissions
    from mmvt.evaluators.metrics.captions import CaptionMetric
    from mmvt.evaluators.metrics.choice import MultipleChoiceMetric
    from mmvt.evaluators.metrics.dense import DenseCaptionMetric
    from mmvt.evaluators.metrics.highlight import HighlightMetric, official_names
    from mmvt.files import sha256_file

    files = {"predictions": predictions, "annotations": annotations}
    if train is not None:
        files["train"] = train
    if benchmark == "qvhighlights":
        arrays = submissions.qvhighlights_predictions(predictions, annotations)
        results = dict(HighlightMetric(ties="original", allow_missing=allow_missing)(arrays))
        results["official"] = official_names(results)
    elif benchmark == "nextqa":
        arrays = submissions.nextqa_predictions(predictions, annotations)
        results = dict(MultipleChoiceMetric(allow_missing=allow_missing)(arrays))
    elif benchmark == "answers":
        results = _scored_answers(predictions, annotations, allow_missing, train, wordnet)
    elif benchmark == "dense":
        arrays = dense_files.dense_predictions(predictions, annotations)
        dense = DenseCaptionMetric(meteor_jar=meteor_jar, allow_missing=allow_missing)
        results = dict(dense(arrays))
    else:
        arrays = caption_files.caption_predictions(predictions, annotations)
        results = dict(CaptionMetric(meteor_jar=meteor_jar, allow_missing=allow_missing)(arrays))
    results["protocol"] = {
        "benchmark": benchmark,
        **results["protocol"],
        **{name: {"file": f.name, "sha256": sha256_file(f)} for name, f in files.items()},
    }
    return results


def _scored_answers(
    predictions: Path,
    annotations: Path,
    allow_missing: bool,
    train: Path | None,
    wordnet: Path | None,
) -> dict[str, Any]:
    """Return the figures of answers that are written or chosen."""
    from mmvt.evaluators.answer_files import answer_predictions
    from mmvt.evaluators.metrics.answer import AnswerMetric
    from mmvt.evaluators.metrics.choice import MultipleChoiceMetric, official_names

    arrays, repeated = answer_predictions(predictions, annotations, train)
    if "choices" in arrays:
        results = dict(MultipleChoiceMetric(allow_missing=allow_missing)(arrays))
        results["official"] = official_names(results)
    else:
        results = dict(AnswerMetric(allow_missing=allow_missing, wordnet=wordnet)(arrays))
    results["protocol"] = {**results["protocol"], "repeated_answers": repeated}
    return results


def as_text(results: Mapping[str, Any]) -> str:
    """Return results as tables for people, figures in percent."""
    protocol = results["protocol"]
    counts = [
        f"{protocol[name]} {name.replace('_', ' ')}"
        for name in (*NOUNS, *(f"missing_{noun}" for noun in NOUNS))
        if name in protocol
    ]
    lines = [f"{protocol['name']}: {', '.join(counts)}; ids {protocol['ids_sha256'][:12]}"]
    if "windows" in results:
        lines += ["", *_table("windows", ("queries", *WINDOWS), results["windows"])]
    if "clips" in results:
        lines += ["", *_table("clips", CLIPS, results["clips"])]
    if "groups" in results:
        lines += ["", *_of_questions(results)]
    if "by_iou" in results:
        lines += ["", *_table("IoU", OVERLAPS, {**results["by_iou"], "mean": results})]
        lines += ["", *_table("", STORIES, {"all": results})]
    if "BLEU-1" in results:
        lines += ["", *_table("", WORDS, {"all": results})]
    if "absent" in results:
        lines += [f"no {name}: {why}" for name, why in results["absent"].items()]
    return "\n".join(lines)


def _of_questions(results: Mapping[str, Any]) -> list[str]:
    """Return the lines of a table of questions, by group, and of what needs no video beside it."""
    shown = [name for name in LIKENESSES if results.get(name) is not None]
    rows = {"all": results, **results["groups"]}
    rows |= {label: results[name] for name, label in BLIND.items() if name in results}
    lines = _table("", ("questions", "accuracy", *shown), rows)
    told = {name: results[name] for name in SHARES if name in results}
    return [*lines, *(f"{SHARES[name]}: {_shown(value)}" for name, value in told.items())]


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
