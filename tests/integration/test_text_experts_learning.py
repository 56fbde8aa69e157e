"""Models that learn from what text experts say, and predictors that hand it on or leave it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.evaluators.metrics.answer import AnswerMetric
from mmvt.evaluators.predictors.caption import CaptionPredictor
from mmvt.evaluators.predictors.question import AnswerPredictor
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.aligners.question import QuestionAligner
from mmvt.processors.base import VideoProcessor
from mmvt.processors.meta.captions import CaptionMetaProcessor
from mmvt.processors.meta.open_questions import OpenQuestionMetaProcessor
from mmvt.processors.text.captions import CaptionTextProcessor
from mmvt.processors.text.questions import OpenQuestionTextProcessor
from tests.asking import DIM, VIDEOS, answers_of, layout_of, taught, words_in, write_open
from tests.standins import write_csv, write_jsonl


class DarkVideos(VideoProcessor):
    """Videos in which nothing can be seen."""

    def __call__(self, video_id: str) -> np.ndarray:
        return np.zeros((4, DIM), np.float32)


@pytest.fixture(scope="module")
def bert_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return words_in(tmp_path_factory.mktemp("words"))


def experts_in(folder: Path) -> dict[str, dict[str, object]]:
    """Write colours as tags of the first half of each video, and shapes of the second."""
    tags = [dict(zip(("color", "shape"), answers_of(video), strict=True)) for video in VIDEOS]
    for number, what in enumerate(("color", "shape")):
        times = {"start": 2 * number, "end": 2 * number + 2}
        lines = [
            {"video_id": video, "tags": [own[what]], **times}
            for video, own in zip(VIDEOS, tags, strict=True)
        ]
        write_jsonl(folder / f"{what}.jsonl", lines)
    return {
        what: {"path": folder / f"{what}.jsonl", "label": "it", "max_tokens": 3}
        for what in ("color", "shape")
    }


def test_answers_that_only_text_experts_know_are_learned(bert_name: str, tmp_path: Path) -> None:
    path = write_open(tmp_path / "open.json")
    dataset = MultimodalDataset(
        meta_processor=OpenQuestionMetaProcessor(split="train", train_path=path),
        video_processor=DarkVideos(),
        text_processor=OpenQuestionTextProcessor(bert_name=bert_name, train_path=path),
        aligner=QuestionAligner(layout=layout_of(bert_name), bert_name=bert_name),
        text_experts=experts_in(tmp_path),
    )
    results = AnswerMetric()(AnswerPredictor()(taught("llama", dataset), dataset))
    assert results["accuracy"] == 1.0
    # they are of the video, and left out where that is
    assert results["question_only"]["accuracy"] <= 0.25
    assert results["answer_only"]["accuracy"] <= 0.25


def test_each_part_of_a_video_is_captioned_by_what_is_said_in_it(
    bert_name: str, tmp_path: Path
) -> None:
    rows = []
    for video in VIDEOS:
        for number, answer in enumerate(answers_of(video)):
            rows.append([video, f"it is {answer}", 2 * number, 2 * number + 2, "test"])
    header = ["video", "caption", "start", "end", "split"]
    captions = Path(write_csv(tmp_path / "captions.csv", header, rows))
    dataset = MultimodalDataset(
        meta_processor=CaptionMetaProcessor(split="test", annotations=captions),
        video_processor=DarkVideos(),
        text_processor=CaptionTextProcessor(annotations=captions, bert_name=bert_name),
        aligner=CaptioningAligner(layout=layout_of(bert_name), bert_name=bert_name),
        text_experts=experts_in(tmp_path),
    )
    predictions = CaptionPredictor(num_beams=1)(taught("t5", dataset, 300), dataset)
    written = dict(
        zip(predictions["scored_ids"].tolist(), predictions["hypotheses"].tolist(), strict=True)
    )
    assert len(written) == 32
    for video in VIDEOS:
        colour, shape = answers_of(video)
        assert written[f"{video}@0-2"] == f"it is {colour}"
        assert written[f"{video}@2-4"] == f"it is {shape}"
