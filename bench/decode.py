"""Decoding video files against an ffmpeg pipe, and the memory that extraction takes (goals G6, G7).

    python -m bench.decode [--folder DIR] [--seconds 20]

The baseline is a re-statement: the ffmpeg command line, with its defaults, decodes, scales and
crops a whole video to a pipe, whose bytes become one array of float32. Where there is no ffmpeg
command, G6 cannot be measured, and the benchmark fails saying so.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench._timing import Goal, interleaved, report, say_baseline
from bench._video import RATE, repeat_video, width_of, write_video
from mmvt.features.decode_pool import DecodePool
from mmvt.features.find import Video

SIZE = 224
G6 = Goal("G6", 1.4, 1.6, "57% of decode-only")
G7 = Goal("G7", 1, 2, "64 MiB a MiB of ours")
VIDEOS = 8  # a turn of ours, so that starting its process weighs as little as in long runs
MUST_MIB, MUST_GROWTH = 64, 8


def main() -> int:
    """Print the goals; return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.decode")
    parser.add_argument("--folder", type=Path, help="where to write videos (default: temporary)")
    parser.add_argument("--seconds", type=int, default=20, help="length of the videos of G6")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        met = [
            decoding(write_video(Path(folder, f"{height}.mp4"), height, args.seconds), expected)
            for height, expected in ((480, 4.3), (720, 6.9))
        ]
        met.append(memory(Path(folder)))
    return 0 if all(met) else 1


def cpu_seconds() -> float:
    """Return CPU seconds of this process and of those it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def decoding(path: Path, expected: float) -> bool:
    """Measure all frames of a video, scaled and cropped."""
    if shutil.which("ffmpeg") is None:
        print("G6 not measured: there is no ffmpeg command to compare with")
        return False
    original, count = ffmpeg_frames(path), 0
    for frames in ours(path, 1):
        theirs = original[count : count + len(frames)]
        assert np.array_equal(frames, theirs), f"frames from {count} on differ"
        count += len(frames)
    assert count == len(original)
    times = interleaved(
        lambda: ffmpeg_frames(path),
        lambda: sum(map(len, ours(path, VIDEOS))),
        repeats=3,
        clock=cpu_seconds,
    )
    frame = times.ours / VIDEOS / count
    say_baseline(f"decoding of {path.stem}p", times.baseline / count * 1e3, expected, "ms a frame")
    return report(G6, times.baseline / count / frame, f"{path.stem}p: {frame * 1e3:.2f} ms a frame")


def ffmpeg_frames(path: Path) -> np.ndarray:
    """Return all frames as the original reads them."""
    filters = f"fps={RATE}:start_time=0,scale={scaled(path)}:flags=bicubic,crop={SIZE}:{SIZE}"
    command = ["ffmpeg", "-i", str(path), "-vf", filters]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]
    raw = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 3).astype(np.float32)


def scaled(path: Path) -> str:
    """Return the size, in ffmpeg's words, whose shorter side is SIZE."""
    height = int(path.stem)
    width = width_of(height)
    return f"{(2 * width * SIZE + height) // (2 * height)}:{SIZE}"


def ours(path: Path, videos: int) -> Iterator[np.ndarray]:
    """Yield all frames of a video, several times, decoded in a process as extraction does it."""
    reading = {"fps": RATE, "num_segments": None, "short_side": SIZE, "crop": SIZE, "chunk": RATE}
    with DecodePool(1, reading) as pool:
        for chunk in pool.chunks([Video(path.stem, path)] * videos):
            assert chunk.reason is None, chunk.reason
            if chunk.frames is None:
                pool.done()
            else:
                yield chunk.frames


EXTRACT = """
import json, sys, threading, time
from pathlib import Path
import torch
from mmvt.features.extract import extract
from mmvt.features.efficientnet import EfficientNetLite0
from mmvt.features.find import Video
from mmvt.features.heap import keep_freed_memory

def used():
    # what is the processes' own: pages of files, such as libraries, are shared with all others
    total = own("self")
    for task in Path("/proc/self/task").glob("*/children"):
        for pid in task.read_text().split():
            # a child that has not begun its own program yet still is this process
            if b"mmvt.features.decoder" in read(pid, "cmdline").split(b"\\0"):
                total += own(pid)
    return total / 1024

def own(pid):
    lines = read(pid, "status").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith((b"RssAnon", b"RssShmem")))

def read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""

peaks, going = [0.0], True

def watch():
    while going:
        peaks[-1] = max(peaks[-1], used())
        time.sleep(0.002)

torch.set_num_threads(1)
keep_freed_memory()
encoder = EfficientNetLite0()
watcher = threading.Thread(target=watch)
watcher.start()
chunk = torch.zeros(4, encoder.frame_size, encoder.frame_size, 3, dtype=torch.uint8)
encoder.encode(chunk)
peaks.append(0.0)
path = Path(sys.argv[1])
report = extract([Video("v", path)], encoder, path.with_suffix(".features"))
going = False
watcher.join()
print(json.dumps([report.extracted, peaks[1] - peaks[0]]))
"""


def memory(folder: Path) -> bool:
    """Measure the most that extraction takes beyond the most of one forward, workers included."""
    taken = []
    scene = write_video(folder / "scene.mp4", 720, 20)
    for minutes in (1, 10):
        path = repeat_video(scene, folder / f"{minutes}.mp4", 3 * minutes)
        run = [sys.executable, "-c", EXTRACT, str(path)]
        said = subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout
        extracted, mebibytes = json.loads(said)
        assert extracted == 1
        taken.append(mebibytes)
    print(f"baseline memory: {43 * 60} MiB for a minute of video (43 MiB a second)")
    detail = f"{taken[0]:.1f} MiB for 1 minute of 720p, {taken[1]:.1f} for 10"
    met = report(G7, MUST_MIB / max(taken), detail)
    return met and abs(taken[1] - taken[0]) <= MUST_GROWTH


if __name__ == "__main__":
    raise SystemExit(main())
