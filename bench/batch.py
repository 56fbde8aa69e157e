"""A pre-training batch of VideoCLIP against what the original toolkit does (goal G3).

    python -m bench.batch [--folder DIR] [--videos 1000]

The baseline is a re-statement: for every video it opens the memory maps of features and of captions
anew, draws each clip in Python, one caption and one second at a time, copies it into zeros of
float32, and stacks the clips of the batch.
"""

from __future__ import annotations

import argparse
import pickle
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench._timing import Goal, interleaved, report, say_baseline
from mmvt.datasets.batches import ClipBatches, unpacked
from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.aligners.sampled import OverlappedAligner
from mmvt.processors.base import Aligner
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.meta.how2 import How2MetaProcessor
from mmvt.processors.text.shards import ShardedTextProcessor
from mmvt.processors.video.shards import ShardedVideoProcessor

G3 = Goal("G3", 30, 50, "3% of a training step, with one thread ahead")
EXPECTED = 252.0
VIDEOS, CLIPS, DIM, SHARD = 32, 16, 512, 250
V, L, WORDS = 32, 96, (8, 61)
CLS, SEP, PAD = 101, 102, 0
BERT = "[PAD] " + " ".join(f"[unused{n}]" for n in range(99)) + " [UNK] [CLS] [SEP] [MASK]"


def main() -> int:
    """Print the goal; return 1 where it is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.batch")
    parser.add_argument("--folder", type=Path, help="where to write shards (default: temporary)")
    parser.add_argument("--videos", type=int, default=1000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        write_data(folder, args.videos)
        same_without_chance(folder)
        met = measure(folder)
    return 0 if met else 1


def write_data(folder: Path, videos: int) -> None:
    """Write videos of 60 to 340 seconds with a caption of 3 to 12 words every 4 seconds."""
    rng = np.random.default_rng(1)
    pool = rng.standard_normal((700, DIM)).astype(np.float16)
    names = [f"{number:011d}" for number in range(videos)]
    (folder / "train.lst").write_text("\n".join(names))
    (folder / "vocab.txt").write_text("\n".join(BERT.split()))
    (folder / "config.json").write_text('{"model_type": "bert", "vocab_size": 104}')
    shards = {at // SHARD: names[at : at + SHARD] for at in range(0, videos, SHARD)}
    (folder / "train_meta.pkl").write_bytes(pickle.dumps(shards))
    for number, ids in shards.items():
        lengths = rng.integers(60, 341, len(ids))
        begins = rng.integers(0, 350, len(ids))
        data = [pool[first : first + n] for first, n in zip(begins, lengths, strict=True)]
        save(folder / f"train_{number}", data)
        spans = [np.stack([t := np.arange(0, n, 4.0), t + 4], 1) for n in lengths]
        save(folder / f"raw.train_{number}.startends", [s.astype(np.float32) for s in spans])
        tokens = [rng.integers(104, 30000, (len(s), 32)).astype(np.int32) for s in spans]
        for captions in tokens:
            captions[np.arange(32) >= rng.integers(3, 13, (len(captions), 1))] = -1
        save(folder / f"raw.train_{number}.caps_ids", tokens)


def save(prefix: Path, items: Sequence[np.ndarray]) -> None:
    """Write items as a ShardedTensor."""
    np.save(f"{prefix}_starts.npy", np.cumsum([0, *map(len, items)], dtype=np.int64))
    np.save(f"{prefix}_data.npy", np.concatenate(items))


def dataset(folder: Path, aligner: Aligner) -> MultimodalDataset:
    """Return the videos, read from shards in the original's form."""
    return MultimodalDataset(
        meta_processor=How2MetaProcessor(split="train", train_path=folder / "train.lst"),
        video_processor=ShardedVideoProcessor(split="train", vfeat_dir=folder),
        text_processor=ShardedTextProcessor(
            split="train", vfeat_dir=folder, tfeat_dir=f"{folder}/raw."
        ),
        aligner=aligner,
    )


