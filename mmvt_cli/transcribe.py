"""Writes down what is said in video and sound files, with the time of every word."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from mmvt_cli._cli import cli_errors
from mmvt_cli._progress import print_failures, progress
from mmvt_cli.extract import cores

FAILED = 3
EXAMPLES = """\
examples:
  mmvt transcribe videos --out data/speech
  mmvt transcribe 'videos/**/*.mp4' --out data/speech --model small --language de
  mmvt transcribe captions.csv --root videos --out data/speech --retry-failed

OUT/transcripts/ID.json has the words of each video; TranscriptTextProcessor makes captions of them.
A run that was stopped goes on where it stopped. Exit code: 0 when every video has a transcript (of
one in which nobody speaks it is empty), 3 when some have not (they are listed, and kept in
OUT/failures.jsonl), 2 when nothing could be done.

MODEL is a folder of a Whisper in CTranslate2's form, its name in pretrained_models/ or in the cache
of the hub. whisper-tiny.en, which knows English alone, comes with
python -m mmvt_cli.setup transcribe
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt transcribe",
        description="Write down what is said in videos, with the time of every word.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "videos", help="a folder, a file of video or sound, a glob, or a CSV with a column 'video'"
    )
    made.add_argument("--out", required=True, type=Path, help="folder of the transcripts")
    made.add_argument("--model", default="whisper-tiny.en", help="(default whisper-tiny.en)")
    made.add_argument("--language", metavar="CODE", help="such as en (default: what is heard)")
    made.add_argument("--beam", type=int, default=5, help="hypotheses that are kept (default 5)")
    made.add_argument(
        "--no-vad",
        dest="vad",
        action="store_false",
        help="listen to music and silence too, of which Whisper makes up words",
    )
    made.add_argument(
        "--dtype", choices=("int8", "float32", "float16", "int8_float16"), default="int8"
    )
    made.add_argument("--device", default="cpu", help="such as cpu or cuda (default cpu)")
    made.add_argument(
        "--threads", type=int, default=cores(), help="of the model (default: CPU cores)"
    )
    made.add_argument("--root", type=Path, help="folder that the names in a CSV are relative to")
    made.add_argument(
        "--time-limit",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="how long the decoder may be silent before its video fails (default 300)",
    )
    made.add_argument("--retry-failed", action="store_true", help="only what failed before")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Transcribe; return 0, or 3 when some videos have no transcript."""
    args = parser().parse_args(argv)
    from mmvt.features.find import EXTENSIONS, SOUND_EXTENSIONS, find_videos
    from mmvt.features.speech import FasterWhisper
    from mmvt.features.transcribe import transcribe

    # it tells the length of every file
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    found = find_videos(args.videos, args.root, EXTENSIONS | SOUND_EXTENSIONS)
    recogniser = FasterWhisper(
        model=args.model,
        language=args.language,
        beam_size=args.beam,
        vad=args.vad,
        dtype=args.dtype,
        device=args.device,
        threads=args.threads,
    )
    with progress("transcribe", len(found.videos)) as advance:
        report = transcribe(
            found.videos,
            recogniser,
            args.out,
            time_limit=args.time_limit,
            retry_failed=args.retry_failed,
            on_video=lambda video, reason: advance(1),
        )
    failures = report.failures + found.refused
    print_failures("no transcript", ((item.source, item.reason) for item in failures))
    if report.left_out:
        print(f"stretches of endless repetition that were left out: {report.left_out}")
    print(
        f"{report.transcribed} transcribed ({report.words} words), {report.skipped} there already, "
        f"{len(failures)} failed"
    )
    return FAILED if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
