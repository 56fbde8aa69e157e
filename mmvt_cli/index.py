"""Makes video files searchable: features, vectors, an index."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from mmvt.retrieval.build import Changes

FAILED = 3
EXAMPLES = """\
examples:
  mmvt index videos --model projects/bridge/zeroshot.yaml --out index
  mmvt index 'talks/**/*.mp4' --model projects/bridge/zeroshot.yaml --out index \\
      features.segments=null features.fps=1          one step a second, for long videos
  mmvt index videos --model projects/pretrain/videoclip.yaml \\
      --checkpoint runs/pretrain/videoclip/checkpoint_best.pt --out index

Run it again when there are new videos: only what is new or changed is read, and files that are gone
leave the index. Then: mmvt search index "a dog runs on sand". Exit code: 0, or 3 when some videos
cannot be read (they are listed, and all others are indexed), or 2 when nothing could be done.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt index",
        description="Make video files searchable with a text.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("videos", help="a folder, a video, a glob, or a CSV with a column 'video'")
    made.add_argument("overrides", nargs="*", metavar="key.sub=value", help="changes to the YAML")
    made.add_argument("--model", required=True, type=Path, help="task YAML with a section features")
    made.add_argument("--checkpoint", type=Path, help="trained weights")
    made.add_argument("--out", required=True, type=Path, help="folder of the index")
    made.add_argument("--root", type=Path, help="folder that the names in a CSV are relative to")
    made.add_argument("--trust-code", action="store_true", help="trust included files as well")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Index; return 0, or 3 when some videos cannot be read."""
    args = parser().parse_intermixed_args(argv)
    from collections.abc import Sequence

    from transformers.utils import logging as transformers_logging

    from mmvt.features.extract import Report
    from mmvt.features.find import Video, Videos, find_videos
    from mmvt.inference import find_config, load
    from mmvt.retrieval.build import update_index
    from mmvt.retrieval.index import ModelRef
    from mmvt_cli.extract import run

    transformers_logging.disable_progress_bar()
    found = find_videos(args.videos, args.root)
    loaded = load(args.model, args.checkpoint, args.overrides, trust_code=args.trust_code)
    model = ModelRef(
        config=str(find_config(args.model).resolve()),
        checkpoint=None if args.checkpoint is None else str(args.checkpoint.resolve()),
        overrides=args.overrides,
        fingerprint=loaded.fingerprint,
    )
    report = Report(failures=found.refused)

    def extract(videos: Sequence[Video], folder: Path) -> None:
        nonlocal report
        extraction = loaded.extraction
        todo = Videos(list(videos), found.refused)
        report = run(todo, extraction.encoder, folder, extraction.frames)

    changes = update_index(args.out, found.videos, loaded, model, extract)
    print(summary(changes, args.out))
    return FAILED if report.failures else 0


def summary(changes: Changes, folder: Path) -> str:
    """Return what was done, with the names of the files that are gone."""
    count = len(changes.added) + len(changes.changed) + len(changes.kept)
    lines = [f"gone, and out of the index: {video_id}" for video_id in changes.removed]
    lines.append(
        f"{folder}: {count} videos; {len(changes.added)} new, {len(changes.changed)} changed, "
        f"{len(changes.removed)} gone"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
