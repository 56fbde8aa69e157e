from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.processors.masking import (
    IGNORED,
    Corruption,
    FrameTokenMasker,
    TextMode,
    attention_mask,
    corrupt,
    mask_text,
    pick_probability,
    shift_text,
)
from mmvt.processors.text.tokenizer import SpecialIds
from mmvt.seeding import generator
from tests.laws import assert_counts_follow

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = SpecialIds(cls=CLS, sep=SEP, pad=PAD, mask=MASK)
CAPS = torch.tensor([CLS, SEP, 5, 6, UNK, SEP, PAD])
N = IGNORED
ALL = torch.ones(7, dtype=torch.bool)


def example(words: int = 3, frames: int = 2) -> dict[str, Tensor]:
    """Return an example of 3 steps and 4 words at most."""
    text = [CLS, SEP, *range(5, 5 + words), SEP, *[PAD] * (4 - words)]
    return {
        "caps": torch.tensor(text),
        "cmasks": torch.arange(7) < 3 + words,
        "vfeats": torch.tensor([[1.0, 2], [3, 4], [0, 0]]),
        "vmasks": torch.arange(3) < frames,
    }


def test_a_picked_token_is_hidden_replaced_or_kept() -> None:
    draws = Corruption(
        picked=ALL,
        replaced=torch.tensor([1, 1, 1, 0, 0, 1, 1]).bool(),
        randomised=torch.tensor([1, 1, 1, 1, 0, 1, 1]).bool(),
        random_ids=torch.arange(7) + 20,
    )
    shown, picked = corrupt(CAPS, draws, SPECIAL)
    # hidden, another, kept; special tokens are never picked, an unknown word may be
    assert shown.tolist() == [CLS, SEP, MASK, 23, UNK, SEP, PAD]
    assert picked.tolist() == [False, False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("mode", "shown", "labels"),
    [
        ("some", [CLS, SEP, MASK, 6, UNK, SEP, PAD], [N, N, 5, N, N, N, N]),
        ("mask", [CLS, SEP, MASK, 6, UNK, SEP, PAD], [N, N, N, N, N, N, N]),
        ("textgen_mask", [CLS, SEP, CLS, MASK, 6, UNK, PAD], [N, N, 5, 6, UNK, SEP, N]),
    ],
)
def test_a_mode_decides_on_labels_and_order(
    mode: TextMode, shown: list[int], labels: list[int]
) -> None:
    at = 3 if mode == "textgen_mask" else 2
    draws = Corruption(torch.arange(7) == at, ALL, ALL, CAPS)
    ours = mask_text(CAPS, mode, draws, SPECIAL)
    assert [part.tolist() for part in ours] == [shown, labels]


@pytest.mark.parametrize(
    ("caps", "inputs", "labels"),
    [
        ([CLS, SEP, SEP, PAD], [CLS, SEP, CLS, PAD], [N, N, SEP, N]),
        ([CLS, SEP, SEP], [CLS, SEP, CLS], [N, N, SEP]),
        ([CLS, SEP, 7, SEP, PAD], [CLS, SEP, CLS, 7, PAD], [N, N, 7, SEP, N]),
        ([CLS, SEP, 7, 8, SEP], [CLS, SEP, CLS, 7, 8], [N, N, 7, 8, SEP]),
    ],
)
def test_a_generated_text_stands_one_to_the_right_of_its_labels(
    caps: list[int], inputs: list[int], labels: list[int]
) -> None:
    ours = shift_text(torch.tensor(caps), SPECIAL)
    assert [part.tolist() for part in ours] == [inputs, labels]


def test_modes_have_their_probabilities() -> None:
    modes = ("some", "full", "inverse", "no", "mask", "textgen", "textgen_mask")
    chances = [pick_probability(mode, 0.15) for mode in modes]
    assert chances == [0.15, 1.0, 0.85, 0.0, 0.15, 0.0, 0.15]


@pytest.mark.parametrize(
    ("causal", "rows"),
    [
        (False, ["1101110"] * 7),
        #        [CLS] frames [SEP] see no text; each real token the text up to itself
        (True, ["1101000", "1101000", "1101000", "1101000", "1101100", "1101110", "1101000"]),
    ],
)
def test_who_sees_whom(causal: bool, rows: list[str]) -> None:
    frames, tokens = torch.tensor([True, False]), torch.tensor([True, True, True, True, False])
    mask = attention_mask(frames, tokens, causal=causal)
    assert ["".join(str(int(seen)) for seen in row) for row in mask] == rows


def test_a_modality_is_hidden_as_often_as_asked_for(tiny_bert: str) -> None:
    masker = FrameTokenMasker(
        bert_name=tiny_bert, mfm_probability=0.5, mlm_probability=0.25, mm_prob=0.4
    )
    frames = words = 0
    whole: Counter[str] = Counter()
    for index in range(2000):
        masked = masker(example(words=4, frames=3), generator(1, 1, index))
        label, text = masked["video_label"].sum().item(), (masked["text_label"] >= 0).sum().item()
        kind = {(3, 0): "frames", (0, 4): "text"}.get((label, text), "some")
        whole[kind] += 1
        if kind == "some":
            frames, words = frames + label, words + text
    # some parts look like a whole one: all three frames and no word, or all words and no frame
    frames_by_chance, text_by_chance = 0.6 * 0.5**3 * 0.75**4, 0.6 * 0.5**3 * 0.25**4
    law = {"frames": 0.2 + frames_by_chance, "text": 0.2 + text_by_chance}
    assert_counts_follow(whole, {**law, "some": 1 - sum(law.values())})
    assert 1.3 < frames / whole["some"] < 1.6
    assert 0.9 < words / whole["some"] < 1.2


