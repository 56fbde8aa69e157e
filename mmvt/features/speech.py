"""Speech recognition: sound in, words with their times out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float32
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError, require_package
from mmvt.features.weights import find_pretrained
from mmvt.files import sha256_file
from mmvt.processors.annotations import clean
from mmvt.processors.transcript import Transcript, Word

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment

logger = logging.getLogger(__name__)

BUNDLED = "whisper-tiny.en"
_WEIGHTS = "model.bin"
_FILES = (_WEIGHTS, "config.json", "tokenizer.json")


class SpeechRecogniser(ABC):
    """A frozen model that writes down what is said.

    Attributes:
        sample_rate: samples a second of the sound it takes.
    """

    sample_rate: int = 16000

    @property
    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights: what makes two transcripts comparable."""

    @abstractmethod
    def __call__(self, samples: Float32[np.ndarray, " samples"]) -> Transcript:
        """Return the words in mono sound from -1 to 1, with times from its first sample."""


class FasterWhisper(SpeechRecogniser):
    """Whisper, run by faster-whisper, with the times of words.

    Decoding has no chance in it. Stretches without speech are left out first, as Whisper makes up
    words for music and silence; what then repeats itself more than speech does is left out too,
    and counted.

    Args:
        model: folder, folder in ``pretrained_models/``, name on the hub (from the cache), or
            ``whisper-tiny.en``, which ``python -m mmvt_cli.setup transcribe`` installs.
        language: code such as ``en``; null is what the model hears in the first half minute.
        beam_size: hypotheses that are kept.
        vad: leave out stretches without speech.
        max_repetition: how many times its compressed size a text may be; null is no limit.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.
        threads: CPU threads of the model.

    Raises:
        MissingPackageError: faster-whisper is not installed.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: its files are damaged.
        ConfigError: a number is out of range, or the model does not know the language.

    Source: Whisper (arXiv 2212.04356), §4.5, whose limit of repetition is 2.4.
    """

    def __init__(
        self,
        *,
        model: str = BUNDLED,
        language: str | None = None,
        beam_size: int = 5,
        vad: bool = True,
        max_repetition: float | None = 2.4,
        dtype: Literal["int8", "float32", "float16", "int8_float16"] = "int8",
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        for name, value in (("beam_size", beam_size), ("threads", threads)):
            if value < 1:
                raise ConfigError(f"{name} must be at least 1, not {value}")
        if max_repetition is not None and not max_repetition > 0:
            raise ConfigError(f"max_repetition must be positive, not {max_repetition}")
        require_package("faster_whisper", "transcribe")
        folder = _folder_of(model)
        self.model_name = model
        self.network = _loaded(folder, device, dtype, threads)
        known = self.network.supported_languages
        if language is not None and language not in known:
            some = "English alone" if len(known) == 1 else ", ".join(sorted(known))
            raise ConfigError(f"{model} does not know the language {language!r}; it knows {some}")
        self.language = language
        self.beam_size = beam_size
        self.vad = vad
        self.max_repetition = max_repetition
        self._dtype_name = dtype
        self._sha256 = sha256_file(folder / _WEIGHTS)

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights."""
        return {
            "name": type(self).__name__,
            "model": self.model_name,
            "language": self.language,
            "beam_size": self.beam_size,
            "vad": self.vad,
            "max_repetition": self.max_repetition,
            "dtype": self._dtype_name,
            "weights_sha256": self._sha256,
        }

    @override
    def __call__(self, samples: Float32[np.ndarray, " samples"]) -> Transcript:
        if not len(samples):
            return Transcript()
        found, about = self.network.transcribe(
            samples,
            language=self.language,
            beam_size=self.beam_size,
            # other temperatures draw words by chance
            temperature=0.0,
            # one stretch that repeats itself would make the next ones do so
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=self.vad,
        )
        segments = list(found)
        kept = [segment for segment in segments if not self._is_repetitive(segment)]
        end = len(samples) / self.sample_rate
        words = [_word(word, end) for segment in kept for word in segment.words or ()]
        said = tuple(word for word in words if word.text)
        return Transcript(said, about.language if said else None, len(segments) - len(kept))

    def _is_repetitive(self, segment: Segment) -> bool:
        limit = self.max_repetition
        return limit is not None and segment.compression_ratio > limit


def _word(word: Any, end: float) -> Word:
    """Return a word of faster-whisper, in numbers of Python, within the sound."""
    start = min(max(0.0, round(float(word.start), 3)), end)
    stop = min(max(start, round(float(word.end), 3)), end)
    return Word(clean(word.word), start, stop, round(float(word.probability), 4))


def _folder_of(model: str) -> Path:
    """Return the folder of a model of CTranslate2."""
    from faster_whisper import download_model

    folder = Path(find_pretrained(model))
    if not folder.is_dir():
        try:
            folder = Path(download_model(model, local_files_only=True))
        except (OSError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise _missing(model, f"there is no such folder or name ({first})") from error
    if absent := [name for name in _FILES if not (folder / name).is_file()]:
        raise _missing(model, f"{folder} has no {', '.join(absent)}")
    return folder


def _loaded(folder: Path, device: str, dtype: str, threads: int) -> WhisperModel:
    from faster_whisper import WhisperModel

    try:
        return WhisperModel(
            str(folder),
            device=device,
            compute_type=dtype,
            cpu_threads=threads,
            local_files_only=True,
        )
    except ValueError as error:  # of the device or the number format
        raise ConfigError(f"{folder} cannot run so: {error}") from error
    except RuntimeError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _missing(model: str, reason: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"the speech model {model!r} is not here: {reason}. Put model.bin, config.json, "
        f"tokenizer.json and the vocabulary of a Whisper in CTranslate2's form, such as "
        f"Systran/faster-whisper-small on the hub, into pretrained_models/{model}/, or take "
        f"{BUNDLED}"
    )
