"""The text side of S3D: words of a fixed dictionary, embedded and pooled."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from typing_extensions import override

from mmvt.errors import CheckpointError

WORDS = 66250  # 0 is padding
MAX_WORDS = 16
_WORD = re.compile(r"[\w']+")


class TextModule(nn.Module):
    """Bag of words: embedding, a linear layer with ReLU, maximum over the words, a linear layer.

    Args:
        outputs: width of the embedding, shared with video.

    Source: arXiv 1912.06430, section 3.2 and appendix.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.word_embd = nn.Embedding(WORDS, 300)
        self.fc1 = nn.Linear(300, 2048)
        self.fc2 = nn.Linear(2048, outputs)

    @override
    def forward(self, ids: Int[Tensor, "texts words"]) -> Float[Tensor, "texts dim"]:
        """Return the embedding of each text; padding takes part in the maximum, as in training."""
        words = torch.relu(self.fc1(self.word_embd(ids)))
        return self.fc2(words.amax(dim=1))


class S3DTextEncoder:
    """Embeds texts beside the ``video_embedding`` of S3D: their dot product is a score.

    Args:
        module: with its weights.
        words: the dictionary, in the order of its rows; row 0 is padding.

    Raises:
        CheckpointError: there are more words than rows.
    """

    def __init__(self, module: TextModule, words: Sequence[str]) -> None:
        if len(words) >= WORDS:
            raise CheckpointError(f"S3D embeds {WORDS - 1} words, but its dictionary has more")
        self.module = module.eval()
        self._number = {word: row for row, word in enumerate(words, start=1)}

    def token_ids(self, texts: Sequence[str]) -> Int[Tensor, "texts 16"]:
        """Return rows of the embedding: the first 16 known words of each text, 0 behind them."""
        ids = torch.zeros(len(texts), MAX_WORDS, dtype=torch.int64)
        for row, text in zip(ids, texts, strict=True):
            known = [self._number[w] for w in _WORD.findall(text.lower()) if w in self._number]
            row[: len(known)] = torch.tensor(known[:MAX_WORDS], dtype=torch.int64)
        return ids

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> Float[Tensor, "texts dim"]:
        """Return the embedding of each text."""
        return self.module(self.token_ids(texts).to(self.module.fc1.weight.device))


def read_dictionary(path: Path) -> list[str]:
    """Return the words of ``s3d_dict.npy``, without running anything in it.

    Raises:
        CheckpointError: the file is damaged or unsafe, or no list of words.
    """
    try:
        with path.open("rb") as file:
            shape, _, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
            content = file.read()
        if dtype.hasobject:
            words = _ObjectArray.read(content)
        else:
            words = np.frombuffer(content, dtype).reshape(shape).tolist()
    except _Unsafe as error:
        raise CheckpointError(f"{path}: unsafe dictionary, not read: {error}") from error
    except Exception as error:  # a damaged file makes the readers fail in any way
        raise CheckpointError(f"{path}: damaged dictionary: {error}") from error
    if len(shape) != 1 or len(words) != shape[0] or not all(type(w) is str for w in words):
        raise CheckpointError(f"{path}: is no list of words")
    return words


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Unsafe(pickle.UnpicklingError):
    """A pickle asks for more than an array of text."""


class _ObjectArray(pickle.Unpickler):
    """Reads the pickle of an array of objects; its parts are stand-ins that only keep values."""

    @classmethod
    def read(cls, content: bytes) -> list[Any]:
        """Return the objects; they are plain, since nothing else can be made."""
        array = cls(io.BytesIO(content)).load()
        if not isinstance(array, _Kept):
            raise _Unsafe("it holds no array")
        return list(array.state[-1])

    @override
    def find_class(self, module: str, name: str) -> Any:
        package = module.removesuffix(".multiarray")
        if (package, name) in _STAND_INS:
            return _Kept
        raise _Unsafe(f"it asks for {module}.{name}")

    @override
    def persistent_load(self, pid: Any) -> NoReturn:
        raise _Unsafe("it asks for an object from outside")


_STAND_INS = {
    ("numpy.core", "_reconstruct"),
    ("numpy._core", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # bytes, in an old pickle
}


class _Kept:
    """Stands for an array or its type: takes any arguments, keeps its state."""

    def __init__(self, *arguments: Any) -> None:
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state
