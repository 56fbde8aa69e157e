"""Turns video files into the rows of a feature store."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.features.extract import Report
    from mmvt.features.find import Videos
    from mmvt.features.ray_backend import RayBackend

FAILED = 3
EXAMPLES = """\
examples:
  mmvt extract videos --encoder EfficientNetLite0 --out data/features
  mmvt extract videos --encoder EfficientNetLite0:output=grid,grid=3 --fps 2 --out data/features
  mmvt extract 'videos/**/*.mp4' --encoder EfficientNetLite0 --segments 8 --short-side 256 --out f
  mmvt extract captions.csv --root videos --encoder HFVisionEncoder \\
      --option model=openai/clip-vit-base-patch32 --out data/clip
  mmvt extract videos --encoder EfficientNetLite0 --out data/features --retry-failed
  mmvt extract videos --encoder S3D --device cuda --half --out data/features
  mmvt extract /shared/videos --encoder S3D --out /shared/features --backend ray --ray-address auto

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
    made.add_argument(
        "--device", choices=("cpu", "cuda", "auto"), help="where the encoder runs (default cpu)"
    )
    made.add_argument(
        "--half", action="store_true", help="run the encoder in half precision, as suits a GPU"
    )
    made.add_argument("--batch", type=int, help="frames at a time (default 4; on a GPU 64)")
    made.add_argument(
        "--workers", type=int, help="batches at the same time (default: CPU cores; on a GPU 2)"
    )
    made.add_argument(
        "--decoders",
        type=int,
        help="videos decoded at the same time (default: CPU cores / 4; beside a GPU: all cores; "
        "on Ray, by each task: 1)",
    )
    made.add_argument(
        "--time-limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long a decoder may be silent before its video fails (default 300)",
    )
    made.add_argument("--retry-failed", action="store_true", help="only what failed before")
    made.add_argument(
        "--backend",
        choices=("local", "ray"),
        default="local",
        help="where the work is done: here, or on a Ray cluster (docs/cluster.md); same bytes",
    )
    made.add_argument(
        "--ray-address",
        metavar="HOST:PORT",
        help="head of the Ray cluster, or 'auto' (default: a cluster of this machine alone)",
    )
    made.add_argument(
        "--ray-gpus", type=float, metavar="N", help="GPUs a task on Ray (default: 1 with cuda)"
    )
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
    if args.device is not None:
        options["device"] = args.device
    on_ray = args.backend == "ray"
    # with Ray, the encoder of this process only says what is made
    here = {"device": "cpu"} if on_ray and "device" in options else {}
    encoder = build_encoder(name, {**options, **here})
    device = str(options.get("device")) if on_ray else encoder.device.type
    on_gpu = device.startswith("cuda")
    batch = args.batch or (64 if on_gpu else 4)
    report = run(
        found,
        encoder,
        args.out,
        FrameOptions(args.fps, args.segments, args.short_side),
        dtype=args.dtype,
        shard_size=args.shard_size,
        batch=batch,
        half=args.half,
        workers=args.workers or (2 if on_gpu else cores()),
        decoders=args.decoders or (cores() if on_gpu else max(1, cores() // 4)),
        time_limit=args.time_limit,
        retry_failed=args.retry_failed,
        backend=ray_backend(args, name, options, batch, on_gpu) if on_ray else None,
    )
    return FAILED if report.failures else 0


def ray_backend(
    args: argparse.Namespace, name: str, options: Mapping[str, Any], batch: int, on_gpu: bool
) -> RayBackend:
    """Return the Ray cluster that the command line asks for.

    Raises:
        MissingPackageError: Ray is not installed.
    """
    from mmvt.features.ray_backend import EncodingRecipe, RayBackend, named_encoder
    from mmvt.features.steps import FrameOptions

    recipe = EncodingRecipe(
        named_encoder,
        (name, json.dumps(options)),
        FrameOptions(args.fps, args.segments, args.short_side),
        args.dtype,
        batch,
        args.half,
    )
    return RayBackend(
        recipe,
        address=args.ray_address,
        decoders=args.decoders or 1,
        gpus=float(on_gpu) if args.ray_gpus is None else args.ray_gpus,
        time_limit=args.time_limit,
    )


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
