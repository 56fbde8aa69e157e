"""Answers of language models to questions about videos, and what they say without the video."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.errors import ConfigError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.evaluators.predictors.choice import beside_video, padded_scores
from mmvt.evaluators.predictors.running import (
    Entry,
    batches_of,
    check_batch_size,
    check_outputs,
    entries_of,
    outputs_of,
    results_of_all,
)
from mmvt.losses.classification import IGNORED
from mmvt.models.decoding import Decoding
from mmvt.models.generation import write
from mmvt.models.model import MultimodalModel
from mmvt.processors.aligners.question import OptionAligner
from mmvt.processors.base import Aligner, Example, TextClips, TextProcessor
from mmvt.processors.labels import QuestionClips, labelled
from mmvt.processors.text.tokenizer import text_ends
from mmvt.processors.text_experts import TextExperts


class AnswerPredictor(Predictor):
    """What a language model writes in answer to each question.

    Source: VPT (arXiv 2304.10505) §4, question answering.

    Args:
        batch_size: questions that the model sees at once; it changes no answer.
        num_beams: texts that are followed at once; 1 = the likeliest token each time.
        max_decode_length: longest answer, in tokens, its end included.
        length_penalty: of several beams, an answer counts the sum of its log-probabilities by its
            length to this power.
        baselines: ask again without the video, and once more without video and question.
    """

    def __init__(
        self,
        *,
        batch_size: int = 16,
        num_beams: int = 1,
        max_decode_length: int = 16,
        length_penalty: float = 1.0,
        baselines: bool = True,
    ) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.decoding = Decoding(
            num_beams=num_beams, max_decode_length=max_decode_length, length_penalty=length_penalty
        )
        self.baselines = baselines

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        tokenizer, entries = tokenizer_of(dataset), entries_of(dataset)
        clips = [labelled(dataset.text_processor(e.text_id), QuestionClips) for e in entries]
        right = [_right(own) for own in clips]
        found = {
            "ids": np.array([entry.name for entry in entries]),
            "groups": np.array([own.groups for own in clips]),
            "answers": np.array([text for text, _ in right]),
            "read_back": np.array(_read(tokenizer, [tokens for _, tokens in right])),
        }
        if all(own.known is not None for own in clips):
            found["known"] = np.array([int(bool(own.known)) for own in clips])
            found["guesses"] = np.array([own.guess or "" for own in clips])
        model.eval()
        for way in ways_of(dataset, self.baselines):
            written = self._written(model, way, entries, tokenizer)
            found["scored_ids"] = np.array(list(written), np.str_)
            said = _read(tokenizer, list(written.values()))
            found[f"{way.prefix}said"] = np.array(said, np.str_)
        return found

    def _written(
        self, model: MultimodalModel, way: Way, entries: list[Entry], tokenizer: Any
    ) -> dict[str, list[int]]:
        """Return the tokens of each answer."""
        ends = text_ends(tokenizer)
        written: dict[str, list[int]] = {}
        device = next(model.parameters()).device
        for batch in batches_of(way.dataset, entries, self.batch_size):
            made = way.seen(collate([example for _, example in batch]))
            tensors = {key: v.to(device) for key, v in made.items() if isinstance(v, Tensor)}
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                ids = write(model, tensors, self.decoding, end=ends.end, pad=ends.pad).tolist()
            written |= {entry.name: own for (entry, _), own in zip(batch, ids, strict=True)}
        return results_of_all(written, entries)


class OptionPredictor(Predictor):
    """How likely a language model finds each answer to a question.

    A score is the log-probability of the answer with its end; of an aligner that asks whether an
    answer is right, the log-odds of yes against no.

    Source: VPT (arXiv 2304.10505) §4; by likelihood, FrozenBiLM (arXiv 2206.08155) §3.3.

    Args:
        batch_size: questions that the model sees at once, with all their answers.
        by_length: divide by the number of tokens, so that long answers are not unlikely for that.
        baselines: ask again without the video, and once more without video and question.
    """

    def __init__(
        self, *, batch_size: int = 16, by_length: bool = True, baselines: bool = True
    ) -> None:
        self.batch_size = check_batch_size(batch_size)
        self.by_length = by_length
        self.baselines = baselines

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        check_outputs(self, model, ("logits",))
        if not isinstance(dataset.aligner, OptionAligner):
            raise ConfigError(
                f"OptionPredictor needs an aligner of questions, such as QuestionAligner, not "
                f"{type(dataset.aligner).__name__}"
            )
        entries = entries_of(dataset)
        clips = [labelled(dataset.text_processor(e.text_id), QuestionClips) for e in entries]
        found = {
            "ids": np.array([entry.name for entry in entries]),
            "groups": np.array([own.groups for own in clips]),
            "answers": np.array([own.answer for own in clips]),
        }
        asked = copy.copy(dataset)
        asked.aligner = _Options(aligner=dataset.aligner)
        model.eval()
        for way in ways_of(asked, self.baselines):
            scored = self._scored(model, way, entries)
            found["scored_ids"] = np.array(list(scored), np.str_)
            found[f"{way.prefix}scores"] = padded_scores(list(scored.values()))
        return found

    def _scored(
        self, model: MultimodalModel, way: Way, entries: list[Entry]
    ) -> dict[str, np.ndarray]:
        """Return the score of each answer to each question."""
        scored: dict[str, np.ndarray] = {}
        for batch in batches_of(way.dataset, entries, self.batch_size):
            examples = [example for _, example in batch]
            scores = self._scores(model, way, examples)
            each = scores.split([len(example["caps"]) for example in examples])
            scored |= {entry.name: own.numpy() for (entry, _), own in zip(batch, each, strict=True)}
        return results_of_all(scored, entries)

    def _scores(
        self, model: MultimodalModel, way: Way, examples: list[Example]
    ) -> Float[Tensor, " answers"]:
        labels = torch.cat([example["text_label"] for example in examples])
        rows = way.seen({**beside_video(examples), "text_label": labels})
        told = outputs_of(model, rows)["logits"].log_softmax(dim=-1)
        labels = labels.to(told.device)
        if "against" in examples[0]:
            against = torch.cat([example["against"] for example in examples]).to(told.device)
            return (told.gather(1, labels) - told.gather(1, against))[:, 0].cpu()
        real = labels != IGNORED
        each = told.gather(1, labels[real][:, None])[:, 0].cpu().split(real.sum(dim=1).tolist())
        return torch.stack([own.mean() if self.by_length else own.sum() for own in each])


@dataclass(frozen=True)
class Way:
    """A way of asking all questions.

    Attributes:
        prefix: what the names of its arrays begin with.
        dataset: the questions.
        shows_video: otherwise no step of it is seen.
    """

    prefix: str
    dataset: MultimodalDataset
    shows_video: bool = True

    def seen(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the model may see of a batch."""
        if self.shows_video:
            return dict(batch)
        hidden = {key: torch.zeros_like(batch[key]) for key in ("vfeats", "vmasks")}
        return {**batch, **hidden}


