"""Looks into feature stores, checks and merges them, converts them from and to other forms."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.errors import ConfigError, StoreError
from mmvt_cli._cli import cli_errors
from mmvt_cli._progress import print_failures, progress

if TYPE_CHECKING:
    from mmvt.datasets.store import FeatureStore
    from mmvt.features.convert.base import OnVideo, Report, Source
    from mmvt.features.convert.vpt.segment import SegmentSource

DAMAGED = 1
FAILED = 3
HDF5 = (".h5", ".hdf5")
PICKLE = (".pkl", ".pickle")
OTHERS = ("*.npy", "*.pkl", "*_meta.json")
MOST_FAILURES = 50
EXAMPLES = """\
examples:
  mmvt store info data/features
  mmvt store info data/features --json
  mmvt store verify data/features
  mmvt store merge data/part1 data/part2 --out data/features
  mmvt store convert folder_of_npy data/features --fps 1 --encoder S3D
  mmvt store convert features.h5 data/features
  mmvt store convert data/features features.h5
  mmvt store convert original_shards data/features --split train
  mmvt store convert data/features original_shards --split train
  mmvt store convert video_chatgpt_pickles data/features --fps 0
  mmvt store convert vpt_dataset data/vpt --grid 4

Exit code: 0 when all is well, 1 when `verify` found damage, 2 when nothing could be done, 3 when
some videos could not be converted (they are listed). What was stopped goes on when it is run again.
"""
CONVERT = """\
What SOURCE is, is seen from it:
  a folder with manifest.json      a feature store, which is written to TARGET: an HDF5 file where
                                   that ends in .h5 or .hdf5, else shards of the original, whose
                                   ids are written as SPLIT_meta.json and not as a pickle
  a folder with SPLIT_meta.pkl     shards of the original
  a folder with .npy or .pkl files a file a video
  a .h5 or .hdf5 file              a dataset a video
  a .pkl or .pickle file           a dict from ids to arrays
  a Deeplake dataset               segments of VPT, a row each; TARGET becomes a folder with the
                                   stores frames and pooled, captions.csv, transcripts/ and
                                   failures.jsonl, which lists all segments that were refused
  a folder with .npz files         the same, of what VPT wrote before: an npz a video, with or
                                   without jsonl files of segments