class Original:
    """Makes batches as the original does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shards = pickle.loads((folder / "train_meta.pkl").read_bytes())  # noqa: S301  # written above
        self.places = {
            name: (shard, place) for shard, ids in shards.items() for place, name in enumerate(ids)
        }

    def batch(self, names: Sequence[str], clips: int) -> dict[str, Tensor]:
        """Return the clips of videos: the whole video and its first caption where clips is 0."""
        examples = []
        for name in names:
            shard, place = self.places[name]
            video = self.item(f"train_{shard}", place)
            times = self.item(f"raw.train_{shard}.startends", place)
            tokens = self.item(f"raw.train_{shard}.caps_ids", place)
            captions = [[t for t in row.tolist() if t != -1] for row in tokens]
            spans = [(row[0].item(), row[1].item()) for row in times]
            for _ in range(clips):
                examples.append(self.example(video, *self.sampled(len(video), spans, captions)))
            if clips == 0:
                examples.append(self.example(video, 0, len(video), captions[0]))
        return {key: torch.stack([example[key] for example in examples]) for key in examples[0]}

    def item(self, prefix: str, place: int) -> np.ndarray:
        """Return an item of a shard that is opened for it."""
        starts = np.load(self.folder / f"{prefix}_starts.npy", mmap_mode="r")
        data = np.load(self.folder / f"{prefix}_data.npy", mmap_mode="r")
        rows: np.ndarray = data[starts[place] : starts[place + 1]]
        return rows

    def sampled(
        self, length: int, spans: Sequence[tuple[float, float]], captions: Sequence[list[int]]
    ) -> tuple[int, int, list[int]]:
        """Draw captions around one, and seconds around one of theirs."""
        first = last = random.randint(0, len(captions) - 1)
        most, count = random.randint(*WORDS), len(captions[first])
        while count < most and (first > 0 or last < len(captions) - 1):
            if spans[last][1] - spans[first][0] >= 256:
                break
            if last == len(captions) - 1 or (first > 0 and random.random() > 0.5):
                first -= 1
                count += len(captions[first])
            else:
                last += 1
                count += len(captions[last])
        text = [token for caption in captions[first : last + 1] for token in caption]
        centre = random.randint(int(spans[first][0]), min(int(spans[last][1]), length))
        begin = end = centre
        most = random.randint(3, V)
        while end - begin < most and (begin > 0 or end < length):
            if end == length or (begin > 0 and random.random() > 0.5):
                begin -= 1
            else:
                end += 1
        return begin, end, text

    def example(
        self, video: np.ndarray, begin: int, end: int, text: list[int]
    ) -> dict[str, Tensor]:
        """Return the padded tensors of a clip."""
        clip = video[begin:end][:V]
        vfeats = np.zeros((V, DIM), np.float32)
        vfeats[: len(clip)] = clip
        vmasks = torch.zeros(V, dtype=torch.bool)
        vmasks[: len(clip)] = True
        words = text[: L - V - 3]
        caps = torch.LongTensor([CLS, SEP, *words, SEP] + [PAD] * (L - V - 3 - len(words)))
        cmasks = torch.zeros(L - V, dtype=torch.bool)
        cmasks[: 3 + len(words)] = True
        video_tensor = torch.from_numpy(vfeats)
        return {"vfeats": video_tensor, "vmasks": vmasks, "caps": caps, "cmasks": cmasks}


def same_without_chance(folder: Path) -> None:
    """Raise unless both sides make the same batch of whole videos and first captions."""
    layout = VideoTextLayout(max_video_len=V, max_len=L, bert_name=str(folder))
    clips = made(dataset(folder, PairAligner(layout=layout)))
    names = (folder / "train.lst").read_text().split()[:VIDEOS]
    theirs, ours = Original(folder).batch(names, 0), unpacked(clips(np.arange(VIDEOS)))
    for key, tensor in theirs.items():
        assert torch.equal(ours[key], tensor), key


def made(data: MultimodalDataset) -> ClipBatches:
    """Return what makes batches of a dataset at once."""
    clips = ClipBatches.of(data)
    assert clips is not None
    return clips


def measure(folder: Path) -> bool:
    """Print the goal."""
    aligner = OverlappedAligner(
        layout=VideoTextLayout(max_video_len=V, max_len=L, bert_name=str(folder)),
        max_video_len=V,
        sampled_min_len=WORDS[0],
        sampled_max_len=WORDS[1],
        subsampling=CLIPS,
    )
    data = dataset(folder, aligner)
    clips, original = made(data), Original(folder)
    rng = np.random.default_rng(2)
    names = (folder / "train.lst").read_text().split()

    def chosen() -> Any:
        return rng.choice(len(names), VIDEOS, replace=False)

    times = interleaved(
        lambda: original.batch([names[index] for index in chosen()], CLIPS),
        lambda: clips(chosen()),
        calls=10,
    )
    clip = 1e6 / VIDEOS / CLIPS
    say_baseline("batch", times.baseline * clip, EXPECTED, "µs a clip")
    return report(G3, times.ratio, f"{times.ours * clip:.2f} µs a clip")


if __name__ == "__main__":
    raise SystemExit(main())
