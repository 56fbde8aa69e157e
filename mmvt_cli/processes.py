"""Runs the processes of a step side by side, and passes signals on to them."""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from types import FrameType

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_together(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[int]:
    """Run commands side by side and wait for all of them; signals are passed on to them.

    Returns:
        Their exit codes: 128 + n for one that was ended by signal n, and for every one that
        ended well although the launcher was sent signal n, since its work is not done.
    """
    processes: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None = None) -> None:
        received.append(number)
        for process in processes:
            process.send_signal(number)

    before = {number: signal.getsignal(number) for number in FORWARDED}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, forward)
        for command in commands:
            print(shlex.join(command), flush=True)
            # in a session of its own, a process gets the terminal's signals once: from here
            processes.append(subprocess.Popen(command, env=environment, start_new_session=True))
        if received:  # perhaps before the last of them was listed
            forward(received[0])
        codes = [process.wait() for process in processes]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    stopped = 128 + received[0] if received else 0
    return [128 - code if code < 0 else code or stopped for code in codes]
