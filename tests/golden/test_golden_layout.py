"""The pairs and the sequences of the golden case ``aligners/ds_aligners``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.processors.aligners.pair import PairAligner
from mmvt.processors.base import TextClips
from mmvt.processors.layout import VideoTextLayout, video_sequence
from mmvt.seeding import generator
from tests.golden.conftest import Golden

pytestmark = pytest.mark.golden


class Recorded:
    """The recorded cases whose names begin alike."""

    def __init__(self, golden: Golden) -> None:
        read = golden.json("aligners/ds_aligners.json")
        self.cases: dict[str, dict[str, Any]] = read["cases"]
        self.tensors = golden.tensors("aligners/ds_aligners.safetensors")
        self.layout = VideoTextLayout(
            max_video_len=read["config"]["max_video_len"],
            max_len=read["config"]["max_len"],
            bert_name=golden.bert,
        )

    def named(self, start: str) -> list[str]:
        found = [name for name in self.cases if name.startswith(start)]
        assert found
        return found

    def compare(self, name: str, ours: dict[str, Tensor]) -> None:
        """Compare every output that was recorded under a name."""
        outputs = {
            key.removeprefix(f"{name}."): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(f"{name}.") and not key.startswith(f"{name}.in.")
        }
        assert set(outputs) == set(ours)
        for key, value in ours.items():
            assert value.dtype == outputs[key].dtype
            assert torch.equal(value, outputs[key]), (name, key)


@pytest.fixture
def recorded(golden: Golden) -> Recorded:
    return Recorded(golden)


def test_pairs_are_those_of_the_original(recorded: Recorded) -> None:
    aligner = PairAligner(layout=recorded.layout)
    for name in recorded.named("DSAligner_"):
        clips = TextClips(np.zeros(1), np.full(1, np.inf), [recorded.cases[name]["text"]])
        features = recorded.tensors[f"{name}.in.vfeat"].numpy()
        recorded.compare(name, dict(aligner("v", features, clips, generator(1, 1, 0))))


def test_texts_of_several_captions_are_those_of_the_original(recorded: Recorded) -> None:
    """Without a choice the original takes the first caption, as PairAligner does."""
    for name in recorded.named("build_text_"):
        case = recorded.cases[name]
        chosen = [0] if case["clip_indexs"] is None else case["clip_indexs"]
        words = [word for index in chosen for word in case["cap"][index]]
        caps, cmasks = recorded.layout.text_sequence(words)
        recorded.compare(name, {"caps": caps, "cmasks": cmasks})


def test_videos_of_several_clips_are_those_of_the_original(recorded: Recorded) -> None:
    """A clip that leaves the video broke the original; here it ends with the video."""
    features = recorded.tensors["build_video.in"].numpy()
    for name in recorded.named("build_video_"):
        case = recorded.cases[name]
        clips = case["clips"] or {"start": [0], "end": [len(features)]}
        borders = zip(clips["start"], clips["end"], strict=True)
        rows = np.concatenate([features[start:end] for start, end in borders])
        vfeats, vmasks = video_sequence(rows, recorded.layout.max_video_len)
        if "error" in case:
            assert max(clips["end"]) > len(features)
            assert vmasks.sum() == len(rows)
            recorded.compare(name, {})
        else:
            recorded.compare(name, {"vfeats": vfeats, "vmasks": vmasks})
