from __future__ import annotations

import math
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.text.captions import CaptionTextProcessor


@pytest.fixture
def processor(tmp_path: Path, tiny_bert: str) -> CaptionTextProcessor:
    path = tmp_path / "captions.csv"
    path.write_text(
        "video,caption,start,end\n"
        "a.mp4,The CAT sits,2.5,\n"
        "a.mp4,A dog\truns,0,2.5\n"
        "b.mp4,🎉,,\n"
        "c.mp4," + "dog " * 3000 + ",,\n"
    )
    return CaptionTextProcessor(annotations=path, bert_name=tiny_bert)


def test_a_video_has_all_its_captions_in_time_order(processor: CaptionTextProcessor) -> None:
    clips = processor("a.mp4")
    assert clips.start.tolist() == [0, 2.5]
    assert clips.end.tolist() == [2.5, math.inf]
    assert clips.cap == [[5, 6, 7], [10, 11, 12]]


def test_a_caption_has_an_id_of_its_own(processor: CaptionTextProcessor) -> None:
    clips = processor("a.mp4#2")
    assert (clips.start.tolist(), clips.cap) == ([2.5], [[10, 11, 12]])


def test_unknown_words_and_very_long_texts_are_tokenised(processor: CaptionTextProcessor) -> None:
    assert processor("b.mp4").cap == [[1]]
    assert processor("c.mp4").cap == [[6] * 3000]


@pytest.mark.parametrize("text_id", ["a.mp4#3", "d.mp4", ""])
def test_an_unknown_text_id_is_named(processor: CaptionTextProcessor, text_id: str) -> None:
    with pytest.raises(DataError, match=f"captions.csv has no caption for the text id '{text_id}'"):
        processor(text_id)
