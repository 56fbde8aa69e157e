"""Runs the processes of a step side by side, and passes signals on to them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from mmvt.stopping import NOTE

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_together(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[int]:
    """Run commands side by side and wait for all of them; signals are passed on to them.

    Returns:
        Their exit codes: 128 + n for one that was ended by signal n, and for every one that
        ended well although the launcher was sent signal n, since its work is not done. The same
        for one of torchrun, which ends with 1, if its workers saved.
    """
    processes: list[subprocess.Popen[bytes]] = []
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None = None) -> None:
        received.append(number)
        for process in processes:
            if process.poll() is None:
                pass_on(process.pid, number)

    before = {number: signal.getsignal(number) for number in FORWARDED}
    with TemporaryDirectory(prefix="mmvt-") as folder:
        notes = [Path(folder, str(place)) for place in range(len(commands))]
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, forward)
            for command, note in zip(commands, notes, strict=True):
                print(shlex.join(command), flush=True)
                its = {**environment, NOTE: str(note)}
                # in a session of its own, a process gets the terminal's signals once: from here
                processes.append(subprocess.Popen(command, env=its, start_new_session=True))
            if received:  # perhaps before the last of them was listed
                forward(received[0])
            codes = [process.wait() for process in processes]
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        stopped = 128 + received[0] if received else 0
        if stopped:
            codes = [0 if note.exists() else code for code, note in zip(codes, notes, strict=True)]
    return [128 - code if code < 0 else code or stopped for code in codes]


def pass_on(process: int, number: int) -> None:
    """Send a signal to a process; SIGTERM, if it is torchrun, to its workers instead.

    torchrun would kill workers that have not ended after 30 seconds, in the midst of saving. When
    they have ended it ends by itself.

    Args:
        process: its id.
        number: the signal.
    """
    workers = children_of(process) if number == signal.SIGTERM and is_torchrun(process) else []
    for receiver in workers or [process]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(receiver, number)


def is_torchrun(process: int) -> bool:
    """Return whether a process is torchrun; False also where the system does not tell."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        return b"torch.distributed.run" in words or any(w.endswith(b"/torchrun") for w in words)
    return False


def children_of(process: int) -> list[int]:
    """Return the ids of the processes that a process has started and that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process and fields[0] != "Z":
                found.append(int(folder.name))
    return found
