"""The procedural corpus: what is held out, what is written, and that it is always the same."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModel, BertConfig

from mmvt.demo.corpus import CorpusOptions, plan, split_of, write_corpus
from mmvt.demo.scene import COLOURS, MOTIONS, SHAPES, Scene, render
from mmvt.errors import DataError
from mmvt.features.reader import probe, read_frames
from mmvt.processors.caption_file import read_captions
from mmvt.processors.text.tokenizer import load_tokenizer

SMALL = CorpusOptions(count=50)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "procedural"
    assert write_corpus(folder, SMALL)
    return folder


def digest(folder: Path) -> str:
    sha = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return sha.hexdigest()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "captions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- what is held out


def test_no_pair_of_colour_and_shape_is_in_two_splits() -> None:
    pairs = {(clip.scene.colour, clip.scene.shape): set() for clip in plan(CorpusOptions())}
    for clip in plan(CorpusOptions()):
        pairs[clip.scene.colour, clip.scene.shape].add(clip.split)
    assert len(pairs) == 48
    assert all(len(splits) == 1 for splits in pairs.values())
    assert Counter(*[[split for splits in pairs.values() for split in splits]]) == {
        "train": 36,
        "test": 9,
        "valid": 3,
    }


def test_every_colour_and_shape_is_trained_with_most_partners() -> None:
    for colour in COLOURS:
        assert sum(split_of(colour, shape) == "train" for shape in SHAPES) >= 4
    for shape in SHAPES:
        assert sum(split_of(colour, shape) == "train" for colour in COLOURS) == 6


def test_the_default_corpus_holds_out_enough_and_balances_motions() -> None:
    clips = plan(CorpusOptions())
    assert Counter(clip.split for clip in clips) == {"train": 900, "test": 225, "valid": 75}
    motions = Counter(clip.scene.motion for clip in clips if clip.split == "test")
    assert set(motions) == set(MOTIONS)
    assert max(motions.values()) - min(motions.values()) <= 9
    held_out = Counter(clip.scene for clip in clips if clip.split == "test")
    assert max(held_out.values()) <= 2


# --- what is written


def test_videos_are_h264_of_the_stated_length(corpus: Path) -> None:
    videos = sorted((corpus / "videos").iterdir())
    assert [video.name for video in videos] == [f"{n:05d}.mp4" for n in range(50)]
    info = probe(videos[7])
    assert (info.codec, info.width, info.height) == ("h264", 128, 128)
    assert (info.fps, info.duration) == (2, 3)
    (chunk,) = read_frames(videos[7], fps=2.0)
    assert chunk.frames.shape == (6, 128, 128, 3)


def test_captions_are_a_valid_caption_file_with_times(corpus: Path) -> None:
    videos = read_captions(corpus / "captions.csv")
    assert list(videos) == [f"{n:05d}.mp4" for n in range(50)]
    for captions in videos.values():
        spans = [(caption.start, caption.end) for caption in captions]
        if captions[0].split == "train":
            assert spans == [(0, 3), (0, 3), (0, 1.5), (1.5, 3)]
        else:
            assert spans == [(0, 3)]


def test_the_first_caption_tells_the_attributes(corpus: Path) -> None:
    first = {row["video"]: row for row in reversed(rows(corpus))}
    for row in first.values():
        article = "an" if row["colour"] == "orange" else "a"
        assert row["caption"].startswith(f"{article} {row['colour']} {row['shape']} ")
        assert row["place"] in row["caption"]
    assert first["00001.mp4"]["split"] == "train"


def test_the_tokenizer_knows_every_word_and_spells_the_others(corpus: Path) -> None:
    tokenizer = load_tokenizer(str(corpus / "tokenizer"))
    for row in rows(corpus):
        assert tokenizer.tokenize(row["caption"]) == row["caption"].split()
    assert tokenizer.tokenize("A dog!") == ["a", "d", "##o", "##g", "!"]
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]


def test_a_small_bert_can_be_built_beside_the_tokenizer(corpus: Path) -> None:
    config = BertConfig.from_pretrained(corpus / "tokenizer")
    assert config.vocab_size == len(load_tokenizer(str(corpus / "tokenizer")))
    assert AutoModel.from_config(config).num_parameters() < 3_000_000


def test_the_summary_says_what_was_made(corpus: Path) -> None:
    about = json.loads((corpus / "corpus.json").read_text())
    assert about["options"] == {"count": 50, "seed": 1, "frames": 6, "version": 1}
    assert sum(about["clips"].values()) == 50
    assert "red circle" in about["held_out_pairs"]["test"]


# --- what is shown


def centre_and_size(frame: np.ndarray) -> tuple[float, float, int]:
    """Return where a red shape on grey is, and its pixels."""
    colours = frame.astype(int)
    ys, xs = np.nonzero(colours[..., 0] - colours[..., 1:].max(-1) > 80)
    return xs.mean(), ys.mean(), len(xs)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_moves_as_its_scene_says(motion: str, shape: str) -> None:
    frames = render(Scene("red", shape, motion, 1), 6, np.random.default_rng(3))
    places = [centre_and_size(frame) for frame in frames]
    (x0, y0, size0), (x1, y1, size1) = places[0], places[-1]
    moved = {"left": x0 - x1, "right": x1 - x0, "up": y0 - y1, "down": y1 - y0}
    if motion in moved:
        assert moved[motion] > 50
    elif motion == "grows":
        assert size1 > 4 * size0
    elif motion == "shrinks":
        assert size0 > 4 * size1
    else:
        spread = np.ptp([place[0] for place in places]) + np.ptp([place[1] for place in places])
        assert spread > 60 if motion == "circles" else spread < 4


@pytest.mark.parametrize(("motion", "axis"), [("left", 1), ("up", 0), ("stays", 0)])
def test_a_lane_is_where_its_word_says(motion: str, axis: int) -> None:
    centres = []
    for lane in range(3):
        frames = render(Scene("red", "square", motion, lane), 2, np.random.default_rng(0))
        centres.append(centre_and_size(frames[0])[axis])
    assert centres[0] < 45 < centres[1] < 83 < centres[2]
    words = ["top", "middle", "bottom"] if axis == 1 else ["left", "middle", "right"]
    assert [Scene("red", "square", motion, lane).place for lane in range(3)] == words


# --- always the same, never half


def test_the_same_options_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "again", SMALL)
    assert digest(tmp_path / "again") == digest(corpus)


def test_another_seed_gives_another_corpus(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_corpus(tmp_path / str(seed), CorpusOptions(count=3, seed=seed))
    assert digest(tmp_path / "1") != digest(tmp_path / "2")


def test_a_complete_corpus_is_left_alone_and_another_never_overwritten(
    corpus: Path, tmp_path: Path
) -> None:
    before = digest(corpus)
    assert not write_corpus(corpus, SMALL)
    with pytest.raises(DataError, match="holds a corpus with seed 1, but 2 is asked"):
        write_corpus(corpus, CorpusOptions(count=50, seed=2))
    assert digest(corpus) == before
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="holds no procedural corpus; remove it"):
        write_corpus(tmp_path, SMALL)


def test_a_run_that_stops_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(tmp_path / "c", CorpusOptions(count=3), progress=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "c").mkdir()
    assert write_corpus(tmp_path / "c", CorpusOptions(count=3))


@pytest.mark.parametrize("options", [CorpusOptions(count=0), CorpusOptions(frames=1)])
def test_options_out_of_range_are_refused(tmp_path: Path, options: CorpusOptions) -> None:
    with pytest.raises(ValueError, match="at least 1 clip of at least 2 frames"):
        write_corpus(tmp_path / "c", options)
