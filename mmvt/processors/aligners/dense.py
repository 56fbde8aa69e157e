"""The aligner of dense captioning: a video, and all that is said of it with its times to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.tokenizer import load_tokenizer, tokenised
from mmvt.processors.times import TimeCodec, TimedText


class DenseCaptionAligner(Aligner):
    """A whole video to see, and all its captions to write as ``start end sentence; …``.

    Of a video with more steps than the layout has room for, the middles of equally long segments
    are taken. A text that is too long is cut by the layout and has no end.

    Source: Vid2Seq (arXiv 2302.14115) §3.1.

    Args:
        layout: a :class:`~mmvt.processors.prompts.PromptLayout`; of texts, its ``prompt`` alone is
            read.
        bert_name: name or folder of the tokenizer.
        bins: places of a video that a time can be.
        form: a place is a ``number`` of ordinary tokens (``7``), or a ``token`` (``<t7>``), which
            is one where the vocabulary holds it, else several.
    """

    produces = ("text_label",)
    shows_experts = True

    def __init__(
        self,
        *,
        layout: Layout,
        bert_name: str,
        bins: int = 100,
        form: Literal["number", "token"] = "number",
    ) -> None:
        if not isinstance(layout, PromptLayout):
            raise ConfigError(
                f"DenseCaptionAligner needs the layout PromptLayout, not {type(layout).__name__}"
            )
        self.layout = layout
        self.tokenizer = load_tokenizer(bert_name)
        self.codec = TimeCodec(bins=bins, form=form)

    @override
    def example_clips(self) -> TextClips:
        start, end = np.array([0.0, 1.0]), np.array([1.0, 2.0])
        return TextClips(start, end, [[7], [8]], texts=["word2", "word3"])

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        steps = len(video_features)
        text = self.codec.write(self._timed(clips, steps))
        count = min(steps, self.layout.max_video_len)
        shown = video_features[(2 * np.arange(count) + 1) * steps // (2 * count)]
        layout = self.layout.of_clip(clips, slice(0, steps))
        return layout.prompted(shown, [], tokenised(self.tokenizer, [text])[0])

    def _timed(self, clips: TextClips, steps: int) -> list[TimedText]:
        """Return captions with their places; times are in steps.

        Raises:
            DataError: the video is empty, or a caption has no end.
            ConfigError: the captions are not known as texts.
        """
        if clips.texts is None:
            raise ConfigError("the text processor knows no texts of captions to write")
        if np.isinf(clips.end).any():
            raise DataError(
                "dense captions need times, and features with a steady number of steps a second"
            )
        start, end = (
            [self.codec.encode(time, float(steps)) for time in times.tolist()]
            for times in (clips.start, clips.end)
        )
        return [TimedText(*own) for own in zip(start, end, clips.texts, strict=True)]
