"""``mmvt SUBCOMMAND …``: finds the module of a subcommand and runs it."""

from __future__ import annotations

import importlib
import sys

from mmvt.errors import did_you_mean

COMMANDS = {
    "setup": ("mmvt_cli.setup", "install what training, the demo or development need"),
    "demo": ("mmvt_cli.demo", "make a corpus, train, evaluate, search and report; all measured"),
    "demo data": ("mmvt_cli.demo_data", "make the procedural corpus and its features"),
    "demo vpt": (
        "mmvt_cli.demo_vpt",
        "have a model write captions on the demo's features; measured",
    ),
    "extract": ("mmvt_cli.extract", "turn video files into features"),
    "transcribe": ("mmvt_cli.transcribe", "write down what is said in video files, with times"),
    "launch": ("mmvt_cli.launch", "run a project YAML (the same as locallaunch.py)"),
    "train": ("mmvt_cli.train", "train one task YAML in this process"),
    "predict": ("mmvt_cli.predict", "evaluate one task YAML"),
    "score": ("mmvt_cli.score", "score a prediction file of a public benchmark"),
    "runs": ("mmvt_cli.runs", "list runs, compare two, draw their losses"),
    "report": ("mmvt_cli.report", "write the report of a run as one HTML page"),
    "index": ("mmvt_cli.index", "make video files searchable"),
    "search": ("mmvt_cli.search", "find videos by a text"),
    "store": ("mmvt_cli.store", "look into feature stores, check, merge and convert them"),
    "tokenize": ("mmvt_cli.tokenize", "clean captions and write them to shards, tokenised"),
    "convert": ("mmvt_cli.convert", "convert checkpoints of the original VideoCLIP and VLM"),
    "describe": ("mmvt_cli.describe", "list plugins, their fields, types and defaults"),
    "check": ("mmvt_cli.check", "build every part of task YAMLs on the CPU"),
    "init": ("mmvt_cli.init", "write a starter project into a folder"),
}


def usage() -> str:
    """Return the list of subcommands."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: mmvt SUBCOMMAND ...",
            "",
            "Features from video files, training, evaluation and search.",
            "",
            *lines,
            "",
            "examples:",
            "  mmvt demo data",
            "  mmvt launch projects/pretrain.yaml --jobtype local_single",
            "  mmvt describe aligner OverlappedAligner",
            "",
            "mmvt SUBCOMMAND --help says more.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the subcommand named by the first arguments; return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS and len(words) >= length:
            module = importlib.import_module(COMMANDS[name][0])
            return int(module.main(words[length:]))
    longer = [name for name in COMMANDS if name.split()[0] == words[0]]
    hint = did_you_mean(words[0], COMMANDS) or "".join(f"; did you mean {n}?" for n in longer)
    listing = hint or f" (there are {', '.join(COMMANDS)})"
    print(f"error: mmvt has no subcommand {words[0]!r}{listing}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
