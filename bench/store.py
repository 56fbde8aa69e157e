"""Reading a feature store against what the original toolkit does (goals G1, G2, G4, G5).

    python -m bench.store [--folder DIR] [--videos 2000]

The baseline is a re-statement: it opens the memory maps anew for every video, copies each clip into
zeros of float32, and stacks the clips of a batch.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench._timing import Goal, interleaved, report, say_baseline
from mmvt.datasets.gather import Clips, PackedRows, RowGatherer
from mmvt.datasets.store import FeatureStore
from mmvt.features.shard import StoreWriter

CLIPS, DIM, SHORTEST, LONGEST = 512, 512, 3, 32
SHARD = 500
G1 = Goal("G1", 30, 45, "70% of memcpy")
G2 = Goal("G2", 70, 110, "70% of memcpy")
G4 = Goal("G4", 6, 12, "disk bytes at most 1.3 times the useful ones")
G5 = Goal("G5", 1, 20, "20 ms a time of ours, and 1 MiB")
MILLION = 1_000_000


def main() -> int:
    """Print the goals; return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.store")
    parser.add_argument(
        "--folder", type=Path, help="where to write the stores (default: temporary)"
    )
    parser.add_argument("--videos", type=int, default=2000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        store = write_store(Path(folder, "features"), args.videos)
        met = [warm(store, 16, G1, 93.0), warm(store, 1, G2, 299.0), cold(store)]
        met.append(opening(Path(folder)))
    return 0 if all(met) else 1


def write_store(folder: Path, videos: int) -> FeatureStore:
    """Write videos of 60 to 340 rows, in shards."""
    rng = np.random.default_rng(1)
    with StoreWriter(folder, dim=DIM, fps=1.0, encoder={"name": "bench"}, shard_size=SHARD) as out:
        pool = rng.standard_normal((400, DIM)).astype(np.float16)
        for number in range(videos):
            length = int(rng.integers(60, 341))
            out.add(f"video{number}", np.roll(pool, number, 0)[:length])
    return FeatureStore.open(folder)


def draw(store: FeatureStore, a_video: int, seed: int) -> Clips:
    """Draw a batch of clips, so many of each video."""
    rng = np.random.default_rng(seed)
    videos = rng.choice(len(store), CLIPS // a_video, replace=False)
    places = [store.place_of(int(number)) for number in videos]
    shard = np.repeat([shard for shard, _ in places], a_video)
    spans = np.array([store.shard(s).rows.starts[p : p + 2] for s, p in places])
    length = rng.integers(SHORTEST, LONGEST + 1, CLIPS)
    first, stop = np.repeat(spans, a_video, axis=0).T
    return Clips(shard, first + (rng.random(CLIPS) * (stop - first - length)).astype(int), length)


def original_batch(store: FeatureStore, clips: Clips, a_video: int) -> Tensor:
    """Return a batch as the original makes it: (clips, LONGEST, DIM) float32."""
    padded = []
    for at in range(0, CLIPS, a_video):
        prefix = store.folder / store.manifest.shards[clips.shard[at]].name
        starts = np.load(f"{prefix}_starts.npy", mmap_mode="r")
        data = np.load(f"{prefix}_data.npy", mmap_mode="r")
        position = int(np.searchsorted(starts, clips.first[at], side="right")) - 1
        video = data[starts[position] : starts[position + 1]]
        for clip in range(at, at + a_video):
            begin = int(clips.first[clip] - starts[position])
            rows = np.zeros((LONGEST, DIM), np.float32)
            rows[: clips.length[clip]] = video[begin : begin + clips.length[clip]]
            padded.append(torch.from_numpy(rows))
    return torch.stack(padded)


def same(theirs: Tensor, ours: PackedRows) -> None:
    """Raise unless both hold the same numbers."""
    for rows, start, length in zip(theirs.numpy(), ours.starts, ours.lengths, strict=True):
        assert np.array_equal(rows[:length], ours.rows[start : start + length])


def gatherer(store: FeatureStore) -> RowGatherer:
    """Return ours, over all shards."""
    return RowGatherer([store.folder / shard.name for shard in store.manifest.shards])


def warm(store: FeatureStore, a_video: int, goal: Goal, expected: float) -> bool:
    """Measure batches whose files are in memory."""
    clips = draw(store, a_video, seed=2)
    gather = gatherer(store)
    same(original_batch(store, clips, a_video), gather(clips))
    times = interleaved(
        lambda: original_batch(store, clips, a_video), lambda: gather(clips), calls=20
    )
    source = gather(clips).rows
    target = np.empty_like(source)
    copy = interleaved(lambda: None, lambda: np.copyto(target, source), calls=50).ours
    microseconds = 1e6 / CLIPS
    say_baseline(
        f"gather, {a_video} clips a video", times.baseline * microseconds, expected, "µs a clip"
    )
    detail = f"{times.ours * microseconds:.2f} µs a clip, {copy / times.ours:.0%} of memcpy"
    return report(goal, times.ratio, detail)


def cold(store: FeatureStore) -> bool:
    """Measure batches whose files have to come from the disk, in seconds that pass."""
    gather = gatherer(store)
    turn = iter(range(100, 10_000))
    current = [draw(store, 1, 99)]

    def forget() -> None:
        current[0] = draw(store, 1, next(turn))
        for shard in store.manifest.shards:
            with (store.folder / f"{shard.name}_data.npy").open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def counted(call: Callable[[], object], into: list[float]) -> Callable[[], object]:
        def run() -> None:
            before = disk_bytes()
            call()
            useful = int(current[0].length.sum()) * DIM * 2
            into.append((disk_bytes() - before) / useful)

        return run

    theirs: list[float] = []
    ours: list[float] = []
    times = interleaved(
        counted(lambda: original_batch(store, current[0], 1), theirs),
        counted(lambda: gather(current[0]), ours),
        before=forget,
        clock=time.perf_counter,
    )
    same(original_batch(store, current[0], 1), gather(current[0]))
    read = float(np.median(ours))
    say_baseline("bytes read per useful byte, cold", float(np.median(theirs)), 33, "times")
    met = report(
        G4, times.ratio, f"{times.ours * 1e3:.0f} ms a batch, {read:.2f} bytes a useful one"
    )
    return met and read <= 1.3


def disk_bytes() -> int:
    """Return how many bytes this process had fetched from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


OPEN = """
import sys, time, pathlib
from mmvt.datasets.store import FeatureStore
def private():
    text = pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(l.split()[1]) for l in text if l.startswith("Private_Dirty"))
FeatureStore.open(pathlib.Path(sys.argv[2]))["a"]
before, start = private(), time.process_time()
store = FeatureStore.open(pathlib.Path(sys.argv[1]))
took, memory = time.process_time() - start, (private() - before) / 1024
print(took, memory, len(store), "video999999" in store)
"""


def opening(folder: Path) -> bool:
    """Measure how long a store of a million videos takes to open, and what memory."""
    million = folder / "million"
    with StoreWriter(million, dim=1, fps=1.0, encoder={"name": "bench"}, shard_size=4096) as out:
        row = np.ones((1, 1), np.float16)
        for number in range(MILLION):
            out.add(f"video{number}", row)
    with StoreWriter(folder / "one", dim=1, fps=1.0, encoder={"name": "bench"}) as out:
        out.add("a", row)
    run = [sys.executable, "-c", OPEN, str(million), str(folder / "one")]
    seconds, mebibytes = [], []
    for _ in range(5):
        said = subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()
        assert said[2:] == [str(MILLION), "True"], said
        seconds.append(float(said[0]))
        mebibytes.append(float(said[1]))
    took, memory = float(np.median(seconds)), float(np.median(mebibytes))
    theirs = original_opening(folder)
    say_baseline("opening of 1,000,000 videos", theirs, 2.1, "s")
    detail = f"{took * 1e3:.1f} ms, {memory:.2f} MiB private, {theirs / took:.0f} x the baseline"
    return report(G5, 0.020 / took, detail) and memory <= 1.0


def original_opening(folder: Path) -> float:
    """Return the CPU seconds in which lists of ids become the examples of a data set."""
    names = [f"{number:011d}" for number in range(MILLION)]
    shards = {first // 4096: names[first : first + 4096] for first in range(0, MILLION, 4096)}
    (folder / "meta.pkl").write_bytes(pickle.dumps(shards))
    (folder / "train.lst").write_text("\n".join(names))
    del names, shards
    start = time.process_time()
    meta = pickle.loads((folder / "meta.pkl").read_bytes())  # noqa: S301  # written above
    places = {}
    for shard, ids in meta.items():
        for position, video_id in enumerate(ids):
            places[video_id] = (shard, position)
    with (folder / "train.lst").open() as lines:
        listed = [line.strip() for line in lines]
    examples = [(video_id, video_id, *places[video_id]) for video_id in listed]
    assert len(examples) == MILLION
    return time.process_time() - start


if __name__ == "__main__":
    raise SystemExit(main())
