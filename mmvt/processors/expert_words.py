"""Which words of text experts, such as speech or text in the picture, a prompt takes.

A label stands before those of each expert; see :class:`~mmvt.processors.prompts.PromptLayout`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from mmvt.errors import ConfigError, DataError, did_you_mean
from mmvt.processors.transcript import Word

Rule = Literal["first", "middle", "refuse"]


@dataclass(frozen=True, kw_only=True)
class TextExpert:
    """Where the words of an expert are, and how many of them a prompt takes.

    Attributes:
        name: its name.
        path: a file of lines (:func:`mmvt.processors.text_experts.read_expert_lines`), or a folder
            of transcripts.
        label: what stands before its words.
        max_tokens: most tokens of it in a prompt, those of the label included.
        rule: which words stay where not all fit: the ``first`` of a clip, or those nearest to its
            ``middle``, of equally near ones the first; or ``refuse``.
    """

    name: str
    path: Path
    label: str
    max_tokens: int = 32
    rule: Rule = "first"


class Fitted(NamedTuple):
    """The tokens of an expert in a prompt, and of how many words they are."""

    tokens: list[int]
    kept: int
    words: int


class ExpertWords(NamedTuple):
    """What an expert says of a video.

    Attributes:
        expert: the expert.
        words: in time order, in seconds; those without times last from 0 to infinity.
        seconds: returns the start and the end of steps of the video's features.
    """

    expert: TextExpert
    words: Sequence[Word]
    seconds: Callable[[slice], tuple[float, float]]

    def fitted(self, steps: slice, tokens: Callable[[str], list[int]]) -> Fitted:
        """Return what is said within a clip, as far as there is room for it.

        Args:
            steps: the clip.
            tokens: returns the tokens of a text.

        Raises:
            DataError: there is no room for all, and the rule is to refuse, or not even the label
                fits.
        """
        expert, clip = self.expert, self._clip(steps)
        words = [word for word in self.words if _is_within(word, clip)]
        nearest = list(range(len(words)))
        if expert.rule == "middle":
            nearest.sort(key=lambda place: abs(_middle(words[place], clip) - sum(clip) / 2))

        def tokens_of(count: int) -> list[int]:
            said = " ".join(words[place].text for place in sorted(nearest[:count])).rstrip(",")
            return tokens(f"{expert.label} {said}".strip())

        kept = len(words)
        if kept and len(tokens_of(kept)) > expert.max_tokens:
            sizes = range(kept)
            kept = bisect_right(sizes, expert.max_tokens, key=lambda n: len(tokens_of(n))) - 1
            if kept < 0 or expert.rule == "refuse":
                raise DataError(
                    f"text expert {expert.name} says {len(words)} words, which are "
                    f"{len(tokens_of(len(words)))} tokens with {expert.label!r}, but max_tokens is "
                    f"{expert.max_tokens}"
                )
        return Fitted(tokens_of(kept) if kept else [], kept, len(words))

    def _clip(self, steps: slice) -> tuple[float, float]:
        """Return start and end of a clip, which ends behind the last word at the latest."""
        start, end = self.seconds(steps)
        last = max((word.end for word in self.words if word.end < math.inf), default=0.0)
        return start, min(end, max(start, last) + 1)


def text_experts(described: Mapping[str, Any]) -> list[TextExpert]:
    """Return text experts as a YAML describes them.

    Raises:
        ConfigError: with every problem of every expert.
    """
    problems = [p for name, own in described.items() for p in _problems_of(name, own)]
    if problems:
        raise ConfigError(problems)
    return [
        TextExpert(**{"label": f"{name}:"} | own | {"name": name, "path": Path(own["path"])})
        for name, own in described.items()
    ]


def _problems_of(name: str, described: Any) -> Iterator[str]:
    place = f"text_experts.{name}"
    if not isinstance(described, Mapping):
        yield f"{place} must hold path and the like, not {described!r}"
        return
    known = [item.name for item in fields(TextExpert) if item.name != "name"]
    for key in described:
        if key not in known:
            yield f"{place}.{key} is no field of a text expert{did_you_mean(key, known)}"
    if not isinstance(described.get("path"), str | Path):
        yield f"{place}.path must be a .jsonl file or a folder of transcripts"
    if not isinstance(described.get("label", ""), str):
        yield f"{place}.label must be text, not {described['label']!r}"
    tokens, rule = described.get("max_tokens", 1), described.get("rule", "first")
    if type(tokens) is not int or tokens < 1:
        yield f"{place}.max_tokens must be a whole number of at least 1, not {tokens!r}"
    if rule not in get_args(Rule):
        yield f"{place}.rule must be {' or '.join(get_args(Rule))}, not {rule!r}"


def _is_within(word: Word, clip: tuple[float, float]) -> bool:
    return word.start < clip[1] and (word.end > clip[0] or word.start == word.end == clip[0])


def _middle(word: Word, clip: tuple[float, float]) -> float:
    return (max(word.start, clip[0]) + min(word.end, clip[1])) / 2
