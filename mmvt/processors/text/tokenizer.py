"""Tokenizers by name or folder, found without network and without running foreign code."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mmvt.errors import ConfigError, MissingWeightsError
from mmvt.features.weights import pretrained_place


class TextEnds(NamedTuple):
    """Ids of what ends a text that is written, and of what stands behind it."""

    end: int
    pad: int


class SpecialIds(NamedTuple):
    """Ids of the special tokens of a BERT-like vocabulary."""

    cls: int
    sep: int
    pad: int
    mask: int


@lru_cache(maxsize=8)
def load_tokenizer(bert_name: str) -> PreTrainedTokenizerBase:
    """Return a tokenizer; the same object for the same name.

    It is looked for in ``pretrained_models/<bert_name>``, then among the installed weights
    (``minilm``, ``smollm2``), then at the path ``bert_name``, then in the local Hugging Face cache.
    Nothing is downloaded and no code beside it is run.

    Raises:
        MissingPackageError: it is in a GGUF file, and a package that reads it is not installed.
        MissingWeightsError: none of these places holds it; the message says what to put where.
    """
    absent = (
        f"no tokenizer {bert_name!r}: put its config.json, tokenizer_config.json and vocab.txt or "
        f"tokenizer.json into pretrained_models/{bert_name}, or give a folder that holds them"
    )
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            **pretrained_place(bert_name), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise MissingWeightsError(f"{absent} ({str(error).strip().splitlines()[0]})") from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        # transformers makes an empty vocabulary of a folder without one
        raise MissingWeightsError(f"{absent} (its vocabulary is empty)")
    return tokenizer


def tokenised(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Return the token ids of each text, without special tokens."""
    if not texts:
        return []
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def special_ids(tokenizer: PreTrainedTokenizerBase) -> SpecialIds:
    """Return the ids of [CLS], [SEP], [PAD] and [MASK].

    Raises:
        ConfigError: the tokenizer lacks one of them, as those of decoder-only models do.
    """
    ids = {
        "[CLS]": tokenizer.cls_token_id,
        "[SEP]": tokenizer.sep_token_id,
        "[PAD]": tokenizer.pad_token_id,
        "[MASK]": tokenizer.mask_token_id,
    }
    missing = [token for token, index in ids.items() if index is None]
    if missing:
        raise ConfigError(
            f"the tokenizer {tokenizer.name_or_path!r} has no {', '.join(missing)}; "
            "bert_name must name one of a BERT-like model"
        )
    return SpecialIds(*ids.values())


def text_ends(tokenizer: PreTrainedTokenizerBase) -> TextEnds:
    """Return what ends a text in a vocabulary of any kind.

    The end is the end-of-sequence token, else [SEP]; the padding is that of the tokenizer, else the
    end.

    Raises:
        ConfigError: the tokenizer has neither.
    """
    ends = tokenizer.eos_token_id, tokenizer.sep_token_id
    end = next((token for token in ends if token is not None), None)
    if end is None:
        raise ConfigError(f"the tokenizer {tokenizer.name_or_path!r} has no token to end a text")
    return TextEnds(end, end if tokenizer.pad_token_id is None else tokenizer.pad_token_id)
