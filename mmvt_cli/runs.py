"""Lists runs, compares two, and draws their losses."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmvt.errors import DataError
from mmvt_cli._cli import cli_errors

if TYPE_CHECKING:
    from rich.table import Table

    from mmvt.report.runs import Summary

RUNS = Path("runs")
WAYS = ("list", "diff", "plot")
EXAMPLES = """\
examples:
  mmvt runs                                             those below runs/, the latest first
  mmvt runs list runs/pretrain --json
  mmvt runs diff pretrain/videoclip pretrain/seed2      keys, versions and figures that differ
  mmvt runs plot pretrain/videoclip pretrain/seed2      losses, in one picture

A run is named by its folder, or by that within runs/. What a run did is told by its run.json:
running, finished, stopped (by a signal), failed (by an error), killed, or elsewhere (on another
machine, and not ended). mmvt report shows one run as a page.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mmvt runs",
        description="List runs, compare two, and draw their losses.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ways = parser.add_subparsers(dest="way", metavar="{list,diff,plot}")
    every = ways.add_parser("list", help="list the runs below a folder (also without this word)")
    every.add_argument("folder", nargs="?", type=Path, default=RUNS, help="default: runs")
    every.add_argument("--json", action="store_true", help="print JSON")
    two = ways.add_parser("diff", help="tell how two runs differ")
    two.add_argument("one", type=Path, metavar="RUN")
    two.add_argument("other", type=Path, metavar="RUN")
    two.add_argument("--json", action="store_true", help="print JSON")
    plot = ways.add_parser("plot", help="draw the losses of runs")
    plot.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    plot.add_argument(
        "--out", type=Path, default=Path("losses.png"), metavar="FILE", help="PNG or SVG"
    )
    return parser


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Print or draw what is asked for; return 0, or 3 where runs could not be read."""
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in (*WAYS, "-h", "--help"):
        words = ["list", *words]
    args = _parser().parse_args(words)
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    if args.way == "list":
        return _list(args.folder, as_json=args.json)
    from mmvt.report.runs import compare, plot_losses, summarise

    if args.way == "plot":
        plot_losses([summarise(_folder(run)) for run in args.runs], args.out)
        print(f"written to {args.out}")
        return 0
    difference = compare(summarise(_folder(args.one)), summarise(_folder(args.other)))
    if args.json:
        print(json.dumps(vars(difference), indent=2, ensure_ascii=False))
        return 0
    _show(
        _pairs("figures", difference.results, (str(args.one), str(args.other))),
        _pairs("configuration", difference.config, (str(args.one), str(args.other))),
        _pairs("made with", difference.facts, (str(args.one), str(args.other))),
    )
    return 0


def _list(folder: Path, *, as_json: bool) -> int:
    from mmvt.report.runs import find_runs, latest, summarise

    runs, problems = [], []
    for path in find_runs(folder):
        try:
            runs.append(summarise(path))
        except DataError as error:
            problems.append(str(error))
    runs = latest(runs)
    if as_json:
        print(json.dumps([run.as_json() for run in runs], indent=2, ensure_ascii=False))
    elif runs:
        _show(_table(runs, folder))
    else:
        print(f"no runs below {folder}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 3 if problems else 0


def _folder(run: Path) -> Path:
    """Return the folder of a run that is named by it, or by that within ``runs``.

    Raises:
        DataError: there is neither.
    """
    found = next((path for path in (run, RUNS / run) if path.is_dir()), None)
    if found is None:
        raise DataError(f"there is no run {run}, nor {RUNS / run}; mmvt runs lists those there are")
    return found


def _table(runs: Sequence[Summary], folder: Path) -> Table:
    from rich.table import Table

    table = Table()
    for name in ("run", "state", "updates", "valid loss", "result", "seed", "started"):
        justify = "right" if name in ("updates", "valid loss", "seed") else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for run in runs:
        result = run.main_result
        cells = (
            str(run.folder.relative_to(folder)),
            run.state,
            run.updates,
            run.best_loss,
            None if result is None else f"{result[0]} {_text(result[1])}",
            run.seed,
            None if run.began is None else f"{run.began.astimezone():%Y-%m-%d %H:%M}",
        )
        table.add_row(*map(_text, cells))
    return table


def _pairs(title: str, pairs: Mapping[str, tuple[Any, Any]], names: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in ("", *names):
        table.add_column(_text(name), overflow="fold")
    for name, values in pairs.items():
        table.add_row(*map(_text, (name, *values)))
    if not pairs:
        table.add_row("no difference", "", "")
    return table


def _show(*tables: Table) -> None:
    from rich.console import Console

    for table in tables:
        Console().print(table)


def _text(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


if __name__ == "__main__":
    raise SystemExit(main())
