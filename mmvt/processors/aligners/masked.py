"""The aligner of VLM's pre-training: captions and the video they cover, partly hidden."""

from __future__ import annotations

from typing import Literal

from mmvt.errors import ConfigError
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout, Sampler
from mmvt.processors.masking import FrameTokenMasker
from mmvt.processors.sampling import FixedLenSampler, VariedLenSampler


class MFMMLMAligner(SampledAligner):
    """Captions and the video they cover, with hidden parts (VLM).

    Captions grow up to a random number of tokens or, unless that is given, until the text is full.

    Args:
        layout: writes the sample into tensors.
        bert_name: name or folder of the tokenizer, for its special tokens and its size.
        max_video_len: length of the video part of the sequence, in feature steps.
        max_len: length of the whole sequence, in tokens.
        sampled_min_len: fewest tokens at which captions stop growing.
        sampled_max_len: most tokens at which captions stop growing.
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
        sampled_min_len: int | None = None,
        sampled_max_len: int | None = None,
        keep_prob: float = 1.0,
        mfm_probability: float = 0.15,
        mlm_probability: float = 0.15,
        mm_prob: float = 0.5,
        mm_type: Literal["full", "inverse", "no", "mask", "textgen", "textgen_mask"] = "full",
        lazy_vfeat_mask: bool = True,
        subsampling: int = 1,
    ) -> None:
        sampler: Sampler
        if sampled_min_len is None and sampled_max_len is None:
            sampler = FixedLenSampler(
                max_video_len=max_video_len, max_len=max_len, keep_prob=keep_prob
            )
        elif sampled_min_len is None or sampled_max_len is None:
            raise ConfigError("sampled_min_len and sampled_max_len go together; one is unset")
        else:
            sampler = VariedLenSampler(
                sampled_min_len=sampled_min_len,
                sampled_max_len=sampled_max_len,
                keep_prob=keep_prob,
            )
        masker = FrameTokenMasker(
            bert_name=bert_name,
            mfm_probability=mfm_probability,
            mlm_probability=mlm_probability,
            mm_prob=mm_prob,
            mm_type=mm_type,
            lazy_vfeat_mask=lazy_vfeat_mask,
        )
        super().__init__(sampler=sampler, layout=layout, masker=masker, subsampling=subsampling)
