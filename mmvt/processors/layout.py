"""Layouts: sampled features and tokens written into the fixed shapes of the wire keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.processors.base import Layout
from mmvt.processors.masking import shift_text
from mmvt.processors.text.tokenizer import load_tokenizer, special_ids


def video_sequence(
    video_features: Float[np.ndarray, "steps *grid dim"], length: int
) -> tuple[Float[Tensor, "video_len *grid dim"], Bool[Tensor, " video_len"]]:
    """Return the (features, mask) of a video, in float32; padded with zeros or cut.

    Args:
        video_features: features of the video.
        length: its steps afterwards.
    """
    rows = video_features[:length]
    vfeats = torch.zeros(length, *rows.shape[1:])
    vfeats[: len(rows)] = torch.from_numpy(rows.astype(np.float32))
    return vfeats, torch.arange(length) < len(rows)


class VideoTextLayout(Layout):
    """Video steps, and ``[CLS] [SEP] w1 … wn [SEP] [PAD] …`` for the text.

    The first ``[SEP]`` belongs to the video, so ``max_len - max_video_len - 3`` words fit. A
    longer text is cut and keeps its closing ``[SEP]``; a longer video is cut at its end. Features
    become float32 whatever the store holds.

    Args:
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
    """

    def __init__(self, *, max_video_len: int, max_len: int, bert_name: str) -> None:
        if max_video_len < 1:
            raise ConfigError(f"max_video_len is {max_video_len}, but must be at least 1")
        if max_len - max_video_len < 3:
            raise ConfigError(
                f"max_len {max_len} must exceed max_video_len {max_video_len} by 3 or more, "
                "for [CLS] and two [SEP]"
            )
        self.max_video_len = max_video_len
        self.text_len = max_len - max_video_len
        self.special = special_ids(load_tokenizer(bert_name))

    @override
    def __call__(
        self, video_features: Float[np.ndarray, "steps *grid dim"], text_ids: list[int]
    ) -> dict[str, Tensor]:
        vfeats, vmasks = video_sequence(video_features, self.max_video_len)
        caps, cmasks = self.text_sequence(text_ids)
        return {"caps": caps, "cmasks": cmasks, "vfeats": vfeats, "vmasks": vmasks}

    def text_sequence(
        self, text_ids: Sequence[int]
    ) -> tuple[Int[Tensor, " text_len"], Bool[Tensor, " text_len"]]:
        """Return the (ids, mask) of a text, with special tokens, padded or cut."""
        special = self.special
        words = text_ids[: self.text_len - 3]
        sequence = torch.tensor([special.cls, special.sep, *words, special.sep])
        caps = torch.full((self.text_len,), special.pad)
        caps[: len(sequence)] = sequence
        return caps, torch.arange(self.text_len) < len(sequence)


class CaptionLayout(VideoTextLayout):
    """Video steps, and a text to be written token by token.

    ``caps`` are ``[CLS] [SEP] [CLS] w1 … wn [PAD] …`` and ``text_label`` is ``-100 -100 w1 … wn
    [SEP] -100 …``: at each place the token that comes next. ``cmasks`` are true up to the place of
    ``wn``. All else is as in :class:`VideoTextLayout`.

    Source: VLM (arXiv 2105.09996) §4, video captioning.

    Args:
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
    """

    produces = ("text_label",)

    @override
    def __call__(
        self, video_features: Float[np.ndarray, "steps *grid dim"], text_ids: list[int]
    ) -> dict[str, Tensor]:
        example = super().__call__(video_features, text_ids)
        caps, text_label = shift_text(example["caps"], self.special)
        return {**example, "caps": caps, "text_label": text_label}
