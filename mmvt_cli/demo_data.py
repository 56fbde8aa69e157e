"""Makes the procedural corpus and its features: all that projects/pretrain.yaml needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mmvt_cli._cli import cli_errors

EXAMPLES = """\
examples:
  mmvt demo data                                     1,200 clips and their features
  mmvt demo data --out /tmp/small --count 96 --no-features
  mmvt demo data --out data/other --seed 2

The folder then holds videos/, captions.csv, tokenizer/, corpus.json and features/. What is there
is kept; a corpus with other options is never overwritten.
"""
FRAME_SIZE = 128


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt demo data",
        description="Make a corpus of short videos of moving shapes, and extract features of it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--out", type=Path, default=Path("data/procedural"), help="its folder")
    made.add_argument("--count", type=int, default=1200, help="number of clips (default 1200)")
    made.add_argument("--seed", type=int, default=1, help="of all chance in it (default 1)")
    made.add_argument("--frames", type=int, default=6, help="frames a clip, 2 a second (default 6)")
    made.add_argument(
        "--features",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="extract a grid of EfficientNet-Lite0 features",
    )
    made.add_argument("--grid", type=int, default=3, help="cells a side of the grid (default 3)")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Make what is not there; return 0, or 3 when a clip has no features."""
    args = parser().parse_args(argv)
    from rich.console import Console
    from rich.progress import Progress

    from mmvt.demo.corpus import CorpusOptions, write_corpus

    options = CorpusOptions(count=args.count, seed=args.seed, frames=args.frames)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("draw", total=args.count)
        written = write_corpus(
            args.out, options, progress=lambda done, total: bar.update(task, completed=done)
        )
    print(f"{args.out}: {args.count} clips {'drawn' if written else 'are there'}")
    return _features(args) if args.features else 0


def _features(args: argparse.Namespace) -> int:
    from mmvt.demo.corpus import FRAMES_PER_SECOND
    from mmvt.features.extract import FrameOptions, build_encoder
    from mmvt.features.find import find_videos
    from mmvt_cli.extract import FAILED, cores, run

    encoder = build_encoder(
        "EfficientNetLite0", {"output": "grid", "grid": args.grid, "frame_size": FRAME_SIZE}
    )
    found = find_videos(args.out / "videos")
    frames = FrameOptions(fps=float(FRAMES_PER_SECOND))
    report = run(found, encoder, args.out / "features", frames, workers=cores())
    return FAILED if report.failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
