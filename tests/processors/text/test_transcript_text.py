"""What is said in videos, as captions for aligners."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import ConfigError, DataError
from mmvt.processors.aligners.sampled import OverlappedAligner
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.text.transcripts import TranscriptTextProcessor
from mmvt.processors.transcript import Transcript, Word, write_transcript


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    said = [
        Word(text, 2.0 * n, 2.0 * n + 1)
        for n, text in enumerate(["a", "dog", "runs", "fast", "a", "dog"])
    ]
    write_transcript(tmp_path / "a.mp4.json", Transcript((*said, Word("cat", 99.0, 100.0))))
    write_transcript(tmp_path / "silent.mp4.json", Transcript())
    return tmp_path


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    (tmp_path / "bert").mkdir()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "runs", "fast", "cat"]
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "bert" / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    return str(tmp_path / "bert")


def test_segments_become_captions_with_the_times_of_their_words(
    folder: Path, tokenizer: str, caplog: pytest.LogCaptureFixture
):
    processor = TranscriptTextProcessor(transcripts=folder, bert_name=tokenizer, max_words=4)
    clips = processor("a.mp4")
    # the first three words, then two that would be too far from "cat"
    assert clips.cap == [[5, 6, 7, 8], [9]]
    assert clips.start.tolist() == [0.0, 99.0]
    assert clips.end.tolist() == [7.0, 100.0]
    caplog.set_level(logging.INFO)
    processor("a.mp4")
    assert "a.mp4.json: 2 of 7 words are in no segment" in caplog.text
    assert len(processor("silent.mp4")) == 0


def test_an_aligner_takes_them(folder: Path, tokenizer: str):
    processor = TranscriptTextProcessor(
        transcripts=folder, bert_name=tokenizer, max_words=4, min_words=2
    )
    aligner = OverlappedAligner(
        max_video_len=8,
        sampled_min_len=2,
        sampled_max_len=8,
        sampled_video_min_len=1,
        layout=VideoTextLayout(bert_name=tokenizer, max_len=16, max_video_len=8),
    )
    clips = processor("a.mp4").scaled(1.0)
    example = aligner("a.mp4", np.ones((20, 4), np.float32), clips, np.random.default_rng(0))
    assert example["caps"].tolist()[2:6] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "options", [{"min_words": 0}, {"min_words": 16}, {"max_seconds": 0.0}, {"max_words": 0}]
)
def test_numbers_out_of_range_are_refused(folder: Path, tokenizer: str, options: dict[str, float]):
    with pytest.raises(ConfigError, match="no segments have min_words="):
        TranscriptTextProcessor(transcripts=folder, bert_name=tokenizer, **options)


def test_ids_without_a_transcript_and_folders_that_are_none_are_named(folder: Path, tokenizer: str):
    with pytest.raises(ConfigError, match="transcripts: .*nowhere is no folder"):
        TranscriptTextProcessor(transcripts=folder / "nowhere", bert_name=tokenizer)
    processor = TranscriptTextProcessor(transcripts=folder, bert_name=tokenizer)
    with pytest.raises(DataError, match="no transcript of the video 'b.mp4'"):
        processor("b.mp4")
    with pytest.raises(DataError, match="leads out of its folder"):
        processor("../a.mp4")
    with pytest.raises(DataError, match="3 is no id of a video"):
        processor(3)
