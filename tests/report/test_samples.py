from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest

from mmvt.demo.corpus import write_video
from mmvt.evaluators.retrieval_case import RetrievalCase
from mmvt.report.samples import no_pictures, pick_samples, pictures_from, sampled_scores
from tests.retrieval_cases import predictions_of

# the right video of caption i has rank i + 1
LADDER = [
    [1.0 if video < text else 0.5 if video == text else 0.0 for video in range(9)]
    for text in range(9)
]


def write_clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = [np.full((32, 48, 3), 40 * number, np.uint8) for number in range(6)]
    write_video(path, np.stack(ramp))
    return path


def test_samples_go_from_the_best_to_the_worst():
    case = RetrievalCase.of(predictions_of(LADDER))
    samples = pick_samples(case, case.text_to_video(), no_pictures, 3)
    assert [(s.text_id, s.caption, s.rank) for s in samples] == [
        ("t0", "caption 0", 1.0),
        ("t4", "caption 4", 5.0),
        ("t8", "caption 8", 9.0),
    ]
    best, middle, worst = samples
    assert [(c.video_id, c.right) for c in best.candidates][:2] == [("v0", True), ("v1", False)]
    assert [len(s.candidates) for s in samples] == [5, 5, 6]
    assert [c.place for c in middle.candidates] == [1, 1, 1, 1, 5]
    last = worst.candidates[-1]
    assert (last.video_id, last.place, last.score, last.right) == ("v8", 9, 0.5, True)


@pytest.mark.parametrize(("texts", "count"), [(1, 6), (2, 6), (9, 6), (9, 1)])
def test_there_are_no_more_samples_than_captions(texts: int, count: int):
    case = RetrievalCase.of(predictions_of(np.array(LADDER)[:texts, :texts]))
    samples = pick_samples(case, case.text_to_video(), no_pictures, count)
    assert len(samples) == min(texts, count)
    assert all(len(sample.candidates) <= 6 for sample in samples)


def test_a_caption_without_words_is_named_by_its_id():
    predictions = predictions_of(np.eye(2))
    predictions["captions"] = np.array(["", ""])
    case = RetrievalCase.of(predictions)
    samples = pick_samples(case, case.text_to_video(), no_pictures, 1)
    assert samples[0].caption == "t0"


def test_captions_alike_stand_together_on_the_heat_map_and_right_pairs_on_its_diagonal():
    predictions = predictions_of(np.arange(16.0).reshape(4, 4), text_video=[3, 2, 0, 1])
    predictions["captions"] = np.array(["b", "d", "a", "c"])
    case = RetrievalCase.of(predictions)
    # by caption: a (row 2, video 0), b (0, 3), c (3, 1), d (1, 2)
    assert sampled_scores(case, case.text_to_video()).tolist() == [
        [8, 11, 9, 10],
        [0, 3, 1, 2],
        [12, 15, 13, 14],
        [4, 7, 5, 6],
    ]


def test_large_pools_are_thinned_out_for_the_heat_map():
    case = RetrievalCase.of(predictions_of(np.eye(400)))
    scores = sampled_scores(case, case.text_to_video())
    assert scores.shape == (150, 150)
    assert np.array_equal(scores, np.eye(150))


def test_a_video_shows_its_middle_its_beginning_and_its_end(tmp_path: Path):
    write_clip(tmp_path / "a folder" / "clip ü.mp4")
    pictures = pictures_from(tmp_path)("a folder/clip ü.mp4")
    assert len(pictures) == 3
    assert len(set(pictures)) == 3
    for picture in pictures:
        kind, _, data = picture.partition(",")
        assert kind == "data:image/jpeg;base64"
        assert base64.b64decode(data)[:3] == b"\xff\xd8\xff"


@pytest.mark.faults
@pytest.mark.parametrize(
    "video_id", ["absent.mp4", "text.mp4", "../clip.mp4", "/etc/hostname", "."]
)
def test_what_cannot_be_shown_has_no_picture_and_nothing_outside_is_read(
    tmp_path: Path, video_id: str
):
    write_clip(tmp_path / "clip.mp4")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.mp4").write_text("no video")
    assert pictures_from(tmp_path / "videos")(video_id) == ()
