"""Turns video files into the rows of a feature store."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.features.extract import Report
    from mmvt.features.find import Videos

FAILED = 3
EXAMPLES = """\
examples:
  mmvt extract videos --encoder EfficientNetLite0 --out data/features
  mmvt extract videos --encoder EfficientNetLite0:output=grid,grid=3 --fps 2 --out data/features
  mmvt extract 'videos/**/*.mp4' --encoder EfficientNetLite0 --segments 8 --short-side 256 --out f
  mmvt extract captions.csv --root videos --encoder HFVisionEncoder \\
      --option model=openai/clip-vit-base-patch32 --out data/clip
  mmvt extract videos --encoder EfficientNetLite0 --out data/features --retry-failed

A run that was stopped goes on where it stopped. Exit code: 0 when every video has features, 3 when
some have not (they are listed, and kept in OUT/failures.jsonl), 2 when nothing could be done.
`mmvt describe feature_encoder` lists encoders and their options.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt extract",
        description="Turn video files into the rows of a feature store.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("videos", help="a folder, a video, a glob, or a CSV with a column 'video'")
    made.add_argument("--encoder", required=True, metavar="NAME[:k=v,...]", help="what encodes")
    made.add_argument(
        "--option", action="append", default=[], metavar="k=v", help="an option of the encoder"
    )
    made.add_argument("--out", required=True, type=Path, help="folder of the feature store")
    which = made.add_mutually_exclusive_group()
    which.add_argument("--fps", type=float, help="feature steps a second (default 1)")
    which.add_argument("--segments", type=int, help="feature steps a video, evenly spread")
    made.add_argument("--short-side", type=int, help="pixels of the shorter side before the crop")
    made.add_argument("--root", type=Path, help="folder that the names in a CSV are relative to")
    made.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    made.add_argument("--shard-size", type=int, default=512, help="videos a shard (default 512)")
    made.add_argument("--batch", type=int, default=4, help="frames at a time (default 4; GPU: 64)")
    made.add_argument(
        "--workers", type=int, default=cores(), help="batches at the same time (default: CPU cores)"
    )
    made.add_argument(
        "--decoders",
        type=int,
        default=max(1, cores() // 4),
        help="videos decoded at the same time (default: CPU cores / 4; beside a GPU: all cores)",
    )
    made.add_argument(
        "--time-limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long a decoder may be silent before its video fails (default 300)",
    )
    made.add_argument("--retry-failed", action="store_true", help="only what failed before")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Extract; return 0, or 3 when some videos have no features."""
    args = parser().parse_args(argv)
    from mmvt.features.extract import FrameOptions, build_encoder
    from mmvt.features.find import find_videos
    from mmvt.features.heap import keep_freed_memory

    keep_freed_memory()
    found = find_videos(args.videos, args.root)
    name, options = encoder_options(args.encoder, args.option)
    encoder = build_encoder(name, options)
    frames = FrameOptions(args.fps, args.segments, args.short_side)
    report = run(
        found,
        encoder,
        args.out,
        frames,
        dtype=args.dtype,
        shard_size=args.shard_size,
        batch=args.batch,
        workers=args.workers,
        decoders=args.decoders,
        time_limit=args.time_limit,
        retry_failed=args.retry_failed,
    )
    return FAILED if report.failures else 0


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def encoder_options(encoder: str, options: list[str]) -> tuple[str, dict[str, Any]]:
    """Return name and options of an encoder.

    Args:
        encoder: ``NAME`` or ``NAME:key=value,key=value``.
        options: more of ``key=value``, whose values may hold commas and colons.
    """
    from mmvt.config.merge import read_overrides

    name, _, inline = encoder.partition(":")
    return name, read_overrides([*filter(None, inline.split(",")), *options]).data


def run(found: Videos, *arguments: Any, **options: Any) -> Report:
    """Extract with a progress bar; print a table of failures and a line of counts.

    Args:
        found: the videos; those whose names are refused count as failures.
        arguments: further arguments of :func:`mmvt.features.extract.extract`.
        options: the same, by name.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from mmvt.features.extract import extract
    from mmvt.features.find import Video

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("extract", total=len(found.videos), rate="")
        failed = 0

        def advance(video: Video, reason: str | None) -> None:
            nonlocal failed
            failed += reason is not None
            bar.advance(task)
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} videos/s" if speed else ""
            bar.update(task, rate=f"{rate}, {failed} failed" if failed else rate)

        report = extract(found.videos, *arguments, on_video=advance, **options)
        bar.update(task, completed=len(found.videos))
    report.failures += found.refused
    print_report(report)
    return report


def print_report(report: Report) -> None:
    """Print the failures as a table, and the counts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # in a file or a pipe a name stays in one piece, so that it can be searched for
    console = Console(width=None if sys.stdout.isatty() else 400)
    if report.failures:
        table = Table("file", "reason", title="no features", title_justify="left")
        for failure in report.failures:
            table.add_row(Text(failure.source, overflow="fold"), Text(failure.reason))
        console.print(table)
    print(
        f"{report.extracted} extracted, {report.skipped} there already, "
        f"{len(report.failures)} failed"
    )


if __name__ == "__main__":
    raise SystemExit(main())
