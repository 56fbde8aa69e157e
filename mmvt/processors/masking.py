"""Maskers: what of an example is hidden, and the labels that say what was there.

A masker never writes into the tensors it is given: an example may be shared with others, and
frames zeroed in place would be lost to all of them.

Source: VLM (ACL Findings 2021), §3.2 and §3.3; the corruption of tokens is that of BERT.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.processors.base import Masker
from mmvt.processors.text.tokenizer import SpecialIds, load_tokenizer, special_ids

IGNORED = -100

FrameMode = Literal["some", "full", "inverse", "no"]
TextMode = Literal["some", "full", "inverse", "no", "mask", "textgen", "textgen_mask"]


class Corruption(NamedTuple):
    """What happens to each token of a text, if anything may.

    Attributes:
        picked: true where the token becomes a target.
        replaced: true where a target is shown as [MASK].
        randomised: true where a target that is not replaced is shown as another token.
        random_ids: what it is shown as.
    """

    picked: Bool[Tensor, " text_len"]
    replaced: Bool[Tensor, " text_len"]
    randomised: Bool[Tensor, " text_len"]
    random_ids: Int[Tensor, " text_len"]


class FrameTokenMasker(Masker):
    """Hides frames and tokens, or one whole modality.

    With probability ``mm_prob`` one modality is hidden and the other shown: all frames, or the
    text as ``mm_type`` says, half the time each. Else some frames and some tokens are hidden.

    ``text_label`` holds the tokens to find, -100 elsewhere, and ``video_label`` is true where a
    frame is to be found. Where a text is to be generated, it stands shifted to the right by one,
    and ``attention_mask`` says who sees whom: all of the video, and the text up to oneself.

    Args:
        bert_name: name or folder of the tokenizer, for its special tokens and its size.
        mfm_probability: probability with which a frame is hidden.
        mlm_probability: probability with which a token is: 80 % of them become [MASK], 10 %
            another token, and 10 % stay.
        mm_prob: probability with which one whole modality is hidden.
        mm_type: how a whole text is: ``full`` all tokens, ``inverse`` all but some, ``no`` none,
            ``mask`` some without a label, ``textgen`` the next token at each, ``textgen_mask`` the
            same behind some hidden tokens.
        lazy_vfeat_mask: leave the features as they are, for the model to hide by ``video_label``;
            else they are zeroed here.
    """

    produces = ("text_label", "video_label")

    def __init__(
        self,
        *,
        bert_name: str,
        mfm_probability: float = 0.15,
        mlm_probability: float = 0.15,
        mm_prob: float = 0.5,
        mm_type: Literal["full", "inverse", "no", "mask", "textgen", "textgen_mask"] = "full",
        lazy_vfeat_mask: bool = True,
    ) -> None:
        named = {"mfm_probability": mfm_probability, "mlm_probability": mlm_probability}
        for name, probability in {**named, "mm_prob": mm_prob}.items():
            if not 0 <= probability <= 1:
                raise ConfigError(f"{name} {probability} is not in [0, 1]")
        tokenizer = load_tokenizer(bert_name)
        self.special = special_ids(tokenizer)
        self.vocabulary = len(tokenizer)
        self.mfm_probability = mfm_probability
        self.mlm_probability = mlm_probability
        self.mm_prob = mm_prob
        self.mm_type: TextMode = mm_type
        self.lazy_vfeat_mask = lazy_vfeat_mask

    @override
    def __call__(
        self, example: Mapping[str, Tensor], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        frames, text = self._modes(rng)
        video_label = self._masked_frames(example["vmasks"], frames, rng)
        caps, text_label = self._masked_text(example["caps"], text, rng)
        masked = {**example, "caps": caps, "text_label": text_label, "video_label": video_label}
        if not self.lazy_vfeat_mask:
            hidden = video_label.view(-1, *[1] * (example["vfeats"].dim() - 1))
            masked["vfeats"] = example["vfeats"].masked_fill(hidden, 0)
        if _generates(self.mm_type):
            masks = example["vmasks"], example["cmasks"]
            masked["attention_mask"] = attention_mask(*masks, causal=_generates(text))
        return masked

    def _modes(self, rng: np.random.Generator) -> tuple[FrameMode, TextMode]:
        if rng.random() >= self.mm_prob:
            return "some", "some"
        return ("full", "no") if rng.random() < 0.5 else ("no", self.mm_type)

    def _masked_frames(
        self, vmasks: Bool[Tensor, " video_len"], mode: FrameMode, rng: np.random.Generator
    ) -> Bool[Tensor, " video_len"]:
        chance = pick_probability(mode, self.mfm_probability)
        return vmasks & torch.from_numpy(rng.random(len(vmasks)) < chance)

    def _masked_text(
        self, caps: Int[Tensor, " text_len"], mode: TextMode, rng: np.random.Generator
    ) -> tuple[Int[Tensor, " text_len"], Int[Tensor, " text_len"]]:
        picked, replaced, randomised = torch.from_numpy(rng.random((3, len(caps))))
        draws = Corruption(
            picked < pick_probability(mode, self.mlm_probability),
            replaced < 0.8,
            randomised < 0.5,
            torch.from_numpy(rng.integers(self.vocabulary, size=len(caps))),
        )
        return mask_text(caps, mode, draws, self.special)


def pick_probability(mode: FrameMode | TextMode, probability: float) -> float:
    """Return the probability with which each frame or token is hidden in a mode.

    Args:
        mode: what is hidden.
        probability: the one of ``some``.
    """
    fixed = {"full": 1.0, "inverse": 1 - probability, "no": 0.0, "textgen": 0.0}
    return fixed.get(mode, probability)


def mask_text(
    caps: Int[Tensor, " text_len"], mode: TextMode, draws: Corruption, special: SpecialIds
) -> tuple[Int[Tensor, " text_len"], Int[Tensor, " text_len"]]:
    """Return the (tokens shown, labels) of a text; nothing is drawn here.

    Args:
        caps: ``[CLS] [SEP] w1 … wn [SEP] [PAD] …``.
        mode: what is hidden; it decides on labels and order alone, as ``draws`` has been drawn
            with its probability.
        draws: what happens to each token that is shown.
        special: ids of the special tokens, which stay as they are.
    """
    if not _generates(mode):
        shown, picked = corrupt(caps, draws, special)
        return shown, caps.masked_fill(~picked | (mode == "mask"), IGNORED)
    shifted, labels = shift_text(caps, special)
    return corrupt(shifted, draws, special)[0], labels


def corrupt(
    ids: Int[Tensor, " text_len"], draws: Corruption, special: SpecialIds
) -> tuple[Int[Tensor, " text_len"], Bool[Tensor, " text_len"]]:
    """Return a text with the picked tokens hidden, and which ones these are."""
    kept = torch.tensor([special.cls, special.sep, special.pad])
    picked = draws.picked & ~torch.isin(ids, kept)
    random_ids = torch.where(draws.randomised, draws.random_ids, ids)
    shown = random_ids.masked_fill(draws.replaced, special.mask)
    return torch.where(picked, shown, ids), picked


def shift_text(
    caps: Int[Tensor, " text_len"], special: SpecialIds
) -> tuple[Int[Tensor, " text_len"], Int[Tensor, " text_len"]]:
    """Return the (inputs, labels) of a text that is generated token by token.

    ``[CLS] [SEP] w1 … wn [SEP] [PAD]`` becomes ``[CLS] [SEP] [CLS] w1 … wn [PAD]``, with the
    labels ``-100 -100 w1 … wn [SEP] -100``.
    """
    labels = caps.masked_fill(caps == special.pad, IGNORED)
    labels[:2] = IGNORED
    inputs = torch.cat([caps[:2], caps.new_tensor([special.cls]), caps[2:-1]])
    # the closing [SEP] is only ever a target
    inputs[2:][labels[2:] == IGNORED] = special.pad
    return inputs, labels


def attention_mask(
    vmasks: Bool[Tensor, " video_len"], cmasks: Bool[Tensor, " text_len"], *, causal: bool
) -> Bool[Tensor, "length length"]:
    """Return which positions of the joint sequence see which; row = who sees, column = who is seen.

    Args:
        vmasks: true where a frame is real.
        cmasks: true where a token is.
        causal: real tokens see the text up to themselves, and all others none of it; else all see
            all that is real.
    """
    joint = torch.cat([cmasks[:1], vmasks, cmasks[1:]])
    mask = joint.expand(len(joint), -1).clone()
    if causal:
        text = len(vmasks) + 2
        upto = torch.ones(len(joint) - text, len(joint) - text, dtype=torch.bool).tril()
        mask[:text, text:] = False
        mask[text:, text:] &= upto & joint[text:, None]
    return mask


def _generates(mode: TextMode) -> bool:
    return mode in ("textgen", "textgen_mask")
