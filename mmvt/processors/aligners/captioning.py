"""The aligner of captioning: a clip, and a caption to write token by token."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout, Masker
from mmvt.processors.masking import shift_text
from mmvt.processors.sampling import CaptionSampler
from mmvt.processors.text.tokenizer import load_tokenizer, special_ids


class CaptionMasker(Masker):
    """Has a text begin anew after ``[CLS] [SEP]``, so that each token tells the next.

    Args:
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
        prompt_only: show ``[CLS] [SEP] [CLS]`` alone; the label is then the text as it was.
    """

    produces = ("text_label",)

    def __init__(self, *, bert_name: str, prompt_only: bool = False) -> None:
        self.special = special_ids(load_tokenizer(bert_name))
        self.prompt_only = prompt_only

    @override
    def __call__(
        self, example: Mapping[str, Tensor], rng: np.random.Generator
    ) -> dict[str, Tensor]:
        caps = example["caps"]
        if self.prompt_only:
            prompt = torch.tensor([self.special.cls, self.special.sep, self.special.cls])
            whole = torch.ones_like(example["cmasks"])
            return {**example, "caps": prompt, "cmasks": whole, "text_label": caps}
        shown, text_label = shift_text(caps, self.special)
        return {**example, "caps": shown, "text_label": text_label}


class CaptioningAligner(SampledAligner):
    """The steps that a random caption covers, and the caption with the next token at each place.

    ``caps`` are ``[CLS] [SEP] [CLS] w1 … wn [PAD] …``, and ``text_label`` is ``-100 -100 w1 … wn
    [SEP] -100 …``. ``cmasks`` are true up to the place of ``wn``.

    Source: VLM (arXiv 2105.09996) §4, video captioning.

    Args:
        layout: writes clip and caption into tensors; it cuts what is too long. One that labels the
            caption itself, as ``CaptionLayout`` does, is the same as ``VideoTextLayout`` here.
        bert_name: name or folder of the tokenizer, for the ids of its special tokens.
        prompt_only: show ``[CLS] [SEP] [CLS]`` alone, for a model to go on from; ``cmasks`` are
            all true and ``text_label`` is the plain caption.
        subsampling: independent samples of one video.
    """

    produces = CaptionMasker.produces

    def __init__(
        self, *, layout: Layout, bert_name: str, prompt_only: bool = False, subsampling: int = 1
    ) -> None:
        labelled = "text_label" in layout.produces
        if labelled and prompt_only:
            raise ConfigError(
                f"prompt_only does not go with {type(layout).__name__}, which labels captions; use "
                "VideoTextLayout"
            )
        super().__init__(
            sampler=CaptionSampler(),
            layout=layout,
            masker=None
            if labelled
            else CaptionMasker(bert_name=bert_name, prompt_only=prompt_only),
            subsampling=subsampling,
        )
