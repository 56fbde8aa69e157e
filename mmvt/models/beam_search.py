"""Beam search as the code of VLM counts it, to reproduce what it wrote.

A text scores the sum of its log-probabilities, divided by its length to the power of the length
penalty. The length is that of prompt and words without the end token. Bans make a token impossible
after the probabilities were made, so that what is left does not sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
)

IMPOSSIBLE = -1e9  # the score of beams that are copies of the first


def original_beam_search(
    next_token: Callable[[Tensor], Tensor],
    prompt: Int[Tensor, "batch prompt_length"],
    max_length: int,
    *,
    num_beams: int,
    length_penalty: float,
    min_length: int,
    no_repeat_ngram_size: int,
    end: int,
    pad: int,
) -> Int[Tensor, "batch length"]:
    """Return the best text of each example, as :func:`mmvt.models.generation.search` does."""
    bans = LogitsProcessorList()
    if no_repeat_ngram_size:
        bans.append(NoRepeatNGramLogitsProcessor(no_repeat_ngram_size))
    if min_length:
        bans.append(MinLengthLogitsProcessor(min_length, end, device=str(prompt.device)))
    ids: Any = prompt.repeat_interleave(num_beams, dim=0)  # transformers wants a type of its own
    totals = torch.full((len(prompt), num_beams), IMPOSSIBLE, device=prompt.device)
    totals[:, 0] = 0
    every = [_Hypotheses(num_beams, length_penalty) for _ in prompt]
    while ids.shape[1] < max_length and not all(hypotheses.done for hypotheses in every):
        chances = next_token(ids).float().log_softmax(-1)
        chances = bans(ids, chances)
        words = chances.shape[1]
        # each beam ends in at most one way: twice as many candidates leave enough that go on
        best = (totals.view(-1, 1) + chances).view(len(prompt), -1).topk(2 * num_beams)
        texts, ranked = ids.view(len(prompt), num_beams, -1).tolist(), []
        for hypotheses, beams, scores, places in zip(
            every, texts, best.values.tolist(), best.indices.tolist(), strict=True
        ):
            candidates = [
                (score, place // words, place % words)
                for score, place in zip(scores, places, strict=True)
            ]
            ranked.append(hypotheses.advance(beams, candidates, end, pad))
        totals = torch.tensor([[score for score, _ in row] for row in ranked], device=ids.device)
        ids = torch.tensor([text for row in ranked for _, text in row], device=ids.device)
    for hypotheses, beams, scores in zip(
        every, ids.view(len(prompt), num_beams, -1).tolist(), totals.tolist(), strict=True
    ):
        if not hypotheses.done:
            for text, score in zip(beams, scores, strict=True):
                hypotheses.add(text, score)
    return _padded([hypotheses.best() for hypotheses in every], max_length, end, pad).to(ids.device)


class _Hypotheses:
    """The best finished texts of one example.

    Args:
        size: texts that are kept.
        length_penalty: the power of the length by which a score is divided.
    """

    def __init__(self, size: int, length_penalty: float) -> None:
        self.size = size
        self.length_penalty = length_penalty
        self.done = False
        self._kept: list[tuple[float, list[int]]] = []

    def add(self, text: list[int], total: float) -> None:
        """Keep a finished text, unless there are enough better ones."""
        score = total / len(text) ** self.length_penalty
        if len(self._kept) == self.size:
            worst = min(self._kept, key=lambda kept: kept[0])
            if score <= worst[0]:
                return
            self._kept.remove(worst)
        self._kept.append((score, text))

    def advance(
        self,
        beams: list[list[int]],
        candidates: Iterable[tuple[float, int, int]],
        end: int,
        pad: int,
    ) -> list[tuple[float, list[int]]]:
        """Return (score, text) of each beam after one more token, and keep what ended.

        Args:
            beams: the texts so far.
            candidates: (score, beam, token), from the best one on.
            end: the token that ends a text; it counts among the first ``size`` candidates only.
            pad: the token that is added once the example is done.
        """
        if self.done:
            return [(0.0, [*text, pad]) for text in beams]
        going: list[tuple[float, list[int]]] = []
        ranked = list(candidates)
        for rank, (score, beam, token) in enumerate(ranked):
            if len(going) == self.size:
                break
            if token != end:
                going.append((score, [*beams[beam], token]))
            elif rank < self.size:
                self.add(beams[beam], score)
        if len(self._kept) == self.size:
            reachable = ranked[0][0] / len(beams[0]) ** self.length_penalty
            self.done = min(score for score, _ in self._kept) >= reachable
        return going

    def best(self) -> list[int]:
        """Return the best text; of equal ones, the one that ended last."""
        return max(reversed(self._kept), key=lambda kept: kept[0])[1]


def _padded(
    texts: list[list[int]], max_length: int, end: int, pad: int
) -> Int[Tensor, "batch length"]:
    """Return texts with an end where it fits, and padding behind."""
    ended = [[*text, end][:max_length] for text in texts]
    length = max(map(len, ended))
    return torch.tensor([text + [pad] * (length - len(text)) for text in ended])
