"""The generative way, measured: the demo's features and splits, with a head that writes."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from mmvt.errors import require_package
from mmvt_cli._cli import cli_errors
from mmvt_cli.demo import DATA, results_of, step

EXAMPLES = """\
examples:
  mmvt demo vpt               after mmvt demo, on the same shards: about 5 minutes on 2 cores
  mmvt demo vpt --seed 2      another initialisation and another order of examples
"""
PROJECT = "projects/vpt.yaml"
TASK = "projects/vpt/videoclip.yaml"


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Train the model that writes, and measure what it writes; return 0 when all went well."""
    parser = argparse.ArgumentParser(
        prog="mmvt demo vpt",
        description="Train a model that writes captions, on what mmvt demo extracted.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="of training (default 1)")
    args = parser.parse_args(argv)
    require_package("fairseq", "train")
    started = time.monotonic()
    run = Path("runs", f"demo{args.seed}", "vpt")
    step("procedural corpus and its features", ["-m", "mmvt_cli.demo_data", "--out", str(DATA)])
    overrides = [
        f"fairseq.common.seed={args.seed}",
        f"fairseq.checkpoint.save_dir={run}",
        f"fairseq.common.tensorboard_logdir={run}/tensorboard",
    ]
    launch = ["-m", "mmvt_cli.launch", PROJECT, "--jobtype", "local_single"]
    step("training", [*launch, *overrides], level="INFO")
    predict = ["-m", "mmvt_cli.predict", TASK, *overrides, "--out", f"{run}/eval"]
    step("captions of held-out videos", predict)
    step("report", ["-m", "mmvt_cli.report", str(run), "--videos", str(DATA / "videos")])
    _summary(run, time.monotonic() - started)
    return 0


def _summary(run: Path, seconds: float) -> None:
    """Print what was measured in this run, read from the files it wrote."""
    from mmvt.demo.control import read_rows
    from mmvt.demo.naming import naming_rates
    from mmvt.evaluators.predictions import load_predictions

    predictions, _ = load_predictions(run / "eval" / "predictions.npz")
    names, texts = predictions["scored_ids"], predictions["hypotheses"]
    written = {str(name): str(text) for name, text in zip(names, texts, strict=True)}
    rows = {row["video"]: row for row in read_rows(DATA / "captions.csv")}
    own, shuffled = naming_rates(written, rows)
    results = results_of(run / "eval")
    print(f"\n== measured in this run, on {len(written)} videos of pairs never trained on")
    print(f"captions        BLEU-4 {results['BLEU-4']:.3f}   CIDEr-D {results['CIDEr-D']:.3f}")
    for label, now, control in (
        ("colour, shape", own.colour_and_shape, shuffled.colour_and_shape),
        ("motion", own.motion, shuffled.motion),
    ):
        ratio = f"{now / control:.1f} x" if control else "-"
        print(f"{label:15} right {now:6.1%}   of shuffled videos {control:6.1%}   {ratio}")
    print(f"{seconds / 60:.1f} minutes; report: {(run / 'report.html').resolve()}")


if __name__ == "__main__":
    raise SystemExit(main())
