"""YouCook2: recipes on YouTube, cut into clips with a sentence each.

Public files: ``youcookii_annotations_trainval.json`` (times and sentences), the list of 3,350 pairs
that the HowTo100M authors evaluate on (``validation_youcook.csv``, columns
``end,start,task,text,video_id``), their pickled lists (``youcook_train.pkl``), and for captioning
``train_list.txt`` and ``val_list.txt`` or dense captions such as ``yc2_val.json``.

Features are of whole videos. In retrieval every clip is a candidate of its own, ``video@47-60``,
which ClipVideoProcessor cuts out; in captioning the times are those of the sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mmvt.datasets.original_shards import read_plain_pickle
from mmvt.errors import ConfigError
from mmvt.ids import check_id
from mmvt.processors.annotations import (
    Record,
    read_lines,
    read_mapping,
    read_table,
    refuse,
)
from mmvt.processors.meta.activitynet import Described, read_described
from mmvt.processors.meta.listed import ListedMetaProcessor
from mmvt.processors.splits import SplitPaths, refuse_leak, warn_of_shared
from mmvt.processors.video.clips import clip_id

SUBSETS = {"train": "training", "valid": "validation", "test": "validation"}


@dataclass(frozen=True, slots=True)
class Clip:
    """A part of a video and what is said of it.

    Attributes:
        video_id: id of the whole video.
        text_id: id of the sentence.
        text: the sentence.
        times: (start, end) in seconds.
    """

    video_id: str
    text_id: str
    text: str
    times: tuple[float, float]

    @property
    def clip_id(self) -> str:
        """The id of the part."""
        return clip_id(self.video_id, *self.times)


@dataclass(frozen=True)
class Annotation:
    """What the official annotation holds.

    Attributes:
        videos: sentences and times of each video, by its name.
        subset: ``training`` or ``validation``, by the name of the video.
    """

    videos: dict[str, Described]
    subset: dict[str, str]


def read_annotation(path: Path) -> Annotation:
    """Return the official annotation.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    whole = read_mapping(path, problems)
    database = whole.entry(whole.value("database"), "database")
    videos, subset = {}, {}
    for name in database.content:
        record = database.entry(database.content[name], f"video {name!r}")
        subset[name] = record.text("subset")
        clips = [
            record.entry(value, f"annotation {number}")
            for number, value in enumerate(record.listed("annotations"))
        ]
        texts = [clip.text("sentence") for clip in clips]
        times = [clip.span(clip.value("segment"), "segment") for clip in clips]
        videos[name] = Described(record.as_video(name), texts, times)
    refuse(problems)
    return Annotation(videos, subset)


