"""The windows, choices and captions of the golden cases ``aligners/ds_aligners`` and ``dsnlg``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.aligners.choice import MultipleChoiceAligner
from mmvt.processors.aligners.localization import StepLocalizationAligner
from mmvt.processors.aligners.segmentation import SegmentationAligner
from mmvt.processors.base import Aligner, TextClips
from mmvt.processors.labels import ChoiceClips, SpanClips, Spans, StepClips
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.masking import attention_mask
from mmvt.processors.meta.crosstask import read_spans
from mmvt.processors.text.tokenizer import load_tokenizer
from mmvt.seeding import generator
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden

# what other files compare of ds_aligners
ELSEWHERE = ("DSAligner_", "build_video", "build_text_", "mask")


class Recorded:
    """The recorded cases of one file."""

    def __init__(self, golden: Golden, name: str) -> None:
        self.golden = golden
        read = golden.json(f"aligners/{name}.json")
        self.config: dict[str, int] = read["config"]
        self.cases: dict[str, dict[str, Any]] = read["cases"]
        self.tensors = golden.tensors(f"aligners/{name}.safetensors")
        self.lengths = {key: self.config[key] for key in ("max_video_len", "max_len")}
        self.layout = VideoTextLayout(**self.lengths, bert_name=golden.bert)

    def windowed(self, cls: type) -> Aligner:
        keys = ("max_video_len", "sliding_window", "sliding_window_size")
        fields = {key: self.config[key] for key in keys}
        aligner: Aligner = cls(layout=self.layout, bert_name=self.golden.bert, **fields)
        return aligner

    def example(self, aligner: Aligner, name: str, clips: TextClips) -> dict[str, Any]:
        features = self.tensors[f"{name}.in.vfeat"].numpy()
        return dict(aligner("v", features, clips, generator(1, 1, 0)))

    def outputs(self, name: str) -> dict[str, Tensor]:
        found = {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{name}.") and not key.startswith(f"{name}.in.")
        }
        assert found
        return found

    def compare(self, name: str, ours: dict[str, Any]) -> None:
        """Compare every output that was recorded under a name."""
        for key, tensor in self.outputs(name).items():
            assert ours[key].dtype == tensor.dtype
            assert torch.equal(ours[key], tensor), (name, key)


def untimed(*texts: list[int]) -> dict[str, Any]:
    count = len(texts)
    return {"start": np.zeros(count), "end": np.full(count, np.inf), "cap": list(texts)}


@pytest.fixture
def recorded(golden: Golden) -> Recorded:
    return Recorded(golden, "ds_aligners")


def test_every_case_is_of_a_kind_that_is_known(recorded: Recorded) -> None:
    ours = ("COIN_", "CrossTask_", "QA_")
    assert all(name.startswith((*ours, *ELSEWHERE)) for name in recorded.cases)
    names = {key.split(".")[0] for key in recorded.tensors}
    assert all(name.startswith((*ours, *ELSEWHERE)) for name in names)
    assert {name for name in names if name.startswith(ours)} == {
        name for name in recorded.cases if name.startswith(ours)
    }


def test_classes_of_windows_are_those_of_the_original(recorded: Recorded) -> None:
    aligner = recorded.windowed(SegmentationAligner)
    for name in [name for name in recorded.cases if name.startswith("COIN_")]:
        spans = Spans(*(np.array(recorded.cases[name]["label"][k]) for k in Spans.__annotations__))
        ours = recorded.example(aligner, name, SpanClips(**untimed(), spans=spans))
        recorded.compare(name, ours)
        assert ours["video_len"] == recorded.cases[name]["video_len"]
        assert ours["num_windows"] == len(ours["vfeats"])


def test_steps_of_windows_are_those_of_the_original(recorded: Recorded, golden: Golden) -> None:
    aligner = recorded.windowed(StepLocalizationAligner)
    for name in [name for name in recorded.cases if name.startswith("CrossTask_")]:
        case = recorded.cases[name]
        annotation: Path = golden.path(f"aligners/{case['annot']}")
        spans = read_spans(annotation, len(case["steps"]))
        clips = StepClips(**untimed(*case["steps"]), spans=spans, task="t1")
        ours = recorded.example(aligner, name, clips)
        recorded.compare(name, ours)
        assert ours["video_len"] == case["video_len"]


def test_answers_to_choose_from_are_those_of_the_original(recorded: Recorded) -> None:
    aligner = MultipleChoiceAligner(layout=recorded.layout)
    for name in [name for name in recorded.cases if name.startswith("QA_")]:
        case = recorded.cases[name]
        clips = ChoiceClips(**untimed(*case["answers"]), answer=case["answer"])
        ours = recorded.example(aligner, name, clips)
        recorded.compare(name, {**ours, "answers": torch.tensor([ours["answer"]])})


def test_captions_to_write_are_those_of_the_original(golden: Golden) -> None:
    recorded = Recorded(golden, "dsnlg")
    assert {key.split(".")[0] for key in recorded.tensors} == set(recorded.cases)
    tokenizer = load_tokenizer(golden.bert)
    for name, case in recorded.cases.items():
        prompt_only = {"train": False, "test": True}[name.split("_")[0]]
        aligner = CaptioningAligner(
            layout=recorded.layout, bert_name=golden.bert, prompt_only=prompt_only
        )
        ours = recorded.example(aligner, name, TextClips(**untimed(case["text"])))
        # the trunk makes it of the masks
        seen = attention_mask(ours["vmasks"], ours["cmasks"], causal=True)
        recorded.compare(name, {**ours, "attention_mask": seen})
        if prompt_only:
            assert tokenizer.decode(ours["text_label"], skip_special_tokens=True) == case["ref"]
