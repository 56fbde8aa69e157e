"""The golden case ``aligners/how2``: examples of pre-training as the original's aligners made them.

What was drawn is told by the recorded bounds, so that everything that follows from them is compared
exactly: sequences, masks, labels. That the draws themselves have a chance here is compared by law.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmvt.config.fields import fields_of
from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.datasets.original_shards import OriginalStore, OriginalTexts
from mmvt.processors.aligners.masked import MFMMLMAligner
from mmvt.processors.aligners.milnce import MILNCEAligner
from mmvt.processors.aligners.sampled import (
    FixedLenAligner,
    OverlappedAligner,
    SampledAligner,
    StartClipAligner,
    VariedLenAligner,
)
from mmvt.processors.base import TextClips, VideoProcessor
from mmvt.processors.layout import VideoTextLayout
from mmvt.processors.masking import Corruption, attention_mask, mask_text, shift_text
from mmvt.processors.meta.how2 import How2MetaProcessor
from mmvt.processors.sampling import clips_within, covered_slice, covered_steps
from mmvt.processors.text.shards import ShardedTextProcessor
from mmvt.seeding import generator
from tests.golden.conftest import Golden
from tests.laws import captions_law, window_law

pytestmark = pytest.mark.golden
BOUNDS = ("video_start", "video_end", "text_start", "text_end")
FACTS = {"video_id", "idx", "_seed", *BOUNDS}
INPUTS = ("caps", "cmasks", "vfeats", "vmasks")
LABELS = ("text_label", "video_label")

# the original's name of an aligner, and what it is called here
FIXED = {"FixedLenAligner": FixedLenAligner, "StartClipAligner": StartClipAligner}
OVERLAPPED = {
    "OverlappedAligner": OverlappedAligner,
    "VideoRetriOverlappedAligner": OverlappedAligner,
}
OTHERS = {
    "VariedLenAligner": VariedLenAligner,
    "VideoRetriAligner": VariedLenAligner,
    "MFMMLMAligner": MFMMLMAligner,
    "How2MILNCEAligner": MILNCEAligner,
}
ALIGNERS: dict[str, type[SampledAligner]] = FIXED | OVERLAPPED | OTHERS
NOT_OURS = {
    "bert_name", "train_path", "val_path", "test_path", "vfeat_dir", "tfeat_dir", "split",
    "num_video_per_batch", "clip_per_video",
}  # fmt: skip


class OriginalVideos(VideoProcessor):
    """Reads features from shards of the original."""

    def __init__(self, store: OriginalStore) -> None:
        self.store = store

    def __call__(self, video_id: str) -> np.ndarray:
        return self.store[video_id]


class Run:
    """The recorded samples of one aligner."""

    def __init__(self, golden: Golden, name: str, case: dict[str, Any]) -> None:
        self.name, self.case, self.golden = name, case, golden
        self.original = case["processors"][3]
        self.split = case["config"]["split"]
        self.bert = golden.bert
        self.folder = golden.path("shards/expected.json").parent
        self.config = {
            key: value for key, value in case["config"].items() if key not in NOT_OURS
        } | {"subsampling": case["config"].get("clip_per_video", case["config"]["subsampling"])}
        self.layout = VideoTextLayout(
            max_video_len=self.config["max_video_len"],
            max_len=self.config["max_len"],
            bert_name=golden.bert,
        )

    def place(self, key: str) -> Any:
        value = self.case["config"][key]
        return value.replace("<shards>", str(self.folder)) if value else value

    def aligner(self) -> SampledAligner:
        """Return our aligner with what it takes of the recorded configuration."""
        cls = ALIGNERS[self.original]
        given = {**self.config, "layout": self.layout, "bert_name": self.bert}
        return cls(**{f.name: given[f.name] for f in fields_of(cls) if f.name in given})

    def metadata(self) -> How2MetaProcessor:
        lists = {key: Path(self.place(key)) for key in ("train_path", "val_path", "test_path")}
        for path in lists.values():
            self.golden.path(path.relative_to(self.golden.root).as_posix())
        return How2MetaProcessor(split=self.split, **lists)

    def store(self) -> OriginalStore:
        return OriginalStore(self.folder, "train" if self.split == "train" else "val")

    def videos(self, sample: dict[str, Any]) -> list[tuple[np.ndarray, TextClips]]:
        store = self.store()
        texts = OriginalTexts(self.place("tfeat_dir"), store)
        ids = sample["video_id"] if isinstance(sample["video_id"], list) else [sample["video_id"]]
        return [(store[video], texts[video]) for video in ids]


@dataclass
class Drawn:
    """One recorded example, and what it was drawn from."""

    run: Run
    where: str
    features: np.ndarray
    clips: TextClips
    recorded: dict[str, Tensor]

    def bounds(self) -> tuple[int, int, int, int]:
        first, stop, text_first, text_stop = (int(self.recorded[key]) for key in BOUNDS)
        return first, stop, text_first, text_stop

    def budgets(self) -> list[int]:
        """Return the numbers of tokens at which captions may stop growing."""
        config = self.run.config
        if self.run.original in FIXED or "sampled_min_len" not in config:
            return [config["max_len"] - config["max_video_len"] - 3]
        return list(range(config["sampled_min_len"], config["sampled_max_len"] + 1))

    def choices(self) -> set[tuple[int, ...]]:
        """Return the captions that may have been drawn, by the bounds that were recorded."""
        _, _, first, stop = self.bounds()
        clips = clips_within(self.clips, len(self.features))
        centres = [0] if self.run.original == "StartClipAligner" else range(len(clips))
        keep_prob = self.run.config.get("keep_prob", 1.0)
        laws = [
            captions_law(clips, budget, centre, keep_prob)
            for budget in self.budgets()
            for centre in centres
        ]
        chosen = {chosen for law in laws for chosen, p in law.items() if p > 0}
        return {c for c in chosen if (c[0], c[-1] + 1) == (first, stop)}

    def unmasked(self) -> dict[str, Tensor]:
        """Return what our layout writes of the recorded bounds."""
        first, stop, _, _ = self.bounds()
        examples = [
            self.run.layout(self.features[first:stop], [w for i in c for w in self.clips.cap[i]])
            for c in self.choices()
        ]
        assert examples, f"{self.where}: the captions drawn have no chance here"
        original = self.recorded["caps"].clone()
        if "text_label" in self.recorded:
            labels = self.recorded["text_label"]
            original = torch.where(labels < 0, original, labels)
        # only where captions were skipped is there more than one
        matches = [e for e in examples if torch.equal(e["cmasks"], self.recorded["cmasks"])]
        return max(matches, key=lambda e: int((e["caps"] == original).sum()))


@pytest.fixture
def tensors(golden: Golden) -> dict[str, Tensor]:
    return golden.tensors("aligners/how2_aligners.safetensors")


@pytest.fixture
def runs(golden: Golden) -> dict[str, Run]:
    cases = golden.json("aligners/how2_aligners.json")
    return {name: Run(golden, name, case) for name, case in cases.items()}


def drawn(runs: dict[str, Run], tensors: dict[str, Tensor]) -> Iterator[Drawn]:
    """Yield every recorded example that has bounds, one subsample of one video at a time."""
    for run in runs.values():
        if run.original == "How2MILNCEAligner":
            continue
        for index, sample in run.case["samples"].items():
            where = f"{run.name}.{index}."
            recorded = {k.removeprefix(where): t for k, t in tensors.items() if k.startswith(where)}
            recorded |= {key: torch.tensor(sample[key]) for key in BOUNDS if key in sample}
            videos, shape = run.videos(sample), tuple(recorded["caps"].shape[:-1])
            assert math.prod(shape) == len(videos) * run.config["subsampling"]
            for place in np.ndindex(shape):
                features, clips = videos[place[0] if len(place) == 2 else 0]
                one = {key: tensor[place] for key, tensor in recorded.items()}
                yield Drawn(run, f"{where}{place}", features, clips, one)


def test_every_run_and_every_tensor_is_known(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    assert {run.original for run in runs.values()} <= set(ALIGNERS)
    owners = {f"{run.name}.{index}" for run in runs.values() for index in run.case["samples"]}
    assert {key.rpartition(".")[0] for key in tensors} == owners
    fields = {key.rpartition(".")[2] for key in tensors}
    assert fields <= {*INPUTS, *LABELS, *BOUNDS, "attention_mask"}
    for run in runs.values():
        assert all(set(sample) <= FACTS for sample in run.case["samples"].values())


def test_sequences_follow_from_the_recorded_bounds(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    for item in drawn(runs, tensors):
        example, masked = item.unmasked(), "text_label" in item.recorded
        assert set(item.recorded) == set(BOUNDS) | set(INPUTS) | (
            set(item.recorded) & {*LABELS, "attention_mask"}
        )
        for key in ("cmasks", "vmasks") if masked else INPUTS:
            assert example[key].dtype == item.recorded[key].dtype
            assert torch.equal(example[key], item.recorded[key]), (item.where, key)


def test_labels_and_hidden_parts_follow_from_what_was_picked(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    for item in drawn(runs, tensors):
        assert (item.run.original == "MFMMLMAligner") == ("text_label" in item.recorded)
        if item.run.original == "MFMMLMAligner":
            check_masks(item)


def check_masks(item: Drawn) -> None:
    example, recorded, run = item.unmasked(), item.recorded, item.run
    aligner = run.aligner()
    masker = aligner.masker
    assert masker is not None
    assert set(aligner.produces) == set(LABELS)

    label = recorded["video_label"]
    hidden = torch.zeros_like(label) if run.config.get("lazy_vfeat_mask") else label
    assert torch.equal(recorded["vfeats"], example["vfeats"].masked_fill(hidden[:, None], 0))

    mm_type = run.config.get("mm_type", "full")
    modes = {
        pair
        for pair in [("some", "some"), ("full", "no"), ("no", mm_type)]
        if frames_fit(pair[0], recorded) and text_fits(pair[1], example["caps"], item)
    }
    mm_prob = run.config.get("mm_prob", 0.5)
    modes -= {("some", "some")} if mm_prob == 1 else set()
    assert modes, f"{item.where}: no way of hiding leads to it"

    assert ("attention_mask" in recorded) <= mm_type.startswith("textgen")
    if "attention_mask" in recorded:
        causal = any(text == mm_type for _, text in modes)
        ours = attention_mask(recorded["vmasks"], recorded["cmasks"], causal=causal)
        assert torch.equal(ours, recorded["attention_mask"])


def frames_fit(mode: str, recorded: dict[str, Tensor]) -> bool:
    label, real = recorded["video_label"], recorded["vmasks"]
    full, none = torch.equal(label, real), not label.any()
    return {"some": bool((label <= real).all()), "full": full, "no": none}[mode]


def text_fits(mode: str, caps: Tensor, item: Drawn) -> bool:
    """Return whether a mode, with the draws that can be read off, gives what was recorded."""
    shown, labels = item.recorded["caps"], item.recorded["text_label"]
    special = item.run.layout.special
    before = shift_text(caps, special)[0] if mode.startswith("textgen") else caps
    words = ~torch.isin(before, torch.tensor([special.cls, special.sep, special.pad]))
    changed = shown != before
    picked = {
        "full": words,
        "no": torch.zeros_like(words),
        "textgen": torch.zeros_like(words),
        "mask": changed,
        "textgen_mask": changed,
    }.get(mode, labels >= 0)
    replaced = shown == special.mask
    ours = mask_text(caps, mode, Corruption(picked, replaced, changed, shown), special)  # type: ignore[arg-type]
    return all(map(torch.equal, ours, (shown, labels)))


def test_the_recorded_bounds_have_a_chance(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    for item in drawn(runs, tensors):
        first, stop, _, _ = item.bounds()
        clips = clips_within(item.clips, len(item.features))
        if item.run.original not in OVERLAPPED:
            ours = {(s.start, s.stop) for s in (covered(item, c) for c in item.choices())}
        else:
            config = item.run.config
            lengths = range(config["sampled_video_min_len"], config["sampled_video_max_len"] + 1)
            ours = {
                window
                for chosen in item.choices()
                for low, high in [covered_steps(clips, chosen)]
                for centre in range(low, high + 1)
                for length in lengths
                for window in window_law(centre, length, len(item.features))
            }
        assert (first, stop) in ours, item.where


def covered(item: Drawn, chosen: tuple[int, ...]) -> slice:
    steps = len(item.features)
    return covered_slice(clips_within(item.clips, steps), chosen, steps)


def test_ours_has_the_keys_types_and_sizes_of_the_recorded(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    for run in runs.values():
        aligner = run.aligner()
        for index, sample in run.case["samples"].items():
            where = f"{run.name}.{index}."
            recorded = {k.removeprefix(where): t for k, t in tensors.items() if k.startswith(where)}
            videos = run.videos(sample)
            ours = [aligner("v", *video, generator(1, 1, 0)) for video in videos]
            batch = collate(ours) if "VideoRetri" in run.original else dict(ours[0])
            expected = {key: tensor for key, tensor in recorded.items() if key not in BOUNDS}
            assert set(batch) - {"attention_mask"} == set(expected) - {"attention_mask"}
            for key, tensor in expected.items():
                assert (batch[key].dtype, batch[key].shape) == (tensor.dtype, tensor.shape)


def test_recorded_milnce_examples_are_among_ours(
    runs: dict[str, Run], tensors: dict[str, Tensor]
) -> None:
    """The original drew once a video and repeated it; here the subsamples of a video differ."""
    for run in runs.values():
        if run.original != "How2MILNCEAligner":
            continue
        ours = MILNCEAligner(layout=run.layout)
        for index, sample in run.case["samples"].items():
            where = f"{run.name}.{index}."
            recorded = {k.removeprefix(where): t for k, t in tensors.items() if k.startswith(where)}
            assert all(torch.equal(t, t[:1].expand_as(t)) for t in recorded.values())
            (video,) = run.videos(sample)
            examples = (ours("v", *video, generator(1, 1, k)) for k in range(5000))
            assert any(
                all(torch.equal(example[key], t[0]) for key, t in recorded.items())
                for example in examples
            ), where
            drawn_twice = [run.aligner()("v", *video, generator(1, 1, k)) for k in range(9)]
            assert any(not torch.equal(*each["caps"][:2]) for each in drawn_twice)


def test_a_run_has_as_many_examples_as_the_original_and_its_last_group(
    runs: dict[str, Run],
) -> None:
    """The original forgets the last group of every epoch; here the list is dealt out whole."""
    for run in runs.values():
        meta = run.metadata()
        samples = run.case["samples"].values()
        size = run.case["config"].get("num_video_per_batch")
        if size is None:
            assert len(meta) == run.case["len"]
            assert all(meta[s["idx"]] == (s["video_id"], s["video_id"]) for s in samples)
            continue
        dataset = MultimodalDataset(
            meta_processor=meta,
            video_processor=OriginalVideos(run.store()),
            text_processor=ShardedTextProcessor(
                split=run.split, vfeat_dir=run.folder, tfeat_dir=run.place("tfeat_dir")
            ),
            aligner=run.aligner(),
        )
        groups: list[dict[str, Any]] = list(
            DataLoader(dataset, batch_size=size, collate_fn=collate)
        )
        assert len(groups) == math.ceil(len(meta) / size) == run.case["len"] + 1
        assert all(groups[s["idx"]]["video_id"] == s["video_id"] for s in samples)
        assert [video for group in groups for video in group["video_id"]] == [v for v, _ in meta]
