"""Captions of videos that have many references: all of them count."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.evaluators.metrics.captions import CaptionMetric
from mmvt.evaluators.predictors.caption import CaptionPredictor
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.base import MetaProcessor, TextProcessor, VideoProcessor
from mmvt.processors.meta.msrvtt import MSRVTTMetaProcessor
from mmvt.processors.meta.msvd import MSVDMetaProcessor
from mmvt.processors.text.msrvtt import MSRVTTTextProcessor
from mmvt.processors.text.msvd import MSVDTextProcessor
from tests.asking import DIM, layout_of, model_of, words_in
from tests.standins import write_lines, write_msrvtt

MSVD = "data/annotations/Video-Captioning__data_training_data_training_label.json"


class SameVideoProcessor(VideoProcessor):
    """Every video shows the same."""

    def __call__(self, video_id: str) -> np.ndarray:
        return np.ones((2, DIM), np.float32)


def references_of(
    meta: MetaProcessor, texts: TextProcessor, bert_name: str
) -> tuple[dict[str, list[str]], int]:
    """Return the references that a predictor gathers by video, and how many the metric counts."""
    torch.set_num_threads(1)
    dataset = MultimodalDataset(
        meta_processor=meta,
        video_processor=SameVideoProcessor(),
        text_processor=texts,
        aligner=CaptioningAligner(layout=layout_of(bert_name), bert_name=bert_name),
        split="test",
    )
    predictor = CaptionPredictor(num_beams=1, max_decode_length=6, batch_size=32)
    predictions = predictor(model_of("t5"), dataset)
    found: dict[str, list[str]] = {name: [] for name in predictions["ids"].tolist()}
    pairs = (predictions["reference_ids"].tolist(), predictions["references"].tolist())
    for name, text in zip(*pairs, strict=True):
        found[name].append(text)
    assert len(predictions["hypotheses"]) == len(found)
    return found, CaptionMetric()(predictions)["protocol"]["references"]


def test_all_captions_of_msvd_are_references(shared: Path, tmp_path: Path) -> None:
    records = json.loads((shared / MSVD).read_text())[:60]
    clips = write_lines(tmp_path / "test_list.txt", [record["id"] for record in records])
    bert_name = words_in(tmp_path)
    meta = MSVDMetaProcessor(split="test", annotations=shared / MSVD, test_path=Path(clips))
    texts = MSVDTextProcessor(bert_name=bert_name, annotations=shared / MSVD)
    found, counted = references_of(meta, texts, bert_name)
    expected = {own["id"]: [" ".join(text.split()) for text in own["caption"]] for own in records}
    assert found == expected
    assert counted == sum(map(len, expected.values())) > 600


@pytest.mark.parametrize("captions", [1, 20])
def test_all_captions_of_msrvtt_are_references(captions: int, tmp_path: Path) -> None:
    fields = write_msrvtt(tmp_path, captions=captions)
    bert_name, path = words_in(tmp_path), Path(fields["json_path"])
    meta = MSRVTTMetaProcessor(split="test", json_path=path)  # the official split
    texts = MSRVTTTextProcessor(bert_name=bert_name, json_path=path)
    found, counted = references_of(meta, texts, bert_name)
    assert {len(own) for own in found.values()} == {captions}
    assert (len(found), counted) == (4, 4 * captions)
