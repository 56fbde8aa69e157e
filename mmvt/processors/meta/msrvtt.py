"""MSR-VTT: 10,000 clips of 20 captions each, for retrieval and multiple choice.

Files of the public releases: ``MSRVTT_data.json`` or ``*_videodatainfo.json`` (captions and the
official split), lists of videos such as ``MSRVTT_train.9k.csv`` (column ``video_id``), pairs such
as ``MSRVTT_JSFUSION_test.csv`` (columns ``key,vid_key,video_id,sentence``: the 1k-A test), and
``MSR_MC_test.csv`` (tabs between ``vid_key,a1,…,a5,answer``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmvt.errors import ConfigError, DataError
from mmvt.processors.annotations import Record, check_unique, read_mapping, read_table, refuse
from mmvt.processors.meta.listed import ListedMetaProcessor, read_split
from mmvt.processors.splits import SplitPaths, named, refuse_leak, warn_of_shared

OFFICIAL = {"train": "train", "valid": "validate", "test": "test"}
ANSWERS = ("a1", "a2", "a3", "a4", "a5")


@dataclass(frozen=True, slots=True)
class Pair:
    """A row of a list of videos, with a sentence where it has one.

    Attributes:
        video_id: id of the video.
        text_id: id of the sentence.
        sentence: None = the captions of the JSON belong to the video.
    """

    video_id: str
    text_id: str
    sentence: str | None


@dataclass(frozen=True, slots=True)
class Choice:
    """A video and the sentences to choose from.

    Attributes:
        video_id: id of the video.
        text_id: id of the question.
        answers: the sentences.
        answer: place of the right one, from 0.
    """

    video_id: str
    text_id: str
    answers: list[str]
    answer: int


@dataclass(frozen=True)
class Captions:
    """What a JSON of MSR-VTT holds.

    Attributes:
        sentences: captions of each video.
        split: official split of each video: ``train``, ``validate`` or ``test``.
    """

    sentences: dict[str, list[str]]
    split: dict[str, str]


def read_captions(path: Path) -> Captions:
    """Return the captions and the official split.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    content = read_mapping(path, problems)
    split, sentences = {}, defaultdict(list)
    for number, value in enumerate(content.listed("videos")):
        record = content.entry(value, f"video {number}")
        split[record.video("video_id")] = record.text("split")
    for number, value in enumerate(content.listed("sentences")):
        record = content.entry(value, f"sentence {number}")
        sentences[record.video("video_id")].append(record.text("caption"))
    refuse(problems)
    return Captions(dict(sentences), split)


def read_pairs(path: Path) -> list[Pair]:
    """Return the rows of a list of videos or of pairs.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    rows = read_table(path, ["video_id"], problems)
    pairs = [_pair(row) for row in rows]
    keys = zip(rows, pairs, strict=True)
    check_unique(((row.where, pair.text_id) for row, pair in keys), "key", problems)
    if not rows and not problems:
        problems.append(f"{path}: holds no video")
    refuse(problems)
    return pairs


def read_choices(path: Path) -> list[Choice]:
    """Return the questions of the multiple choice test.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    choices = []
    for number, row in enumerate(
        read_table(path, ["vid_key", *ANSWERS, "answer"], problems, delimiter="\t")
    ):
        video, answer = row.video("vid_key"), row.whole("answer")
        if not 0 <= answer < len(ANSWERS):
            row.problem(f"answer {answer} is not one of 0 to {len(ANSWERS) - 1}")
        # clips are called msr7020 here and video7020 everywhere else
        video = f"video{video.removeprefix('msr')}" if video.startswith("msr") else video
        answers = [row.text(key) for key in ANSWERS]
        choices.append(Choice(video, f"{path.stem}#{number}", answers, answer))
    if not choices and not problems:
        problems.append(f"{path}: holds no question")
    refuse(problems)
    return choices


def caption_ids(video_id: str, count: int) -> list[str]:
    """Return the text ids of the captions of a video, one by one; its id is that of all."""
    return [f"{video_id}#{number}" for number in range(1, count + 1)]


