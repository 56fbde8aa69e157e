"""The procedural corpus: short videos of moving shapes, with captions and a tokenizer.

Whole pairs of a colour and a shape are held out. With single combinations held out, a model can
learn by heart which motions a pair was seen with, and is wrong about the ones that are left.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from mmvt.demo.scene import COLOURS, LANES, MOTIONS, SHAPES, SIZE, Scene, render
from mmvt.demo.wording import captions_of, plain_caption, tokenizer_files
from mmvt.errors import DataError
from mmvt.seeding import generator

VERSION = 1
FRAMES_PER_SECOND = 2
COLUMNS = ("video", "caption", "start", "end", "split", "colour", "shape", "motion", "place")


@dataclass(frozen=True)
class CorpusOptions:
    """What decides the bytes of a corpus.

    Attributes:
        count: number of clips.
        seed: of all chance in it.
        frames: frames a clip, at 2 a second.
        version: of this generator.
    """

    count: int = 1200
    seed: int = 1
    frames: int = 6
    version: int = VERSION


@dataclass(frozen=True)
class Clip:
    """One clip of the corpus.

    Attributes:
        index: its number, from 0.
        scene: what it shows.
        split: ``train``, ``valid`` or ``test``.
    """

    index: int
    scene: Scene
    split: str

    @property
    def name(self) -> str:
        """Its file in ``videos/``, which is also its id."""
        return f"{self.index:05d}.mp4"


def split_of(colour: str, shape: str) -> str:
    """Return the split of a pair of a colour and a shape.

    Two diagonals of the table of colours and shapes are held out, 12 of 48 pairs, so that every
    colour and every shape is still trained with many partners: 9 for testing, 3 for validation.
    """
    row, column = list(COLOURS).index(colour), list(SHAPES).index(shape)
    diagonal = (row - column) % len(COLOURS)
    if diagonal == 0 or (diagonal == 3 and column < 3):
        return "test"
    return "valid" if diagonal == 3 else "train"


def plan(options: CorpusOptions) -> list[Clip]:
    """Return the clips of a corpus: every pair equally often, each with as many scenes as fit."""
    pairs = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    ways = [(motion, lane) for motion in MOTIONS for lane in LANES]
    clips = []
    for index in range(options.count):
        pair_number, turn = index % len(pairs), index // len(pairs)
        # every pair goes through all motions and lanes in an order of its own
        order = generator(options.seed, 1, pair_number).permutation(len(ways))
        colour, shape = pairs[pair_number]
        motion, lane = ways[order[turn % len(ways)]]
        scene = Scene(colour, shape, motion, lane)
        clips.append(Clip(index, scene, split_of(colour, shape)))
    return clips


def write_corpus(
    folder: str | Path,
    options: CorpusOptions = CorpusOptions(),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> bool:
    """Write a corpus unless it is there; return whether it was written.

    The same options give the same bytes with the same build of PyAV. The folder holds ``videos/``,
    ``captions.csv`` (one row a caption; held-out clips have one plain caption, clips for training
    have four with times), ``tokenizer/`` (a tokenizer and the shape of a small BERT) and
    ``corpus.json``. It appears under its name when it is complete.

    Args:
        folder: where the corpus goes.
        options: what decides its contents.
        progress: called with the number of finished clips and of all.

    Raises:
        DataError: the folder holds something else, such as a corpus with other options.
        ValueError: an option is out of range.
    """
    if options.count < 1 or options.frames < 2:
        raise ValueError("a corpus needs at least 1 clip of at least 2 frames")
    folder = Path(folder)
    if _is_complete(folder, options):
        return False
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    try:
        (partial / "videos").mkdir(parents=True)
        clips = plan(options)
        for clip in clips:
            rng = generator(options.seed, 2, clip.index)
            write_video(partial / "videos" / clip.name, render(clip.scene, options.frames, rng))
            if progress is not None:
                progress(clip.index + 1, len(clips))
        _write_texts(partial, clips, options)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_complete(folder: Path, options: CorpusOptions) -> bool:
    """Return whether the corpus is there; raise where something else is."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        there = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["options"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is there, but holds no procedural corpus; remove it") from error
    for key, asked in asdict(options).items():
        if there.get(key) != asked:
            raise DataError(
                f"{folder} holds a corpus with {key} {there.get(key)}, but {asked} is asked; "
                "remove it or name another folder"
            )
    return True


def write_video(path: Path, frames: UInt8[np.ndarray, "n height width 3"]) -> None:
    """Write frames as an H.264 mp4 file at 2 frames a second, the same bytes every time."""
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = frames.shape[2], frames.shape[1]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"crf": "20", "preset": "veryfast", "flags": "+bitexact"}
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_texts(folder: Path, clips: list[Clip], options: CorpusOptions) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row for clip in clips for row in _rows(clip, options))
    (folder / "captions.csv").write_text(table.getvalue(), encoding="utf-8")
    (folder / "tokenizer").mkdir()
    for name, text in tokenizer_files().items():
        (folder / "tokenizer" / name).write_text(text, encoding="utf-8")
    about = {
        "options": asdict(options),
        "clips": dict(Counter(clip.split for clip in clips)),
        "held_out_pairs": {
            split: sorted({f"{c.scene.colour} {c.scene.shape}" for c in clips if c.split == split})
            for split in ("valid", "test")
        },
        "frame_size": SIZE,
        "frames_per_second": FRAMES_PER_SECOND,
    }
    (folder / "corpus.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def _rows(clip: Clip, options: CorpusOptions) -> Iterator[tuple[str, ...]]:
    seconds = options.frames / FRAMES_PER_SECOND
    scene = clip.scene
    if clip.split == "train":
        captions = captions_of(scene, generator(options.seed, 3, clip.index))
    else:
        captions = [plain_caption(scene)]
    for caption in captions:
        times = f"{caption.start * seconds:g}", f"{caption.end * seconds:g}"
        yield (
            clip.name,
            caption.text,
            *times,
            clip.split,
            scene.colour,
            scene.shape,
            scene.motion,
            scene.place,
        )