Pickles are read without running anything in them. A video with NaN is refused, and listed.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt store",
        description="Look into feature stores, check, merge and convert them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="print what a store holds")
    info.add_argument("store", type=Path, help="folder of a store")
    info.add_argument("--json", action="store_true", help="as JSON")
    verify = commands.add_parser("verify", help="compare every byte with its checksum")
    verify.add_argument("store", type=Path, help="folder of a store")
    merge = commands.add_parser("merge", help="write the videos of several stores into a new one")
    merge.add_argument("stores", type=Path, nargs="+", help="folders of stores")
    merge.add_argument("--out", type=Path, required=True, help="folder of the new store")
    merge.add_argument(
        "--skip-duplicates",
        action="store_true",
        help="leave out videos that an earlier store holds with the same bytes (else an error)",
    )
    convert = commands.add_parser(
        "convert",
        help="turn another form of features into a store, or a store into another form",
        epilog=CONVERT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("source", type=Path, help="what to convert")
    convert.add_argument("target", type=Path, help="what to write")
    convert.add_argument("--split", choices=("train", "val"), help="of shards of the original")
    convert.add_argument("--fps", type=float, help="steps a second; 0 = none (default 1)")
    convert.add_argument("--dtype", choices=("float16", "float32", "float64"))
    convert.add_argument("--encoder", metavar="NAME", help="what made the features")
    convert.add_argument(
        "--grid", type=int, help="of VPT's hidden states: keep K x K means (default 4)", metavar="K"
    )
    convert.add_argument(
        "--undone",
        action="store_true",
        help="take segments of VPT whose flags (done_...) are false",
    )
    for command in (merge, convert):
        command.add_argument(
            "--shard-size", type=int, default=4096, help="videos a shard (default 4096)"
        )
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Run a subcommand; return its exit code."""
    args = parser().parse_args(argv)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "info": info,
        "verify": verify,
        "merge": merge,
        "convert": convert,
    }
    return commands[args.command](args)


def info(args: argparse.Namespace) -> int:
    """Print what a store holds; return 0."""
    from mmvt.datasets.store import FeatureStore

    facts = facts_of(FeatureStore.open(args.store))
    if args.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
        return 0
    for key, value in facts.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        print(f"{key:<10}  {shown}")
    return 0


def facts_of(store: FeatureStore) -> dict[str, Any]:
    """Return what ``info`` tells of a store; size in bytes."""
    manifest = store.manifest
    return {
        "folder": str(store.folder),
        "videos": manifest.items,
        "rows": manifest.rows,
        "shards": len(manifest.shards),
        "bytes": sum(file.bytes for _, file in manifest.files()),
        **manifest.options(),
        "first_ids": list(itertools.islice(store.ids, 5)),
    }


def verify(args: argparse.Namespace) -> int:
    """Verify a store; return 0, or 1 where it is damaged."""
    from mmvt.datasets.store import FeatureStore

    store = FeatureStore.open(args.store)
    total = sum(shard.files["data"].bytes for shard in store.manifest.shards)
    try:
        with progress("verify", total, bytes_=True) as advance:
            store.verify(advance)
    except StoreError as error:
        for line in str(error).splitlines():
            print(f"damaged: {line}", file=sys.stderr)
        return DAMAGED
    print(f"{store.folder}: {len(store)} videos and {total} bytes of rows are as they were written")
    return 0


def merge(args: argparse.Namespace) -> int:
    """Merge stores; return 0."""
    from mmvt.datasets.store import FeatureStore
    from mmvt.features.merge import merge as merged

    total = sum(len(FeatureStore.open(store)) for store in args.stores)
    with progress("merge", total) as advance:
        report = merged(
            args.stores,
            args.out,
            skip_duplicates=args.skip_duplicates,
            shard_size=args.shard_size,
            on_video=lambda name: advance(1),
        )
    print(f"{report.added} videos added to {args.out}, {report.skipped} there already")
    return 0


def convert(args: argparse.Namespace) -> int:
    """Convert; return 0, or 3 when some videos could not be converted."""
    from mmvt.datasets.manifest import NAME

    if not args.source.exists():
        raise StoreError(f"{args.source}: does not exist")
    if (args.source / NAME).exists():
        return _from_store(args)
    if (segments := segments_of(args.source)) is not None:  # may be none that can be read
        return _import(segments, args)
    if args.grid is not None or args.undone:
        raise ConfigError("--grid and --undone are for data of VPT")
    from mmvt.features.convert.base import convert as converted

    source = source_of(args.source, args.split)
    with progress("convert", len(source.names)) as advance:
        report = converted(
            source,
            args.target,
            fps=args.fps,
            dtype=args.dtype,
            encoder=args.encoder,
            shard_size=args.shard_size,
            on_video=lambda name: advance(1),
        )
    return _reported(report)


def source_of(path: Path, split: str | None) -> Source:
    """Return the features at a path, by what is there.

    Raises:
        StoreError: there are none.
        ConfigError: it takes a split to find them.
    """
    if path.suffix in HDF5:
        from mmvt.features.convert.hdf5 import HDF5File

        return HDF5File(path)
    if any(path.glob("*_meta.pkl")) or any(path.glob("*_meta.json")):
        from mmvt.features.convert.original import OriginalSplit

        return OriginalSplit(path, _split(split))
    if path.suffix in PICKLE or any(path.glob("*.pkl")):
        from mmvt.features.convert.pickles import PickledFeatures

        return PickledFeatures(path)
    if path.is_dir():
        from mmvt.features.convert.npy import NpyFolder

        return NpyFolder(path)
    raise StoreError(
        f"{path}: is no folder, and its name ends in none of {', '.join(HDF5 + PICKLE)}"
    )


def segments_of(path: Path) -> SegmentSource | None:
    """Return the segments of VPT at a path; None where there are none.

    Raises:
        MissingPackageError: it takes a library that is not installed.
        StoreError: they cannot be read.
    """
    from mmvt.features.convert.vpt.deeplake_columns import DeeplakeSegments, is_deeplake
    from mmvt.features.convert.vpt.files import SegmentFiles

    if is_deeplake(path):
        return DeeplakeSegments(path)
    others = (name for form in OTHERS for name in path.rglob(form))
    return SegmentFiles(path) if any(path.rglob("*.npz")) and not any(others) else None


def _import(segments: SegmentSource, args: argparse.Namespace) -> int:
    from mmvt.features.convert.vpt.importing import FAILURES, import_segments

    told = {name: vars(args)[name] for name in ("split", "fps", "dtype", "encoder")}
    if given := [f"--{name}" for name, value in told.items() if value is not None]:
        raise ConfigError(f"{', '.join(given)}: not for data of VPT, which has none or tells it")
    if args.grid is not None and args.grid < 1:
        raise ConfigError(f"--grid is {args.grid}, but must be at least 1")
    with progress("convert", len(segments)) as advance:
        report = import_segments(
            segments,
            args.target,
            grid=4 if args.grid is None else args.grid,
            take_undone=args.undone,
            shard_size=args.shard_size,
            on_segment=advance,
        )
    failures = report.failures
    print_failures(
        "not converted", ((item.source, item.reason) for item in failures[:MOST_FAILURES])
    )
    if len(failures) > MOST_FAILURES:
        print(f"... and {len(failures) - MOST_FAILURES} more")
    if failures:
        print(f"all of them are in {args.target / FAILURES}")
    if report.absent:
        print(f"{report.absent} segments that the source counts are not in it")
    print(
        f"{report.segments} segments of {report.videos + report.skipped} videos "
        f"({report.skipped} there already), {len(failures)} failed"
    )
    return FAILED if failures else 0


def _from_store(args: argparse.Namespace) -> int:
    from mmvt.datasets.store import FeatureStore

    store = FeatureStore.open(args.source)
    with progress("convert", len(store)) as advance:
        listing = _write(store, args, lambda name: advance(1))
    print(f"{len(store)} videos written to {args.target}")
    if listing is not None:
        print(f"the ids are in {listing}, where the original has a pickle")
    return 0


def _write(store: FeatureStore, args: argparse.Namespace, on_video: OnVideo) -> Path | None:
    if args.target.suffix in HDF5:
        from mmvt.features.convert.hdf5 import write_hdf5

        write_hdf5(store, args.target, on_video=on_video)
        return None
    from mmvt.features.convert.original import write_original

    return write_original(store, args.target, _split(args.split), on_video=on_video)


def _split(split: str | None) -> str:
    if split is None:
        raise ConfigError(
            "shards of the original are of one split: add --split train or --split val"
        )
    return split


def _reported(report: Report) -> int:
    failures = report.failures
    print_failures("not converted", ((item.source, item.reason) for item in failures))
    print(f"{report.added} added, {report.skipped} there already, {len(failures)} failed")
    return FAILED if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
