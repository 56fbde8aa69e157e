"""Writes the report of a run: one HTML page with curves, figures and sample queries."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mmvt_cli._cli import cli_errors

EXAMPLES = """\
examples:
  mmvt report runs/pretrain/videoclip
  mmvt report runs/pretrain/videoclip --out report.html --videos data/procedural/videos
"""


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Write the page and print where it is; return 0."""
    parser = argparse.ArgumentParser(
        prog="mmvt report",
        description="Write the report of a run as one HTML page that needs nothing beside it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or of results")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the page (default: report.html in the run)"
    )
    parser.add_argument(
        "--videos",
        type=Path,
        metavar="DIR",
        help="folder of the video files, for pictures (default: videos beside the caption file)",
    )
    args = parser.parse_args(argv)
    from mmvt.report.report import write_report

    logging.getLogger("tensorboard").setLevel(logging.WARNING)

    print(f"written to {write_report(args.run, args.out, args.videos)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