class MSRVTTMetaProcessor(ListedMetaProcessor):
    """Lists videos with all their captions in training, and pairs of video and caption otherwise.

    Without a file of a split, it is the official one of ``json_path`` (6,513, 497 and 2,990
    videos), each caption a query.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: csv with the training videos, such as the 7k or the 9k list.
        val_path: csv with the pairs for validation, and for testing without ``test_path``. A list
            without sentences has each caption of the JSON as a query.
        test_path: csv with the pairs for testing, such as the 1k-A list.
        json_path: captions and the official split.
        full_test_path: csv of the full test split; its videos are added to the training videos,
            except those of ``jsfusion_path``.
        jsfusion_path: csv of the 1k-A test split.
        dup: how often an epoch holds each training video; each time a caption can be drawn.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        json_path: Path | None = None,
        full_test_path: Path | None = None,
        jsfusion_path: Path | None = None,
        dup: int = 1,
    ) -> None:
        if dup < 1:
            raise ConfigError(f"dup is {dup}, but must be at least 1")
        if (full_test_path is None) != (jsfusion_path is None):
            raise ConfigError("full_test_path and jsfusion_path go together; one is unset")
        lists = _Lists(SplitPaths(train_path, val_path, test_path), json_path)
        if split == "train":
            more = [] if full_test_path is None else _ids(full_test_path)
            tested = set() if jsfusion_path is None else set(_ids(jsfusion_path))
            videos = [*lists.videos("train"), *(video for video in more if video not in tested)]
            videos = list(dict.fromkeys(videos))
            lists.refuse_silent(videos)
            examples = [(video, video) for video in videos]
        else:
            pairs = lists.pairs(split)
            videos = [pair.video_id for pair in pairs]
            examples = [(pair.video_id, pair.text_id) for pair in pairs]
        for other, path in lists.paths.apart_from(split).items():
            refuse_leak(f"the split {split!r}", videos, f"{path} ({other})", _ids(path))
        super().__init__(examples * (dup if split == "train" else 1))


class _Lists:
    """The videos and pairs of every split, from a file of its own or from the JSON."""

    def __init__(self, paths: SplitPaths, json_path: Path | None) -> None:
        self.paths, self.json_path = paths, json_path
        self._captions = None if json_path is None else read_captions(json_path)

    def videos(self, split: str) -> list[str]:
        path = self.paths.find(split)
        if path is not None:
            return _ids(path)
        if self._captions is None:
            self.paths.of(split)
        name = OFFICIAL[split]
        videos = [video for video, own in self._known().split.items() if own == name]
        if not videos:
            raise DataError(f"{self.json_path}: no video is of the split {name!r}")
        return videos

    def pairs(self, split: str) -> list[Pair]:
        path = self.paths.find(split)
        pairs = [] if path is None else read_pairs(path)
        said = [(pair.video_id, pair.sentence) for pair in pairs if pair.sentence is not None]
        if said:
            warn_of_shared(path, said)
            return pairs
        videos = [pair.video_id for pair in pairs] or self.videos(split)
        self.refuse_silent(videos)
        captions = self._known().sentences
        return [
            Pair(video, text_id, None)
            for video in videos
            for text_id in caption_ids(video, len(captions[video]))
        ]

    def refuse_silent(self, videos: Sequence[str]) -> None:
        captions = self._known().sentences
        silent = [video for video in videos if video not in captions]
        if silent:
            raise DataError(
                f"{self.json_path}: no caption of {len(silent)} videos: {named(silent)}"
            )

    def _known(self) -> Captions:
        if self._captions is None:
            raise ConfigError("json_path is missing: it holds the captions of these videos")
        return self._captions


class MSRVTTChoiceMetaProcessor(ListedMetaProcessor):
    """Lists videos with five sentences to choose from (MSR-VTT multiple choice).

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: questions for training, in the form of ``MSR_MC_test.csv``.
        val_path: questions for validation, and for testing without ``test_path``.
        test_path: questions for testing.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        _, choices = read_split(split, SplitPaths(train_path, val_path, test_path), read_choices)
        super().__init__([(choice.video_id, choice.text_id) for choice in choices])


def _ids(path: Path) -> list[str]:
    return list(dict.fromkeys(pair.video_id for pair in read_pairs(path)))


def _pair(row: Record) -> Pair:
    video = row.video("video_id")
    if "sentence" not in row.content:
        return Pair(video, video, None)
    return Pair(video, row.text("key"), row.text("sentence"))
