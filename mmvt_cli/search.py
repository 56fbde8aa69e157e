"""Finds videos of an index by what they show, in words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmvt.retrieval.index import Hit

EXAMPLES = """\
examples:
  mmvt search index "a dog runs on sand"
  mmvt search index "a dog runs on sand" --top 20 --html answer.html    with pictures
  mmvt search index "a dog runs on sand" --json | jq -r '.results[0].path'

Make the index with mmvt index.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt search",
        description="Find videos, and the best span of each, by a text.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("index", type=Path, help="folder that mmvt index made")
    made.add_argument("query", help="what to look for")
    made.add_argument("--top", type=int, default=5, help="most videos to show (default 5)")
    made.add_argument("--html", type=Path, help="write a page with pictures to this file")
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    made.add_argument(
        "--trust-code", action="store_true", help="let the YAML of the index import plugins"
    )
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Search; return 0."""
    args = parser().parse_args(argv)
    if args.top < 1:
        parser().error(f"--top is {args.top}, but must be at least 1")
    if not args.query.strip():
        parser().error("the query is empty")
    from transformers.utils import logging as transformers_logging

    from mmvt.files import atomic_write_text
    from mmvt.inference import load
    from mmvt.retrieval.build import check_model
    from mmvt.retrieval.index import VideoIndex

    transformers_logging.disable_progress_bar()
    index = VideoIndex.open(args.index)
    ref = index.model
    loaded = load(
        ref.config, ref.checkpoint, ref.overrides, trusted=args.trust_code, only_text=True
    )
    check_model(index, args.index, ref.with_fingerprint(loaded.fingerprint))
    hits = index.search(loaded.encode_text(args.query)[0].numpy(), args.top)
    if args.html is not None:
        from mmvt.retrieval.page import render

        page = render(args.query, hits, count=len(index.files), model=Path(ref.config).stem)
        atomic_write_text(args.html, page)
    print(as_json(args.query, hits, str(ref)) if args.json else as_table(hits))
    return 0


def as_json(query: str, hits: Sequence[Hit], model: str) -> str:
    """Return the answer for programs."""
    import json

    results = [
        {
            "rank": rank,
            "score": hit.score,
            "id": hit.file.id,
            "path": hit.file.path,
            "start": hit.start,
            "end": hit.end,
            "duration": hit.file.duration,
        }
        for rank, hit in enumerate(hits, start=1)
    ]
    answer = {"query": query, "model": model, "results": results}
    return json.dumps(answer, indent=2, ensure_ascii=False)


def as_table(hits: Sequence[Hit]) -> str:
    """Return the answer for people: score, best span, file."""
    from mmvt.retrieval.page import clock

    rows = [("score", "best span", "file")]
    rows += [
        (f"{hit.score:.3f}", f"{clock(hit.start)} – {clock(hit.end)}", hit.file.id) for hit in hits
    ]
    width = max(len(span) for _, span, _ in rows)
    return "\n".join(f"{score:>6}  {span:<{width}}  {name}" for score, span, name in rows)


if __name__ == "__main__":
    raise SystemExit(main())
