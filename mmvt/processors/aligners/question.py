"""Aligners of questions: a video, what is asked of it, and the answer to write."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError, DataError
from mmvt.processors.base import Aligner, Layout, TextClips
from mmvt.processors.labels import QuestionClips, labelled
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.tokenizer import load_tokenizer, tokenised


class OptionAligner(Aligner, ABC):
    """Asks a language model, and can ask it of each answer apart.

    Of a video with more steps than the layout has room for, or of the part that is asked about,
    the middles of equally long segments are taken, in time order. Of a context that is too long the
    end is left out; questions and answers are never cut.

    Args:
        layout: a :class:`~mmvt.processors.prompts.PromptLayout`.
        bert_name: name or folder of the tokenizer.

    Raises:
        ConfigError: the layout is another.
    """

    shows_experts = True

    def __init__(self, layout: Layout, bert_name: str) -> None:
        if not isinstance(layout, PromptLayout):
            raise ConfigError(
                f"{type(self).__name__} needs the layout PromptLayout, not {type(layout).__name__}"
            )
        self.layout = layout
        self.tokenizer = load_tokenizer(bert_name)

    @abstractmethod
    def options(
        self, video_features: Float[np.ndarray, "steps *grid dim"], clips: TextClips
    ) -> dict[str, Tensor]:
        """Return the video once, and ``caps``, ``cmasks``, ``text_label`` with a row an answer.

        The likelier the label of a row, the better its answer; where ``against`` (answers, 1) is
        there, the more it is likelier than that.

        Raises:
            DataError: a question or an answer is longer than the layout has room for.
        """
        raise NotImplementedError

    @override
    def example_clips(self) -> TextClips:
        return QuestionClips(
            start=np.zeros(2),
            end=np.full(2, np.inf),
            cap=[[7], [8]],
            answer=1,
            question=[9, 10],
            groups=("kind",),
            texts=["word2", "word3"],
        )

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of a text; none of an empty one."""
        return tokenised(self.tokenizer, [text])[0] if text else []

    def asked(self, clips: QuestionClips, ending: list[int]) -> list[int]:
        """Return a prompt: context, question and an ending.

        Raises:
            DataError: question and ending are longer than the layout has room for.
        """
        room = self.layout.max_prompt_len - len(self.layout.prompt)
        left = room - len(clips.question) - len(ending)
        if left < 0:
            raise DataError(
                f"what is asked has {room - left} tokens, but max_prompt_len has room for {room}"
            )
        return [*clips.context[:left], *clips.question, *ending]

    def written(
        self,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: QuestionClips,
        prompt: list[int],
        answer: list[int],
    ) -> dict[str, Tensor]:
        """Return the tensors of an example.

        Raises:
            DataError: the answer is longer than the layout has room for, or the video ends before
                the part that is asked about.
        """
        room = self.layout.max_text_len - 1
        if len(answer) > room:
            raise DataError(
                f"an answer has {len(answer)} tokens, but max_text_len has room for {room}"
            )
        part = self._part(clips, len(video_features))
        length = part.stop - part.start
        count = min(length, self.layout.max_video_len)
        shown = video_features[part.start + (2 * np.arange(count) + 1) * length // (2 * count)]
        return self.layout.of_clip(clips, part).prompted(shown, prompt, answer)

    def _part(self, clips: QuestionClips, num_steps: int) -> slice:
        """Return the steps that are asked about."""
        first = math.floor(clips.start[0])
        end = clips.end[0]
        stop = num_steps if end == np.inf else min(max(math.ceil(end), first + 1), num_steps)
        if first >= num_steps:
            raise DataError(f"is asked about from step {first} on, but has only {num_steps}")
        return slice(first, stop)


class QuestionAligner(OptionAligner):
    """A video and a question to read, and its answer to write.

    Source: VPT (arXiv 2304.10505) §4, question answering.

    Args:
        layout: PromptLayout; its ``prompt`` stands before the question.
        bert_name: name or folder of the tokenizer.
        cue: what stands between question and answer, such as ``answer:``.
    """

    def __init__(self, *, layout: Layout, bert_name: str, cue: str = "") -> None:
        super().__init__(layout, bert_name)
        self.cue = self.tokens(cue)

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        clips = labelled(clips, QuestionClips)
        prompt = self.asked(clips, self.cue)
        return self.written(video_features, clips, prompt, clips.cap[clips.answer])

    @override
    def options(
        self, video_features: Float[np.ndarray, "steps *grid dim"], clips: TextClips
    ) -> dict[str, Tensor]:
        clips = labelled(clips, QuestionClips)
        prompt = self.asked(clips, self.cue)
        rows = [self.written(video_features, clips, prompt, answer) for answer in clips.cap]
        return _stacked(rows)


class YesNoAligner(OptionAligner):
    """A video, a question and one of its answers to read, and whether it is right to write.

    In half of the examples that is the right answer, in the others one of the wrong ones.

    Source: VPT (arXiv 2304.10505) §4, TVQA.

    Args:
        layout: PromptLayout; its ``prompt`` stands before the question.
        bert_name: name or folder of the tokenizer.
        ask: what stands behind the question; ``{answer}`` is where the answer goes.
        yes: what is written if it is right; its first token counts.
        no: what is written otherwise.
    """

    def __init__(
        self,
        *,
        layout: Layout,
        bert_name: str,
        ask: str = "is it '{answer}'?",
        yes: str = "yes",
        no: str = "no",
    ) -> None:
        super().__init__(layout, bert_name)
        self.ask, self.yes, self.no = ask, self.tokens(yes), self.tokens(no)
        if "{answer}" not in ask:
            raise ConfigError(f"ask {ask!r} has no place for the {{answer}}")
        if self.yes[:1] == self.no[:1]:
            raise ConfigError(f"yes {yes!r} and no {no!r} begin with the same token")

    @override
    def __call__(
        self,
        video_id: str,
        video_features: Float[np.ndarray, "steps *grid dim"],
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        clips = labelled(clips, QuestionClips)
        wrong = [number for number in range(len(clips)) if number != clips.answer]
        if not wrong:
            raise DataError("the question has no wrong answer to say no to")
        right = rng.random() < 0.5
        number = clips.answer if right else int(rng.choice(wrong))
        said = self.yes if right else self.no
        return self.written(video_features, clips, self._prompts(clips)[number], said)

    @override
    def options(
        self, video_features: Float[np.ndarray, "steps *grid dim"], clips: TextClips
    ) -> dict[str, Tensor]:
        clips = labelled(clips, QuestionClips)
        prompts = self._prompts(clips)
        made = _stacked([self.written(video_features, clips, own, []) for own in prompts])
        yes, no = (torch.full((len(clips), 1), said[0]) for said in (self.yes, self.no))
        return {**made, "text_label": yes, "against": no}

    def _prompts(self, clips: QuestionClips) -> list[list[int]]:
        if clips.texts is None:
            raise ConfigError("the text processor knows no texts of answers to ask for")
        asked = [self.tokens(self.ask.replace("{answer}", text)) for text in clips.texts]
        return [self.asked(clips, ending) for ending in asked]


def _stacked(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the video of the first row, and the texts of all."""
    texts = {
        key: torch.stack([row[key] for row in rows]) for key in ("caps", "cmasks", "text_label")
    }
    return {**rows[0], **texts}