def ways_of(dataset: MultimodalDataset, baselines: bool) -> Iterator[Way]:
    """Yield the ways of asking: as it should be, and without what answers should depend on."""
    yield Way("", dataset)
    if baselines:
        unseen = copy.copy(dataset)
        unseen.text_experts = TextExperts({})  # their words come from the video
        yield Way("question_only_", unseen, shows_video=False)
        silent = copy.copy(unseen)
        end = text_ends(tokenizer_of(dataset)).end
        silent.text_processor = _Silent(dataset.text_processor, end)
        yield Way("answer_only_", silent, shows_video=False)


@runtime_checkable
class _HasTokenizer(Protocol):
    """A text processor whose tokens can be read."""

    tokenizer: Any


def tokenizer_of(dataset: MultimodalDataset) -> Any:
    """Return the tokenizer of a dataset.

    Raises:
        ConfigError: it has none.
    """
    processor = dataset.text_processor
    if not isinstance(processor, _HasTokenizer):
        raise ConfigError(
            f"{type(processor).__name__} has no tokenizer, so that answers cannot be read"
        )
    return processor.tokenizer


class _Silent(TextProcessor):
    """Asks nothing: the end of a text stands for the question, so that there is something."""

    def __init__(self, texts: TextProcessor, end: int) -> None:
        self.texts, self.end = texts, end

    @override
    def __call__(self, text_id: Any) -> TextClips:
        clips = labelled(self.texts(text_id), QuestionClips)
        return replace(clips, question=[self.end], context=[])


class _Options(Aligner):
    """Each answer of a question, instead of the right one alone.

    Args:
        aligner: asks.
    """

    def __init__(self, *, aligner: OptionAligner) -> None:
        self.aligner = aligner

    @override
    def __call__(
        self,
        video_id: str,
        video_features: np.ndarray,
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        return self.aligner.options(video_features, clips)


def _right(clips: QuestionClips) -> tuple[str, list[int]]:
    """Return the right answer, as text and as tokens.

    Raises:
        ConfigError: it is not known as text.
    """
    if clips.texts is None:
        raise ConfigError("the text processor knows no texts of answers to compare with")
    return clips.texts[clips.answer], clips.cap[clips.answer]


def _read(tokenizer: Any, tokens: list[list[int]]) -> list[str]:
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in texts]
