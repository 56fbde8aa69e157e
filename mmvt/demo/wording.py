"""The captions of the procedural corpus, and a tokenizer that knows their words."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmvt.demo.scene import Scene

# of every list the first is the plain word, which the captions of held-out clips use
_COLOUR_WORDS: Mapping[str, tuple[str, ...]] = {
    "red": ("red", "crimson"),
    "orange": ("orange", "amber"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "white": ("white", "snowy"),
    "black": ("black", "inky"),
}
_SHAPE_WORDS: Mapping[str, tuple[str, ...]] = {
    "circle": ("circle", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle", "wedge"),
    "star": ("star", "pentagram"),
    "cross": ("cross", "plus sign"),
    "ring": ("ring", "hoop"),
}
_MOTION_WORDS: Mapping[str, tuple[str, ...]] = {
    "left": ("moves left", "slides to the left", "drifts leftward"),
    "right": ("moves right", "slides to the right", "drifts rightward"),
    "up": ("moves up", "rises upward", "climbs"),
    "down": ("moves down", "sinks downward", "falls"),
    "grows": ("grows", "gets bigger", "expands"),
    "shrinks": ("shrinks", "gets smaller", "contracts"),
    "circles": ("moves in circles", "goes round and round", "orbits"),
    "stays": ("stays still", "does not move", "rests"),
}
_PLACE_WORDS: Mapping[str, tuple[str, ...]] = {
    "top": ("along the top", "near the upper edge"),
    "bottom": ("along the bottom", "near the lower edge"),
    "left": ("on the left side", "in the left part"),
    "right": ("on the right side", "in the right part"),
    "middle": ("in the middle", "in the centre"),
}
_HALVES: Mapping[str, tuple[str, str]] = {
    "left": ("starts at the right", "arrives at the left"),
    "right": ("starts at the left", "arrives at the right"),
    "up": ("starts at the bottom", "arrives at the top"),
    "down": ("starts at the top", "arrives at the bottom"),
    "grows": ("is small at first", "is large at the end"),
    "shrinks": ("is large at first", "is small at the end"),
    "circles": ("begins to go round", "keeps going round"),
    "stays": ("is not moving", "has not moved"),
}
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class TimedCaption:
    """A caption and the part of its clip that it tells of.

    Attributes:
        text: the caption.
        start: share of the clip at which it starts.
        end: share of the clip at which it ends.
    """

    text: str
    start: float
    end: float


def plain_caption(scene: Scene) -> TimedCaption:
    """Return the caption of a whole clip in plain words."""
    thing = f"{scene.colour} {scene.shape}"
    motion, place = _MOTION_WORDS[scene.motion][0], _PLACE_WORDS[scene.place][0]
    return TimedCaption(f"{_a(thing)} {motion} {place}", 0.0, 1.0)


def captions_of(scene: Scene, rng: np.random.Generator) -> list[TimedCaption]:
    """Return the captions of a clip for training: the whole twice, then each half.

    Args:
        scene: what the clip shows.
        rng: chooses among words that mean the same.
    """

    def one(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    def thing() -> str:
        return f"{one(_COLOUR_WORDS[scene.colour])} {one(_SHAPE_WORDS[scene.shape])}"

    motion, place = one(_MOTION_WORDS[scene.motion]), one(_PLACE_WORDS[scene.place])
    whole = one((f"the {thing()} {motion} {place}", f"{place} {_a(thing())} {motion}"))
    first, second = _HALVES[scene.motion]
    return [
        plain_caption(scene),
        TimedCaption(whole, 0.0, 1.0),
        TimedCaption(f"the {thing()} {first}", 0.0, 0.5),
        TimedCaption(f"the {thing()} {second}", 0.5, 1.0),
    ]


def attribute_words() -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the words that name each colour, shape and motion, by attribute and its value."""
    motions = {name: (*words, *_HALVES[name]) for name, words in _MOTION_WORDS.items()}
    return {"colour": dict(_COLOUR_WORDS), "shape": dict(_SHAPE_WORDS), "motion": motions}


def _a(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def vocabulary() -> list[str]:
    """Return the tokens of the corpus in the order of their ids: special ones, words, letters.

    With single letters and their continuations, any lower-case word has tokens.
    """
    words = {word for text in _all_texts() for word in text.split()}
    letters = set(string.ascii_lowercase + string.digits + ".,!?'-")
    tails = {f"##{letter}" for letter in string.ascii_lowercase + string.digits}
    return [*SPECIAL_TOKENS, *sorted(words), *sorted(letters - words), *sorted(tails)]


def _all_texts() -> Iterator[str]:
    yield "a an the"
    for table in (_COLOUR_WORDS, _SHAPE_WORDS, _MOTION_WORDS, _PLACE_WORDS, _HALVES):
        for words in table.values():
            yield from words


def tokenizer_files() -> dict[str, str]:
    """Return the files of a folder with a WordPiece tokenizer and the shape of a small BERT."""
    tokens = vocabulary()
    tokenizer: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 128,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    bert: dict[str, Any] = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(tokens),
        "hidden_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 768,
        "max_position_embeddings": 128,
        "type_vocab_size": 2,
        "pad_token_id": 0,
    }
    return {
        "vocab.txt": "\n".join(tokens) + "\n",
        "tokenizer_config.json": json.dumps(tokenizer, indent=2) + "\n",
        "config.json": json.dumps(bert, indent=2) + "\n",
    }
