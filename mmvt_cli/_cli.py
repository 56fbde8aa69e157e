"""What every command shares: how errors end it."""

from __future__ import annotations

import functools
import logging
import os
import sys
from typing import Protocol

from mmvt.errors import MMVTError


class Main(Protocol):
    """The entry point of a command."""

    def __call__(self, argv: list[str] | None = None) -> int:
        """Run the command with ``argv``, by default the process's; return its exit code."""


def cli_errors(main: Main) -> Main:
    """Return ``main`` with mmvt's own errors printed in one piece and turned into exit code 2."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        wanted = os.environ.get("MMVT_LOGLEVEL", "").upper()
        logging.basicConfig(
            level=logging.getLevelNamesMapping().get(wanted, logging.INFO),
            format="%(asctime)s | %(levelname)s | %(name)s | %(message)s",
        )
        try:
            return main(argv)
        except MMVTError as error:
            lines = str(error).splitlines() or [type(error).__name__]
            for line in lines:
                print(f"error: {line}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130

    return wrapped
