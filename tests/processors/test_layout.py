from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmvt.errors import ConfigError
from mmvt.processors.layout import CaptionLayout, VideoTextLayout, video_sequence

CLS, SEP, PAD = 2, 3, 0


@pytest.fixture(scope="module")
def layout(tiny_bert: str) -> VideoTextLayout:
    return VideoTextLayout(max_video_len=2, max_len=8, bert_name=tiny_bert)


@pytest.mark.parametrize(
    ("words", "caps"),
    [
        ([], [CLS, SEP, SEP, PAD, PAD, PAD]),
        ([7], [CLS, SEP, 7, SEP, PAD, PAD]),
        ([7, 8], [CLS, SEP, 7, 8, SEP, PAD]),
        ([7, 8, 9], [CLS, SEP, 7, 8, 9, SEP]),
        ([7, 8, 9, 10], [CLS, SEP, 7, 8, 9, SEP]),
    ],
)
def test_text_is_padded_or_cut_and_keeps_its_closing_separator(
    layout: VideoTextLayout, words: list[int], caps: list[int]
) -> None:
    ids, mask = layout.text_sequence(words)
    assert ids.tolist() == caps
    assert ids.dtype == torch.int64
    assert mask.tolist() == [i < 3 + min(len(words), 3) for i in range(6)]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_video_is_padded_with_zeros_or_cut_at_its_end(layout: VideoTextLayout, steps: int) -> None:
    rows = np.arange(1, steps * 3 + 1, dtype=np.float16).reshape(steps, 3)
    features, mask = video_sequence(rows, layout.max_video_len)
    expected = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    expected[steps:] = 0
    assert features.dtype == torch.float32
    assert torch.equal(features, expected)
    assert mask.tolist() == [steps > 0, steps > 1]


def test_a_grid_of_rows_a_step_stays_a_grid(layout: VideoTextLayout) -> None:
    example = layout(np.ones((1, 4, 3), np.float16), [7])
    assert example["vfeats"].shape == (2, 4, 3)
    assert example["vfeats"].sum() == 12
    assert set(example) == {"caps", "cmasks", "vfeats", "vmasks"}


def test_the_caller_s_features_are_neither_changed_nor_shared(layout: VideoTextLayout) -> None:
    rows = np.ones((2, 3), np.float32)
    rows.flags.writeable = False
    features, _ = video_sequence(rows, layout.max_video_len)
    features.zero_()
    assert rows.sum() == 6


def test_a_text_part_of_three_tokens_holds_no_word(tiny_bert: str) -> None:
    layout = VideoTextLayout(max_video_len=5, max_len=8, bert_name=tiny_bert)
    assert layout.text_sequence([7, 8])[0].tolist() == [CLS, SEP, SEP]


def test_lengths_that_leave_no_room_are_refused(tiny_bert: str) -> None:
    with pytest.raises(ConfigError, match="max_len 7 must exceed max_video_len 5 by 3"):
        VideoTextLayout(max_video_len=5, max_len=7, bert_name=tiny_bert)
    with pytest.raises(ConfigError, match="max_video_len is 0"):
        VideoTextLayout(max_video_len=0, max_len=7, bert_name=tiny_bert)


@given(words=st.lists(st.integers(5, 16), max_size=20), steps=st.integers(0, 9))
def test_shapes_never_depend_on_lengths(
    layout: VideoTextLayout, words: list[int], steps: int
) -> None:
    example = layout(np.ones((steps, 3), np.float16), words)
    assert {key: tuple(value.shape) for key, value in example.items()} == {
        "caps": (6,),
        "cmasks": (6,),
        "vfeats": (2, 3),
        "vmasks": (2,),
    }
    real = example["caps"][example["cmasks"]]
    assert real[-1] == SEP
    assert (example["caps"][~example["cmasks"]] == PAD).all()


@pytest.mark.parametrize(
    ("words", "caps", "labels"),
    [
        ([], [CLS, SEP, CLS, PAD, PAD, PAD], [SEP]),
        ([7], [CLS, SEP, CLS, 7, PAD, PAD], [7, SEP]),
        ([7, 8, 9], [CLS, SEP, CLS, 7, 8, 9], [7, 8, 9, SEP]),
        ([7, 8, 9, 10], [CLS, SEP, CLS, 7, 8, 9], [7, 8, 9, SEP]),
    ],
)
def test_a_caption_begins_anew_and_each_place_tells_the_next_word(
    tiny_bert: str, words: list[int], caps: list[int], labels: list[int]
) -> None:
    layout = CaptionLayout(max_video_len=2, max_len=8, bert_name=tiny_bert)
    example = layout(np.ones((1, 4), np.float16), words)
    assert example["caps"].tolist() == caps
    assert example["text_label"].tolist() == [-100, -100, *labels] + [-100] * (4 - len(labels))
    assert example["cmasks"].tolist() == [token != PAD for token in caps]
    assert example["vmasks"].tolist() == [True, False]
