"""The process that decodes: requests from standard input, frames or sound to standard output.

    python -m mmvt.features.decoder

A decoder may hang, crash or be killed for its memory; in a process of its own it takes nothing else
with it. A request is a line of JSON with the arguments of
:func:`~mmvt.features.reader.read_frames`, or with a path and those of
:func:`~mmvt.features.audio.read_sound` under ``sound``. The answer is a series of messages, each a
:data:`HEADER` and what it announces; the last one says how the video ended.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import struct
import sys
from collections.abc import Iterable
from typing import Any, BinaryIO

from mmvt.errors import MediaError
from mmvt.features.audio import read_sound
from mmvt.features.reader import probe, read_frames

# kind; number of frames, samples or bytes of a reason; height; width; seconds at which the sound
# begins, or that the video lasts, NaN if unknown
HEADER = struct.Struct("<4sIIId")
FRAMES, SOUND, DONE, FAILED = b"FRMS", b"SOND", b"DONE", b"FAIL"
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Answer requests until there are no more."""
    # whoever asked may be killed while this hangs
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all; the parent decides
    # what libraries print must not get between the messages
    with os.fdopen(os.dup(1), "wb", buffering=0) as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            answer(json.loads(line), out)
    return 0


def answer(request: dict[str, Any], out: BinaryIO) -> None:
    """Write the frames or the sound of a video, and how it ended."""
    path = request.pop("path")
    sound = request.pop("sound", None)
    try:
        duration = _frames(path, request, out) if sound is None else _sound(path, sound, out)
    except MediaError as error:
        reason = str(error).removeprefix(f"{path}: ").encode("utf-8", "backslashreplace")
        _send(out, HEADER.pack(FAILED, len(reason), 0, 0, 0.0), reason)
    else:
        _send(out, HEADER.pack(DONE, 0, 0, 0, math.nan if duration is None else duration))


def _frames(path: str, request: dict[str, Any], out: BinaryIO) -> float | None:
    duration = probe(path).duration
    for frames, times in read_frames(path, **request):
        _send(out, HEADER.pack(FRAMES, *frames.shape[:3], 0.0), times.data, frames.data)
    return duration


def _sound(path: str, request: dict[str, Any], out: BinaryIO) -> float:
    duration = 0.0
    for samples, time in read_sound(path, **request):
        _send(out, HEADER.pack(SOUND, len(samples), 0, 0, time), samples.data)
        duration = time + len(samples) / request["rate"]
    return duration


def _send(out: BinaryIO, *parts: bytes | memoryview) -> None:
    for part in _views(parts):
        while part:
            part = part[out.write(part) :]


def _views(parts: Iterable[bytes | memoryview]) -> Iterable[memoryview]:
    return (memoryview(part).cast("B") for part in parts)


if __name__ == "__main__":
    raise SystemExit(main())
