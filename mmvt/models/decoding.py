"""How text is searched for, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmvt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How text is searched for.

    Lengths count the tokens of the prompt, too.

    Attributes:
        num_beams: texts that are followed at once; 1 = greedily, the likeliest token each time.
        max_decode_length: longest text, in tokens.
        min_length: shortest text, in tokens; no end is allowed before.
        length_penalty: a text counts the sum of its log-probabilities by its length to this power.
        no_repeat_ngram_size: sequences of so many tokens occur once; 0 = as often as they like.
        rule: ``transformers`` counts the length of a text as transformers does (without prompt,
            with end); ``original`` counts and stops like the code of VLM (with prompt, without
            end), to reproduce its captions.
    """

    num_beams: int = 5
    max_decode_length: int = 24
    min_length: int = 0
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    rule: Literal["transformers", "original"] = "transformers"

    def __post_init__(self) -> None:
        for name, least in (
            ("num_beams", 1),
            ("max_decode_length", 1),
            ("min_length", 0),
            ("no_repeat_ngram_size", 0),
        ):
            value: int = vars(self)[name]
            if value < least:
                raise ConfigError(f"{name} is {value}, but must be at least {least}")
