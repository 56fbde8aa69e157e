"""The aligner of VLM's pre-training: captions and the video they cover, partly hidden."""

from __future__ import annotations

from typing import Literal

from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout
from mmvt.processors.masking import FrameTokenMasker
from mmvt.processors.sampling import FixedLenSampler


class MFMMLMAligner(SampledAligner):
    """Captions grown until the text is full and the video they cover, with hidden parts (VLM).

    Args:
        layout: writes the sample into tensors.
        bert_name: name or folder of the tokenizer, for its special tokens and its size.
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        keep_prob: probability with which a neighbouring caption is taken, not skipped.
        mfm_probability: probability with which a frame is hidden.
        mlm_probability: probability with which a token is hidden.
        mm_prob: probability with which one whole modality is hidden.
        mm_type: how a whole text is hidden; see FrameTokenMasker.
        lazy_vfeat_mask: leave the features as they are, for the model to hide by ``video_label``;
            else they are zeroed here.
        subsampling: independent samples of one video.
    """

    produces = FrameTokenMasker.produces

    def __init__(
        self,
        *,
        layout: Layout,
        bert_name: str,
        max_video_len: int,
        max_len: int,
        keep_prob: float = 1.0,
        mfm_probability: float = 0.15,
        mlm_probability: float = 0.15,
        mm_prob: float = 0.5,
        mm_type: Literal["full", "inverse", "no", "mask", "textgen", "textgen_mask"] = "full",
        lazy_vfeat_mask: bool = True,
        subsampling: int = 1,
    ) -> None:
        sampler = FixedLenSampler(max_video_len=max_video_len, max_len=max_len, keep_prob=keep_prob)
        masker = FrameTokenMasker(
            bert_name=bert_name,
            mfm_probability=mfm_probability,
            mlm_probability=mlm_probability,
            mm_prob=mm_prob,
            mm_type=mm_type,
            lazy_vfeat_mask=lazy_vfeat_mask,
        )
        super().__init__(sampler=sampler, layout=layout, masker=masker, subsampling=subsampling)
