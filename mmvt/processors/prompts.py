"""The layout of language models: a prompt to read, and a text to write behind it."""

from __future__ import annotations

import copy
import logging
import math
from collections import Counter
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import Layout, TextClips
from mmvt.processors.expert_words import ExpertWords
from mmvt.processors.layout import video_sequence
from mmvt.processors.masking import IGNORED
from mmvt.processors.text.tokenizer import load_tokenizer, text_ends, tokenised

logger = logging.getLogger(__name__)

_RUN = 5  # so many tokens in a row are hardly the same by chance
_OFTEN = 10  # captions


class PromptLayout(Layout):
    """Video steps, the words of a prompt, and what is to be written with the token that ends it.

    ``caps`` (max_prompt_len) are the prompt's words alone, and ``text_label`` (max_text_len) the
    words to be written, then the end, then -100. The label's words are nowhere else: what a model
    reads does not change with them. A longer video, prompt or text is cut at its end, and a text
    that is cut has no end; the log counts the prompts and texts. What text experts say of the clip
    stands before the prompt, in as many further columns as their ``max_tokens`` together.

    Source: VPT (arXiv 2304.10505) §3, whose own code shows what is to be written to an encoder.

    Args:
        max_video_len: length of the video, in feature steps.
        max_text_len: longest text to be written, in tokens, with its end.
        max_prompt_len: longest prompt, in tokens.
        bert_name: name or folder of the tokenizer, of any kind.
        prompt: what every example is asked, before a question of its own.
        objective: ``caption`` = all of a caption is to be written; ``prefix`` = its second half,
            its first being the end of the prompt.
    """

    produces = ("text_label",)

    def __init__(
        self,
        *,
        max_video_len: int,
        max_text_len: int = 32,
        max_prompt_len: int = 32,
        bert_name: str,
        prompt: str = "",
        objective: Literal["caption", "prefix"] = "caption",
    ) -> None:
        for name, length in (("max_video_len", max_video_len), ("max_text_len", max_text_len)):
            if length < 1:
                raise ConfigError(f"{name} is {length}, but must be at least 1")
        tokenizer = load_tokenizer(bert_name)
        self.ends = text_ends(tokenizer)
        self.max_video_len, self.max_text_len = max_video_len, max_text_len
        self.prompt = tokenised(tokenizer, [prompt])[0] if prompt else []
        self.objective = objective
        if len(self.prompt) > max_prompt_len:
            raise ConfigError(
                f"the prompt has {len(self.prompt)} tokens, but max_prompt_len is {max_prompt_len}"
            )
        self.max_prompt_len = max_prompt_len
        self.tokenizer = tokenizer
        self.before: list[int] = []
        self.room_before = 0
        self._clips: Counter[str] = Counter()

    @override
    def __call__(
        self, video_features: Float[np.ndarray, "steps *grid dim"], text_ids: list[int]
    ) -> dict[str, Tensor]:
        half = self.read_of(text_ids)
        self._check_untold(text_ids[half:])
        return self.prompted(video_features, text_ids[:half], text_ids[half:])

    @override
    def read_of(self, text_ids: list[int]) -> int:
        return (len(text_ids) + 1) // 2 if self.objective == "prefix" else 0

    @override
    def of_clip(self, clips: TextClips, steps: slice) -> PromptLayout:
        if not clips.experts:
            return self
        layout = copy.copy(self)
        layout.before = [token for own in clips.experts for token in self._said(own, steps)]
        layout.room_before = sum(own.expert.max_tokens for own in clips.experts)
        return layout

    def prompted(
        self,
        video_features: Float[np.ndarray, "steps *grid dim"],
        prompt_ids: list[int],
        text_ids: list[int],
    ) -> dict[str, Tensor]:
        """Return the tensors of an example with a prompt of its own.

        Args:
            video_features: features of the video.
            prompt_ids: what is read behind the common prompt.
            text_ids: what is to be written.
        """
        vfeats, vmasks = video_sequence(video_features, self.max_video_len)
        asked = [*self.prompt, *prompt_ids]
        for name, tokens, room in (
            ("max_prompt_len", len(asked), self.max_prompt_len),
            ("max_text_len", len(text_ids) + 1, self.max_text_len),
        ):
            if tokens > room:
                self._tell(f"cut to {name} of {room} tokens", f"here from {tokens}")
        prompt = [*self.before, *asked[: self.max_prompt_len]]
        length = self.room_before + self.max_prompt_len
        caps, cmasks = self._padded(prompt, length, self.ends.pad)
        label, _ = self._padded([*text_ids, self.ends.end], self.max_text_len, IGNORED)
        return {
            "caps": caps,
            "cmasks": cmasks,
            "vfeats": vfeats,
            "vmasks": vmasks,
            "text_label": label,
        }

    def _said(self, own: ExpertWords, steps: slice) -> list[int]:
        """Return what a text expert says of a clip; clips in which not all fits are counted."""
        fitted = own.fitted(steps, lambda text: tokenised(self.tokenizer, [text])[0])
        expert = own.expert
        if fitted.kept < fitted.words:
            self._tell(
                f"text expert {expert.name} has more words than fit into {expert.max_tokens} "
                f"tokens (rule: {expert.rule})",
                f"here {fitted.kept} of {fitted.words} are left",
            )
        return fitted.tokens

    def _check_untold(self, text_ids: list[int]) -> None:
        """Count captions that text experts say, and refuse if those are most.

        Raises:
            DataError: they are.
        """
        wanted = _runs(text_ids)
        if not (wanted and self.before):
            return
        what = "text experts say what is to be written"
        self._clips["compared"] += 1
        if wanted & _runs(self.before):
            self._tell(what, f"of {self._clips['compared']}")
            if self._clips[what] >= _OFTEN and 2 * self._clips[what] > self._clips["compared"]:
                raise DataError(
                    f"{what}: {_RUN} tokens or more in a row, in {self._clips[what]} of "
                    f"{self._clips['compared']} clips; leave out the expert that does"
                )

    def _tell(self, what: str, here: str) -> None:
        """Log what is so of 1, 10, 100, … clips."""
        self._clips[what] += 1
        if math.log10(self._clips[what]).is_integer():
            logger.warning("%s; %d clips so far, %s", what, self._clips[what], here)

    def _padded(
        self, ids: list[int], length: int, filling: int
    ) -> tuple[Int[Tensor, " length"], Bool[Tensor, " length"]]:
        ids = ids[:length]
        padded = torch.full((length,), filling)
        padded[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return padded, torch.arange(length) < len(ids)


def _runs(tokens: list[int]) -> set[tuple[int, ...]]:
    return {tuple(tokens[place : place + _RUN]) for place in range(len(tokens) - _RUN + 1)}
