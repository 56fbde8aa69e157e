"""Evaluates one task YAML: predictions of a split, and what the metric says of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmvt.errors import ConfigError
from mmvt_cli._cli import cli_errors
from mmvt_cli.jobs import start_words
from mmvt_cli.processes import run_together
from mmvt_cli.score import as_text

EXAMPLES = """\
examples:
  mmvt predict projects/pretrain/videoclip.yaml                     its best checkpoint
  mmvt predict projects/pretrain/videoclip.yaml --checkpoint none   the untrained model
  mmvt predict projects/bridge/zeroshot.yaml --checkpoint none --out runs/mine/eval \\
      dataset.annotations=captions.csv dataset.store=features
  mmvt predict projects/pretrain/videoclip.yaml --workers 4         in four processes
  mmvt predict --rescore runs/pretrain/videoclip/eval/predictions.npz
"""
FIGURES = ("R@1", "R@5", "R@10", "median_rank", "mean_rank")
CAPTIONS = ("BLEU-1", "by_iou")  # of each clip, or of whole videos
DIRECTIONS = {"text_to_video": "text → video", "video_to_text": "video → text"}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmvt predict",
        description="Evaluate one task YAML, or score saved predictions again.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", nargs="?", type=Path, help="a task YAML")
    parser.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the YAML")
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="weights; 'none' for the initial ones (default: checkpoint_best.pt of the run, else "
        "checkpoint_last.pt)",
    )
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where results go (default: eval in the run)"
    )
    parser.add_argument(
        "--rescore",
        type=Path,
        metavar="FILE",
        help="score these predictions; with a task, by its metric",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes, a GPU each where there are GPUs; the results are the same (default: 1)",
    )
    parser.add_argument("--trust-code", action="store_true", help="trust included files as well")
    return parser


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Write predictions and results and print them; return 0."""
    parser = _parser()
    args = parser.parse_intermixed_args(argv)
    if args.task is None and args.rescore is None:
        parser.error("name a task YAML, or predictions with --rescore")
    if args.workers < 1:
        parser.error(f"--workers is {args.workers}, but must be at least 1")
    if args.workers > 1 and "WORLD_SIZE" not in os.environ:
        words = ["-m", "mmvt_cli.predict", *(sys.argv[1:] if argv is None else argv)]
        return run_together([start_words(words, args.workers)], os.environ)[0]
    from mmvt.distributed import evaluating_together

    with evaluating_together():
        return _predict(args)


def _predict(args: argparse.Namespace) -> int:
    from mmvt.config.recipe import Recipe
    from mmvt.distributed import is_first
    from mmvt.evaluators import evaluator
    from mmvt.evaluators.predictions import RESULTS
    from mmvt.inference import find_config

    recipe = args.task and Recipe.load(
        find_config(args.task), args.overrides, trust_code=args.trust_code
    )
    if args.rescore is not None:
        if args.checkpoint is not None:
            raise ConfigError("--checkpoint and --rescore exclude each other")
        folder = args.out or args.rescore.parent
        results = evaluator.rescore(args.rescore, folder, recipe)
    else:
        checkpoint = None if args.checkpoint == "none" else args.checkpoint
        if args.checkpoint is None:
            checkpoint = evaluator.find_checkpoint(recipe)
        path = None if checkpoint is None else Path(checkpoint)
        folder = args.out or evaluator.results_folder(recipe, path, args.split)
        results = evaluator.evaluate(recipe, path, args.split, folder)
    if is_first():
        show(results)
        print(f"written to {folder / RESULTS}")
    return 0


def show(results: Mapping[str, Any]) -> None:
    """Print results: retrieval, questions and captions as tables, others as JSON."""
    is_of_questions = "questions" in results and "groups" in results
    if is_of_questions or any(name in results for name in CAPTIONS):
        print(as_text(results))
        return
    if not all(name in results for name in DIRECTIONS):
        print(json.dumps(results, indent=2, sort_keys=True, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    protocol = results["protocol"]
    table = Table(
        title=f"{protocol['captions']} captions of {protocol['videos']} videos "
        f"({protocol.get('split', 'saved')} split, ids {protocol['ids_sha256'][:12]})",
        title_justify="left",
        caption="R@K in percent; ties by " + protocol["ties"],
        caption_justify="left",
    )
    table.add_column("")
    for name in FIGURES:
        table.add_column(name.replace("_", " "), justify="right")
    for key, label in DIRECTIONS.items():
        table.add_row(label, *_cells(results[key]))
        table.add_row("  chance", *_cells(results[key]["chance"]), style="dim", end_section=True)
    Console().print(table)


def _cells(figures: Mapping[str, float]) -> list[str]:
    return [
        f"{100 * figures[name]:.1f}" if name.startswith("R@") else f"{figures[name]:.1f}"
        for name in FIGURES
    ]


if __name__ == "__main__":
    raise SystemExit(main())
