"""Captions that a model writes of a split, beside those that people wrote."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.distributed import in_turn, of_all
from mmvt.errors import ConfigError, DataError
from mmvt.evaluators.base import Predictions, Predictor
from mmvt.models.decoding import Decoding
from mmvt.models.generation import generate, write
from mmvt.models.model import MultimodalModel
from mmvt.models.writing import WritingTrunk
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Aligner, TextClips
from mmvt.processors.text.tokenizer import SpecialIds, special_ids, text_ends
from mmvt.processors.video.clips import clip_id

PROMPT_LENGTH = 3  # [CLS], the video's [SEP], and [CLS] to begin a text with


class CaptionPredictor(Predictor):
    """One caption a clip, with all that people say of it as references.

    A clip is a video, or a part of it where its captions have times. Its id is that of the video,
    with the seconds (``id@3-12.5``) where a video has several. A clip without features has no
    caption. References are as people wrote them, or, where a data set holds no texts, its tokens as
    text; none of them is cut.

    Where a model reads the first part of a caption and goes on (``objective: prefix``), each
    caption is a clip (``id#0``, ``id@3-12.5#1``), and the rest of its tokens is the reference.

    Args:
        batch_size: clips that the model sees at once; it changes no caption.
        num_beams: texts that are followed at once; 1 = the likeliest token each time.
        max_decode_length: longest caption, in tokens, the three of the prompt included; it is cut
            to what the layout has room for.
        min_length: shortest caption, in tokens, the three of the prompt included.
        length_penalty: a caption counts the sum of its log-probabilities by its length to this
            power.
        no_repeat_ngram_size: sequences of so many tokens occur once; 0 = as often as they like.
        rule: what the length is: that of ``transformers`` (no prompt, but the end), or that of the
            ``original`` (the prompt, but no end), to reproduce its captions.
    """

    def __init__(
        self,
        *,
        batch_size: int = 16,
        num_beams: int = 5,
        max_decode_length: int = 24,
        min_length: int = 0,
        length_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
        rule: Literal["transformers", "original"] = "transformers",
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}, but must be at least 1")
        self.batch_size = batch_size
        self.decoding = Decoding(
            num_beams=num_beams,
            max_decode_length=max_decode_length,
            min_length=min_length,
            length_penalty=length_penalty,
            no_repeat_ngram_size=no_repeat_ngram_size,
            rule=rule,
        )

    @override
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        processor = dataset.text_processor
        if not isinstance(processor, _HasTokenizer):
            raise ConfigError(
                f"{type(processor).__name__} has no tokenizer, so that captions cannot be read"
            )
        tokenizer = processor.tokenizer
        clips = _clips_of(dataset, tokenizer)
        written = self._written(model, dataset, clips, tokenizer)
        references = [(clip.name, text) for clip in clips for text in clip.references]
        as_written = all(clip.as_written for clip in clips)
        return {
            "ids": np.array([clip.name for clip in clips]),
            "scored_ids": np.array(list(written), np.str_),
            "hypotheses": np.array(_texts(tokenizer, list(written.values())), np.str_),
            "reference_ids": np.array([name for name, _ in references]),
            "references": np.array([text for _, text in references]),
            "reference_source": np.array("texts" if as_written else "tokens"),
        }

    def _written(
        self,
        model: MultimodalModel,
        dataset: MultimodalDataset,
        clips: list[_Clip],
        tokenizer: Any,
    ) -> dict[str, list[int]]:
        """Return the tokens written of each clip that has features, without the prompt."""
        device = next(itertools.chain(model.parameters(), model.buffers())).device
        written: dict[str, list[int]] = {}
        examples = _examples(dataset, clips)
        groups = iter(lambda: list(itertools.islice(examples, self.batch_size)), [])
        model.eval()
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            for group in in_turn(groups):
                batch = {
                    key: value.to(device)
                    for key, value in collate([example for _, example in group]).items()
                    if isinstance(value, Tensor)
                }
                texts = self._texts(model, batch, tokenizer).tolist()
                written |= {name: text for (name, _), text in zip(group, texts, strict=True)}
        return of_all(written, (clip.name for clip in clips))

    def _texts(self, model: MultimodalModel, batch: dict[str, Tensor], tokenizer: Any) -> Tensor:
        """Return the tokens written of each example, without the prompt; padded."""
        if isinstance(model.trunk, WritingTrunk):
            ends = text_ends(tokenizer)
            return write(model, batch, self.decoding, end=ends.end, pad=ends.pad)
        special = special_ids(tokenizer)
        prompted = {**batch, "caps": _prompts(batch["caps"], special)}
        ids = generate(model, prompted, self.decoding, end=special.sep, pad=special.pad)
        return ids[:, PROMPT_LENGTH:]


@runtime_checkable
class _HasTokenizer(Protocol):
    """A text processor whose tokens can be read."""

    tokenizer: Any


@dataclass
class _Clip:
    """A part of a video that is captioned.

    Attributes:
        index: an example of the dataset that shows it; None where the video has no features.
        number: which of that example's captions belongs to it.
        references: all captions that people wrote of it.
        as_written: whether these are the texts of the data set, and not read from its tokens.
        name: its id.
    """

    index: int | None
    number: int
    references: list[str] = field(default_factory=list)
    as_written: bool = True
    name: str = ""


class _OneByOne(Aligner):
    """Examples of a video and each of its captions.

    Args:
        aligner: makes an example.
    """

    def __init__(self, *, aligner: Aligner) -> None:
        self.aligner = aligner

    @override
    def __call__(
        self,
        video_id: str,
        video_features: np.ndarray,
        clips: TextClips,
        rng: np.random.Generator,
    ) -> Mapping[str, Any]:
        ones = (
            TextClips(
                clips.start[at : at + 1],
                clips.end[at : at + 1],
                [clips.cap[at]],
                experts=clips.experts,
            )
            for at in range(len(clips))
        )
        made = (self.aligner(video_id, video_features, one, rng) for one in ones)
        return {"captions": [dict(example) for example in made]}


def _clips_of(dataset: MultimodalDataset, tokenizer: Any) -> list[_Clip]:
    """Return all clips of a split, also those of videos without features.

    Raises:
        DataError: the split has none.
    """
    found: dict[tuple[str, float, float, tuple[int, ...]], _Clip] = {}
    read_of = (
        dataset.aligner.layout.read_of if isinstance(dataset.aligner, SampledAligner) else None
    )
    missing, present = set(dataset.missing), itertools.count()
    for place in range(len(dataset.meta_processor)):
        video_id, text_id = dataset.meta_processor[place]
        index = None if video_id in missing else next(present)
        captions = dataset.text_processor(text_id)
        texts = _texts(tokenizer, captions.cap) if captions.texts is None else captions.texts
        spans = zip(captions.start.tolist(), captions.end.tolist(), strict=True)
        for number, (start, end) in enumerate(spans):
            read = read_of(captions.cap[number]) if read_of else 0
            own = (place, number) if read else ()
            clip = found.setdefault((video_id, start, end, own), _Clip(index, number))
            rest = _texts(tokenizer, [captions.cap[number][read:]])[0] if read else texts[number]
            clip.references.append(rest)
            clip.as_written &= captions.texts is not None and not read
    if not found:
        raise DataError("the split has no caption")
    _name(found)
    return list(found.values())


def _name(found: Mapping[tuple[str, float, float, tuple[int, ...]], _Clip]) -> None:
    """Name clips by their video, and by what tells them apart from others of it."""
    spans = {key[:3] for key in found}
    parts = Counter(video_id for video_id, _, _ in spans)
    together = Counter(key[:3] for key in found)
    numbers = {span: itertools.count() for span in spans}
    for (video_id, start, end, _), clip in found.items():
        span = (video_id, start, end)
        clip.name = video_id if parts[video_id] == 1 else clip_id(video_id, start, end)
        clip.name += f"#{next(numbers[span])}" if together[span] > 1 else ""


def _examples(
    dataset: MultimodalDataset, clips: list[_Clip]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (name, example) of each clip that has features."""
    one_by_one = copy.copy(dataset)
    one_by_one.aligner = _OneByOne(aligner=dataset.aligner)
    for index, group in itertools.groupby(clips, key=lambda clip: clip.index):
        if index is not None:
            examples = one_by_one[index]["captions"]
            yield from ((clip.name, examples[clip.number]) for clip in group)


def _prompts(caps: Tensor, special: SpecialIds) -> Tensor:
    """Return what texts begin with, whether or not a caption follows.

    Raises:
        ConfigError: ``caps`` do not begin with it.
    """
    prompts = caps[:, :PROMPT_LENGTH]
    if not (prompts == torch.tensor([special.cls, special.sep, special.cls]).to(caps)).all():
        raise ConfigError(
            "captions are written behind [CLS] [SEP] [CLS], which caps do not begin with; use an "
            "aligner for captioning, such as CaptioningAligner"
        )
    return prompts


def _texts(tokenizer: Any, tokens: list[list[int]]) -> list[str]:
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in texts]