def test_eight_of_ten_hidden_tokens_are_masks_and_one_stays(tiny_bert: str) -> None:
    masker = FrameTokenMasker(bert_name=tiny_bert, mlm_probability=1.0, mm_prob=0.0)
    seen: Counter[str] = Counter()
    for index in range(1500):
        masked = masker(example(), generator(1, 1, index))
        shown, labels = masked["caps"][2:5].tolist(), masked["text_label"][2:5].tolist()
        assert labels == [5, 6, 7]
        for token, label in zip(shown, labels, strict=True):
            seen["kept" if token == label else "mask" if token == MASK else "other"] += 1
    other = 0.1 * 11 / 13  # the 13 words of the vocabulary are equally likely, the same one too
    assert_counts_follow(seen, {"mask": 0.8 + 0.1 / 13, "kept": 0.1 + 0.1 / 13, "other": other})


@pytest.mark.parametrize("mm_type", ["full", "inverse", "no", "mask", "textgen", "textgen_mask"])
def test_a_whole_text_is_hidden_in_the_way_asked_for(tiny_bert: str, mm_type: TextMode) -> None:
    masker = FrameTokenMasker(bert_name=tiny_bert, mm_prob=1.0, mm_type=mm_type)
    given_caps = example()["caps"]
    texts = set()
    for index in range(40):
        masked = masker(example(), generator(1, 1, index))
        assert ("attention_mask" in masked) == mm_type.startswith("textgen")
        if masked["video_label"].any():
            assert masked["video_label"].tolist() == [True, True, False]
            assert torch.equal(masked["caps"], given_caps)
            assert (masked["text_label"] == IGNORED).all()
        else:
            texts.add(tuple(masked["text_label"].tolist()))
    first = {
        "full": {(N, N, 5, 6, 7, N, N)},
        "no": {(N,) * 7},
        "mask": {(N,) * 7},
        "textgen": {(N, N, 5, 6, 7, SEP, N)},
        "textgen_mask": {(N, N, 5, 6, 7, SEP, N)},
    }
    assert texts == first.get(mm_type, texts)
    assert len(texts) > 1 or mm_type != "inverse"


@pytest.mark.faults
@pytest.mark.parametrize("lazy", [True, False])
def test_hidden_frames_are_zero_in_the_example_and_stay_in_the_caller_s(
    tiny_bert: str, lazy: bool
) -> None:
    masker = FrameTokenMasker(
        bert_name=tiny_bert, mm_prob=0.0, mfm_probability=1.0, lazy_vfeat_mask=lazy
    )
    given_example = example()
    before = {key: tensor.clone() for key, tensor in given_example.items()}
    masked = masker(given_example, generator(1, 1, 0))
    assert masked["video_label"].tolist() == [True, True, False]
    assert masked["vfeats"].tolist() == ([[1, 2], [3, 4], [0, 0]] if lazy else [[0, 0]] * 3)
    assert {*masked} == {*before, *FrameTokenMasker.produces}
    assert all(torch.equal(given_example[key], before[key]) for key in before)


def test_a_grid_of_features_is_hidden_as_one(tiny_bert: str) -> None:
    masker = FrameTokenMasker(
        bert_name=tiny_bert, mm_prob=0.0, mfm_probability=1.0, lazy_vfeat_mask=False
    )
    grid = {**example(frames=1), "vfeats": torch.ones(3, 2, 2)}
    assert masker(grid, generator(1, 1, 0))["vfeats"].sum((1, 2)).tolist() == [0, 4, 4]


@given(
    words=st.integers(0, 4),
    frames=st.integers(0, 3),
    mm_type=st.sampled_from(["full", "inverse", "no", "mask", "textgen", "textgen_mask"]),
    seed=st.integers(0, 999),
)
def test_masks_keep_to_what_is_real_and_to_the_generator(
    tiny_bert: str, words: int, frames: int, mm_type: TextMode, seed: int
) -> None:
    masker = FrameTokenMasker(bert_name=tiny_bert, mm_type=mm_type)
    given_example = example(words, frames)
    masked = masker(given_example, generator(seed, 1, 0))
    again = masker(given_example, generator(seed, 1, 0))
    assert all(torch.equal(masked[key], again[key]) for key in masked)
    assert not (masked["video_label"] & ~given_example["vmasks"]).any()
    assert not ((masked["text_label"] >= 0) & ~given_example["cmasks"]).any()
    assert masked["caps"][:2].tolist() == [CLS, SEP]
    assert masked["caps"].shape == masked["text_label"].shape == (7,)


@pytest.mark.parametrize("name", ["mfm_probability", "mlm_probability", "mm_prob"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(tiny_bert: str, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name} .* is not in \[0, 1\]"):
        FrameTokenMasker(bert_name=tiny_bert, **{name: value})


def test_the_generator_is_the_only_source_of_chance(tiny_bert: str) -> None:
    masker = FrameTokenMasker(bert_name=tiny_bert)
    state = torch.get_rng_state(), np.random.get_state()[1].copy()
    masker(example(), generator(1, 1, 0))
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()
