"""Segments of VPT in the forms of its code: Deeplake columns, and the jsonl and npz before them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TOKENS, DIM = 577, 1024
COLUMNS = ("caption", "video_filename", "segment_metadata")


@dataclass
class Spoken:
    """A segment; what a test wants wrong with it stands in ``wrong``, by column."""

    video: str
    index: int
    total: int
    text: str
    dim: int = DIM
    tokens: int = TOKENS
    wrong: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> float:
        return 6.0 * self.index + 1

    @property
    def end(self) -> float:
        return self.start + 5

    @property
    def words(self) -> list[dict[str, Any]]:
        said = self.text.split()
        edges = np.linspace(self.start, self.end, len(said) + 1).tolist()
        return [
            {"word": word, "start": edges[at], "end": edges[at + 1]} for at, word in enumerate(said)
        ]

    @property
    def columns(self) -> dict[str, Any]:
        """The row of VPT's Deeplake dataset, without frames."""
        metadata = {
            "start": str(self.start),
            "end": str(self.end),
            "segment_word_list": self.words,
            "segment_index": str(self.index),
            "total_segments": str(self.total),
        }
        rng = np.random.default_rng([self.index, len(self.video), *self.video.encode()])
        hidden = rng.normal(size=(self.tokens, self.dim)).astype(np.float32)
        return {
            "caption": self.text,
            "video_filename": self.video,
            "segment_metadata": json.dumps(metadata),
            "caption_embedding": rng.normal(size=(len(self.words) + 3, self.dim)).astype("f2"),
            "done_text_encode": True,
            "clip_pooled_embedding": rng.normal(size=self.dim).astype(np.float32),
            "clip_last_hidden_states": hidden,
            "timestamp": (self.start + self.end) / 2,
            **self.wrong,
        }

    @property
    def whisper(self) -> dict[str, Any]:
        """The entry of ``…_whisper_output.jsonl``."""
        return {
            "caption": self.text,
            "start": self.start,
            "end": self.end,
            "segment_word_list": self.words,
            "video_filename_name": self.video,
            "video_filepath": f"/data/{self.video}",
            "segment_index": self.index,
            "total_segments": self.total,
        }

    @property
    def clip_output(self) -> dict[str, Any]:
        """The dict in ``arr_N`` of an npz, with smaller pictures."""
        rng = np.random.default_rng([self.index, *self.video.encode()])
        stem = Path(self.video).stem
        found = {
            "frame_embeddings": rng.normal(size=(1, 768)).astype(np.float16),
            "text_caption_embeddings": rng.normal(size=768).astype(np.float16),
            "segment_frames": np.zeros((1, 8, 8, 3), np.uint8),
        }
        return {
            "video_stem": stem,
            "segment_id": f"{stem}_{self.index}",
            "segment_index": np.int16(self.index),
            "total_segments": np.int16(self.total),
            "segment_total_time": self.end - self.start,
            "captions": self.text,
            "segment_start_time": self.start,
            "segment_end_time": self.end,
            "num_frames_per_segment": np.int16(1),
            **found,
            **{f"{name}_shape": array.shape for name, array in found.items()},
            **self.wrong,
        }


def spoken(texts: dict[str, Sequence[str]], **options: Any) -> list[Spoken]:
    """Return the segments of videos, video after video."""
    return [
        Spoken(video, index, len(said), text, **options)
        for video, said in texts.items()
        for index, text in enumerate(said)
    ]


def write_files(folder: Path, segments: Sequence[Spoken]) -> Path:
    """Write jsonl and npz as the code of VPT did; return the folder."""
    videos = by_video(segments)
    (folder / "part_clip_output").mkdir(parents=True)
    with (folder / "part_whisper_output.jsonl").open("w") as file:
        for said in videos.values():
            # a text of JSON, written as JSON
            file.write(json.dumps(json.dumps([segment.whisper for segment in said])) + "\n")
    for video, said in videos.items():
        path = folder / "part_clip_output" / Path(video).stem
        np.savez_compressed(f"{path}.npz", *[segment.clip_output for segment in said])
    return folder


def write_columns(folder: Path, segments: Sequence[Spoken]) -> Path:
    """Write an npz a video, without objects, with the columns of Deeplake; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for video, said in by_video(segments).items():
        rows = [segment.columns for segment in said]
        names = [name for name in rows[0] if name != "caption_embedding"]
        columns = {name: np.array([row[name] for row in rows]) for name in names}
        np.savez(folder / f"{Path(video).stem}.npz", **columns)
    return folder


def by_video(segments: Sequence[Spoken]) -> dict[str, list[Spoken]]:
    videos: dict[str, list[Spoken]] = defaultdict(list)
    for segment in segments:
        videos[segment.video].append(segment)
    return videos


def write_deeplake(folder: Path, segments: Sequence[Spoken]) -> Path:
    """Write a dataset of Deeplake 4; return the folder."""
    import deeplake
    from deeplake import types

    rows = [segment.columns for segment in segments]
    dataset = deeplake.create(str(folder))
    for name in COLUMNS:
        dataset.add_column(name, types.Text())
    dataset.add_column("caption_embedding", types.Array("float16", dimensions=2))
    dataset.add_column("done_text_encode", "bool")
    dataset.add_column("clip_pooled_embedding", types.Array("float32", dimensions=1))
    dataset.add_column("clip_last_hidden_states", types.Array("float32", dimensions=2))
    dataset.add_column("timestamp", "float64")
    dataset.append({name: [row[name] for row in rows] for name in rows[0]})
    dataset.commit()
    return folder
