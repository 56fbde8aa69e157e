"""Real runs over real files for the tests of faults: a tiny encoder, processes, disks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from mmvt.features.base import FeatureEncoder
from mmvt.features.extract import FrameOptions, Report, extract
from mmvt.features.find import Video, find_videos

ROOT = Path(__file__).resolve().parents[2]
SMALL_CLIPS = (
    "Panda-70M__A3y8N3nnVJ8.68.mp4",
    "Panda-70M__C_7tn_oGHI0.432.mp4",
    "Panda-70M__UaQKCrszICw.16.mp4",
    "sample-videos__milk.mkv",
)
TWO_FRAMES = FrameOptions(num_segments=2)


class ColourEncoder(FeatureEncoder):
    """Returns the mean colour of frames: exact, so that equal frames give equal bytes.

    Args:
        weights: stands for the hash of weights.
    """

    def __init__(self, *, weights: str = "a", frame_size: int = 32) -> None:
        self.dim = 3
        self.frame_size = frame_size
        self.weights = weights
        self.seen = 0

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "ColourEncoder", "weights_sha256": self.weights}

    @override
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        self.seen += len(frames)
        return frames.long().sum(dim=(1, 2)).div(frames[0, ..., 0].numel()).float()[:, None]


def run(videos: Path | list[Video], store: Path, **options: Any) -> Report:
    """Extract two frames a video into a store."""
    found = find_videos(videos).videos if isinstance(videos, Path) else videos
    encoder = options.pop("encoder", None) or ColourEncoder()
    return extract(found, encoder, store, options.pop("frames", TWO_FRAMES), **options)


def command(*words: str | Path, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run ``mmvt`` in a process of its own; a variable that is None is unset."""
    changed = {"PYTHONPATH": str(ROOT), "COLUMNS": "300", **environment}
    kept = {name: value for name, value in os.environ.items() if name not in changed}
    return subprocess.run(
        [sys.executable, "-m", "mmvt_cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=kept | {name: value for name, value in changed.items() if value is not None},
    )


def reasons(report: Report) -> dict[str, str]:
    """Return the reason of each failure, by id."""
    return {failure.id: failure.reason for failure in report.failures}


def digest(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a store."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def decoders_of(parent: int) -> list[int]:
    """Return the ids of the decoders that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            words = (folder / "cmdline").read_text()
            if int(fields[1]) == parent and "mmvt.features.decoder" in words:
                found.append(int(folder.name))
    return found


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that waits to be buried does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def at_event(names: set[str], reaction: Callable[..., None]) -> Iterator[None]:
    """Call ``reaction`` at every audit event of the names, with its arguments."""
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if active and event in names:
            reaction(*arguments)

    sys.addaudithook(hook)
    try:
        yield
    finally:
        active = False


class FillingDisk:
    """A file system in memory.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def resize(self, size: int) -> None:
        """Set its size in bytes."""
        self._remount(f"size={size}")

    def protect(self) -> None:
        """Make it read-only."""
        self._remount("ro")

    def fill(self) -> None:
        """Leave no room on it."""
        with contextlib.suppress(OSError), (self.folder / "filling").open("wb", 0) as file:
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError), (self.folder / "filling").open("ab", 0) as file:
            while True:
                file.write(b"0")

    def _remount(self, option: str) -> None:
        words = ["mount", "-o", f"remount,{option}", str(self.folder)]
        subprocess.run(words, check=True)


class MillionEncoder(ColourEncoder):
    """Makes rows as those of the store of a million videos."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 2

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        return {"name": "t"}