class YouCook2MetaProcessor(ListedMetaProcessor):
    """Lists clips, each with its sentence, for retrieval.

    Without a file of a split, it is the one of the official annotation.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: csv or pickled list of the training clips.
        val_path: csv or pickled list for validation, and for testing without ``test_path``.
        test_path: csv or pickled list for testing.
        trainval_annotation: the official annotation, for the times of a pickled list.
        use_annotation_text: take the sentences of the annotation instead of a pickled list's,
            which are without stop words.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        trainval_annotation: Path | None = None,
        use_annotation_text: bool = False,
    ) -> None:
        files = ClipFiles(
            SplitPaths(train_path, val_path, test_path), trainval_annotation, use_annotation_text
        )
        clips = files.checked(split)
        warn_of_shared(files.source(split), ((clip.clip_id, clip.text) for clip in clips))
        super().__init__([(clip.clip_id, clip.text_id) for clip in clips])


class YouCook2CaptionMetaProcessor(ListedMetaProcessor):
    """Lists videos with one timed sentence each, for captioning.

    Without a file of a split, it is the one of the official annotation.

    Args:
        split: ``train``, ``valid`` or ``test``.
        train_path: list of the training videos (``recipe/video`` a line), or dense captions (JSON).
        val_path: the same for validation, and for testing without ``test_path``.
        test_path: the same for testing.
        trainval_annotation: the official annotation, for the sentences of a list.
    """

    def __init__(
        self,
        *,
        split: Literal["train", "valid", "test"],
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        trainval_annotation: Path | None = None,
    ) -> None:
        files = ClipFiles(SplitPaths(train_path, val_path, test_path), trainval_annotation)
        clips = files.checked(split)
        super().__init__([(clip.video_id, clip.text_id) for clip in clips])


class ClipFiles:
    """The clips of every split, whatever form their files have.

    Args:
        paths: csv, pickled list, list of videos, or dense captions of each split.
        annotation: the official annotation.
        annotated_text: take its sentences instead of a pickled list's.
    """

    def __init__(
        self, paths: SplitPaths, annotation: Path | None, annotated_text: bool = False
    ) -> None:
        self.paths, self.annotation, self.annotated_text = paths, annotation, annotated_text
        self._official = None if annotation is None else read_annotation(annotation)

    def source(self, split: str) -> Path:
        """Return the file that says what is in a split.

        Raises:
            ConfigError: there is none.
        """
        return self.paths.find(split) or self.annotation or self.paths.of(split)

    def clips(self, split: str) -> list[Clip]:
        """Return the clips of a split.

        Raises:
            ConfigError: a file that is needed is not given.
            DataError: with all that is wrong with a file.
        """
        path = self.source(split)
        if path == self.annotation:
            official, subset = self._needed(path), SUBSETS[split]
            names = [name for name in official.videos if official.subset[name] == subset]
            return numbered(_sentences(official.videos[name] for name in names))
        readers: dict[str, Callable[[Path], Iterable[Clip]]] = {
            ".csv": read_rows,
            ".json": lambda path: _sentences(map(_without_prefix, read_described(path))),
            ".pkl": lambda path: _read_pickled(path, self._needed(path), self.annotated_text),
            ".txt": lambda path: _read_list(path, self._needed(path)),
        }
        if path.suffix not in readers:
            raise ConfigError(f"{path} is none of {', '.join(readers)}")
        return numbered(readers[path.suffix](path))

    def checked(self, split: str) -> list[Clip]:
        """Return the clips of a split, none of a video that is on the other side of training.

        Raises:
            ConfigError: a file that is needed is not given.
            DataError: with all that is wrong with a file, or videos on both sides.
        """
        clips = self.clips(split)
        videos = [clip.video_id for clip in clips]
        for other in ("valid", "test") if split == "train" else ("train",):
            if self._has(other):
                theirs = (clip.video_id for clip in self.clips(other))
                refuse_leak(self.source(split), videos, f"{self.source(other)} ({other})", theirs)
        return clips

    def every(self) -> list[Clip]:
        """Return the clips of all splits that there are.

        Raises:
            ConfigError: no file is given.
            DataError: with all that is wrong with a file.
        """
        if self.annotation is None:
            self.paths.every()
        return [clip for split in SUBSETS if self._has(split) for clip in self.clips(split)]

    def sources(self) -> list[Path]:
        """Return all files."""
        return [*([self.annotation] if self.annotation else []), *filter(None, _paths(self.paths))]

    def _has(self, split: str) -> bool:
        return (self.paths.find(split) or self.annotation) is not None

    def _needed(self, path: Path) -> Annotation:
        if self._official is None:
            raise ConfigError(f"trainval_annotation is missing: {path} needs its times")
        return self._official


def read_rows(path: Path) -> list[Clip]:
    """Return the clips of a csv with the columns ``end,start,task,text,video_id``.

    Raises:
        DataError: with all that is wrong.
    """
    problems: list[str] = []
    clips = []
    for row in read_table(path, ["end", "start", "text", "video_id"], problems):
        times = row.span([row.value("start"), row.value("end")], "the clip")
        clips.append(Clip(row.video("video_id"), "", row.text("text"), times))
    if not clips and not problems:
        problems.append(f"{path}: holds no clip")
    refuse(problems)
    return clips


def numbered(clips: Iterable[Clip]) -> list[Clip]:
    """Return clips with text ids: that of the clip, with a number where it has several texts."""
    seen: Counter[str] = Counter()
    found = []
    for clip in clips:
        seen[clip.clip_id] += 1
        count = seen[clip.clip_id]
        text_id = clip.clip_id if count == 1 else f"{clip.clip_id}#{count}"
        found.append(replace(clip, text_id=text_id))
    return found


def _paths(paths: SplitPaths) -> list[Path | None]:
    return list(dict.fromkeys([paths.train, paths.val, paths.test]))


def _sentences(videos: Iterable[Described]) -> Iterator[Clip]:
    for video in videos:
        for text, times in zip(video.sentences, video.times, strict=True):
            yield Clip(video.video_id, "", text, times)


def _without_prefix(video: Described) -> Described:
    # dense captions call a video of YouTube v_<id>
    return replace(video, video_id=check_id(video.video_id.removeprefix("v_")))


def _read_list(path: Path, official: Annotation) -> list[Clip]:
    problems, names = [], []
    for where, line in read_lines(path):
        name = line.rpartition("/")[2]
        names.append(name)
        if name not in official.videos:
            problems.append(f"{where}: the annotation has no video {name!r}")
    refuse(problems)
    return list(_sentences(official.videos[name] for name in names))


def _read_pickled(path: Path, official: Annotation, annotated_text: bool) -> list[Clip]:
    problems: list[str] = []
    whole = Record(str(path), {"the file": read_plain_pickle(path)}, problems)
    clips = []
    for number, value in enumerate(whole.listed("the file")):
        record = whole.entry(value, f"clip {number}")
        name, _, place = record.text("id").rpartition("_")
        video = official.videos.get(name)
        if video is None or not place.isdecimal() or int(place) >= len(video.sentences):
            record.problem(f"the annotation has no clip {record.content.get('id')!r}")
            continue
        text = video.sentences[int(place)] if annotated_text else record.text("caption")
        clips.append(Clip(video.video_id, "", text, video.times[int(place)]))
    refuse(problems)
    return clips
