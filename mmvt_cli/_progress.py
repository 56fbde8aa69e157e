"""What commands over many videos show: how far they are, and what failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(
    what: str, total: int | None, *, bytes_: bool = False
) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; yield what moves it on.

    Args:
        what: stands before the bar.
        total: where it ends; None = unknown.
        bytes_: whether it counts bytes.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True) if bytes_ else MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda amount: bar.advance(task, amount)


def print_failures(title: str, failures: Iterable[tuple[str, str]]) -> None:
    """Print a table of (name, reason); nothing where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "reason", title=title, title_justify="left")
    for name, reason in failures:
        table.add_row(Text(name, overflow="fold"), Text(reason, overflow="fold"))
    if table.row_count:
        # in a file or a pipe a name stays in one piece, so that it can be searched for
        Console(width=None if sys.stdout.isatty() else 400).print(table)
