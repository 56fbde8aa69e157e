"""Cleans captions and writes them, tokenised, to shards beside those of the features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.errors import ConfigError
from mmvt_cli._cli import cli_errors
from mmvt_cli._progress import print_failures, progress

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mmvt.datasets.original_shards import VideoOrder
    from mmvt.processors.text.dedup import Unit

FAILED = 3
UNITS: dict[str, Unit | None] = {"words": "words", "characters": "characters", "none": None}
EXAMPLES = """\
examples:
  mmvt tokenize captions.json --tokenizer bert-base-uncased --store data/features --out data/text/
  mmvt tokenize captions.csv --tokenizer minilm --store data/features --out data/text/ --dedup none
  mmvt tokenize raw_caption.json --tokenizer bert-base-uncased --store how2/feat --split train \\
      --dedup characters --out how2/text/caption.bert-base-uncased.

CAPTIONS is JSON, {id: {"start": [...], "end": [...], "text": [...]}} with seconds, or a caption
file with the columns (CSV) or keys (JSONL) video, caption, start, end. A text shard follows each
shard of the store: PREFIX00000.caps_ids_data.npy and so on, which StoreTextProcessor reads (beside
shards of the original: ShardedTextProcessor), with PREFIX as its tfeat_dir.

A run that was stopped goes on with the first shard that is not done. Exit code: 0 when every video
has captions, 3 when some have not (they are listed, and kept in PREFIXtexts_failures.jsonl), 2 when
nothing could be done.
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="mmvt tokenize",
        description="Clean captions and write them, tokenised, to shards beside the features.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("captions", type=Path, help="a .json, .csv or .jsonl file")
    made.add_argument("--tokenizer", required=True, metavar="NAME", help="name or folder")
    made.add_argument(
        "--store", required=True, type=Path, help="the features whose order to follow"
    )
    made.add_argument("--split", choices=("train", "val"), help="of shards of the original")
    made.add_argument("--out", required=True, metavar="PREFIX", help="what the paths begin with")
    made.add_argument(
        "--dedup",
        choices=list(UNITS),
        help="what is compared to find what captions repeat (default: words for JSON, else none)",
    )
    made.add_argument("--max-words", type=int, default=32, help="tokens a caption (default 32)")
    made.add_argument("--force", action="store_true", help="begin anew")
    return made


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Tokenise; return 0, or 3 when some videos have no captions."""
    args = parser().parse_args(argv)
    if args.max_words < 1:
        raise ConfigError(f"--max-words is {args.max_words}, but must be at least 1")
    from mmvt.datasets.text_shards import write_text_shards
    from mmvt.files import sha256_file
    from mmvt.processors.text.cleaned import cleaned_captions
    from mmvt.processors.text.tokenizer import load_tokenizer, tokenised

    store = store_at(args.store, args.split)
    tokenizer = load_tokenizer(args.tokenizer)
    dedup = args.dedup or ("words" if args.captions.suffix == ".json" else "none")
    captions = cleaned_captions(args.captions, UNITS[dedup])
    made_by = {
        "captions": sha256_file(args.captions),
        "dedup": dedup,
        **fingerprint(args.tokenizer, tokenizer),
    }
    total = sum(len(store.ids_of(number)) for number in store.shard_numbers)
    with progress("tokenize", total) as advance:
        report = write_text_shards(
            args.out,
            store,
            captions,
            lambda texts: tokenised(tokenizer, texts),
            made_by=made_by,
            max_words=args.max_words,
            overwrite=args.force,
            on_videos=advance,
        )
    failures = report.failures
    print_failures("no captions", ((item.id, item.reason) for item in failures))
    print(
        f"{report.written} videos written, {report.skipped} there already, {len(failures)} failed"
    )
    return FAILED if failures else 0


def store_at(folder: Path, split: str | None) -> VideoOrder:
    """Return the feature store in a folder, ours or a split of the original's.

    Raises:
        StoreError: there is none.
    """
    if split is None:
        from mmvt.datasets.store import FeatureStore

        return FeatureStore.open(folder)
    from mmvt.datasets.original_shards import OriginalStore

    return OriginalStore(folder, split)


def fingerprint(name: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return what tells one tokenizer from another."""
    import hashlib
    import json

    words = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    return {"tokenizer": Path(name).name, "vocabulary": hashlib.sha256(words).hexdigest()}


if __name__ == "__main__":
    raise SystemExit(main())
