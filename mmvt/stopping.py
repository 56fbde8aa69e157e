"""Asks a training to stop: SIGTERM, which clusters send before they take a machine away.

Nothing heavy is imported here, so that a command listens before it loads anything.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# names a file by which a launcher learns that workers saved; torchrun's exit code is 1 anyway
NOTE = "MMVT_STOP_NOTE"


class StopRequest:
    """Whether this process was asked to stop.

    Attributes:
        received: the signal was sent.
    """

    def __init__(self) -> None:
        self.received = False

    @property
    def exit_code(self) -> int:
        """What a process ends with that did as it was asked: 143."""
        return 128 + signal.SIGTERM

    def note_saved(self) -> None:
        """Tell the launcher, if there is one, that all is saved."""
        if NOTE in os.environ:
            Path(os.environ[NOTE]).touch()

    @contextmanager
    def listening(self) -> Iterator[StopRequest]:
        """Note the signal instead of ending at once, while the block runs."""
        before = signal.signal(signal.SIGTERM, self._receive)
        try:
            yield self
        finally:
            signal.signal(signal.SIGTERM, before)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = True
