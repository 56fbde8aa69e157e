"""What every command shares: how errors end it."""

from __future__ import annotations

import functools
import logging
import os
import sys
import traceback
from typing import Protocol

from mmvt.errors import MMVTError
from mmvt.redaction import RedactingFormatter, redacted

LEVELS = ("debug", "info", "warning", "error")


class Main(Protocol):
    """The entry point of a command."""

    def __call__(self, argv: list[str] | None = None) -> int:
        """Run the command with ``argv``, by default the process's; return its exit code."""


def cli_errors(main: Main) -> Main:
    """Return ``main`` with mmvt's own errors printed in one piece and turned into exit code 2."""

    @functools.wraps(main)
    def wrapped(argv: list[str] | None = None) -> int:
        _start_logging()
        try:
            return main(argv)
        except MMVTError as error:
            lines = str(error).splitlines() or [type(error).__name__]
            for line in lines:
                print(f"error: {redacted(line)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        except Exception:  # a fault of ours: told as Python would, but without secrets
            sys.stderr.write(redacted(traceback.format_exc()))
            return 1

    return wrapped


def _start_logging() -> None:
    """Send log lines to stderr, unless they go somewhere already."""
    root = logging.getLogger()
    if root.handlers:
        return
    wanted = os.environ.get("MMVT_LOGLEVEL", "").upper()
    root.setLevel(logging.getLevelNamesMapping().get(wanted, logging.INFO))
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s | %(levelname)s | %(name)s | %(message)s"))
    root.addHandler(handler)


def choose_level(name: str | None) -> None:
    """Log from a level on; workers but the first say only what is wrong, unless all is wanted.

    Args:
        name: one of :data:`LEVELS`; None leaves the first worker as it is.
    """
    root = logging.getLogger()
    if name is not None:
        root.setLevel(name.upper())
    if os.environ.get("RANK", "0") != "0" and root.level > logging.DEBUG:
        root.setLevel(max(root.level, logging.WARNING))
