"""Turns the segments of VPT into feature stores, captions and transcripts.

A segment is a clip of its video: the rows of a video are the frames of its segments in time order,
each with its time. All that is not taken over is listed with its reason.

Source: Video Pre-trained Transformer (arXiv 2304.10505) and its code.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmvt.errors import DataError, MMVTError, StoreError
from mmvt.features.convert.vpt.arrays import HIDDEN, STORES, Rows, rows_of
from mmvt.features.convert.vpt.segment import Segment, SegmentSource, read_segment
from mmvt.features.find import Failure
from mmvt.features.shard import StoreWriter
from mmvt.files import atomic_write, atomic_write_text, locked

CAPTIONS, TRANSCRIPTS, FAILURES = "captions.csv", "transcripts", "failures.jsonl"
_BAD_NAME = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)


@dataclass
class ImportReport:
    """What became of the segments.

    Attributes:
        videos: videos that were added.
        skipped: videos that were there.
        segments: segments that were taken over, now or before.
        absent: segments that the source counts in ``total_segments`` and does not hold.
        failures: segments that were not taken over; and files that hold none.
    """

    videos: int = 0
    skipped: int = 0
    segments: int = 0
    absent: int = 0
    failures: list[Failure] = field(default_factory=list)


class _Place(NamedTuple):
    """Where a segment is: in time, and in its source."""

    start: float
    end: float
    number: int


def import_segments(
    source: SegmentSource,
    folder: Path,
    *,
    grid: int = 4,
    take_undone: bool = False,
    shard_size: int = 4096,
    on_segment: Callable[[int], None] = lambda count: None,
) -> ImportReport:
    """Write what a source holds into a folder and return what became of it.

    The folder gets the stores ``frames`` (``clip_last_hidden_states`` as maps of ``grid`` ×
    ``grid`` means) and ``pooled`` (pooled vectors), both in half precision, as far as the source
    has them; ``captions.csv``; ``transcripts/<video>.json``; and ``failures.jsonl``. Videos that
    are there are skipped, so that a run that was stopped goes on.

    Args:
        source: the segments.
        folder: made, or added to.
        grid: side of the maps.
        take_undone: take segments over whose flags (``done_…``) say that something was not done.
        shard_size: most videos in a shard of a store.
        on_segment: called with the number of segments that are done or have failed.

    Raises:
        StoreError: the folder was made with other options, cannot be written to, or another
            process writes to it.
    """
    try:
        with locked(folder / ".lock", "an import"):
            run = _Import(source, folder, grid, take_undone, shard_size)
            run.write(on_segment)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
    return run.report


class _Import:
    """A run: what it reads from, the stores that it writes, and what became of the segments."""

    def __init__(
        self, source: SegmentSource, folder: Path, grid: int, take_undone: bool, shard_size: int
    ) -> None:
        self.source, self.folder, self.grid = source, folder, grid
        self.take_undone, self.shard_size = take_undone, shard_size
        self.report = ImportReport()
        for failure in source.refused:
            self._fail(failure.id, failure.source, failure.reason)
        self._stores: dict[str, StoreWriter] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def write(self, on_segment: Callable[[int], None]) -> None:
        """Write all that the folder gets."""
        for form in (f".{CAPTIONS}.*.tmp", f"{TRANSCRIPTS}/**/.*.json.*.tmp"):
            for left_by_killed in self.folder.glob(form):
                left_by_killed.unlink()
        plan = self.plan()
        on_segment(len(self.source) - sum(map(len, plan.values())))
        with contextlib.ExitStack() as stack, atomic_write(self.folder / CAPTIONS) as file:
            table = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
            captions = csv.writer(table, lineterminator="\n")
            captions.writerow(["video", "caption", "start", "end"])
            for video_id, places in plan.items():
                for said in self.take_over(video_id, places, stack):
                    times = repr(said["start"]), repr(said["end"])
                    captions.writerow([video_id, said["text"], *times])
                on_segment(len(places))
            table.detach()
        lines = (json.dumps(asdict(item), ensure_ascii=False) for item in self.report.failures)
        atomic_write_text(self.folder / FAILURES, "".join(f"{line}\n" for line in lines))

    def plan(self) -> dict[str, list[_Place]]:
        """Return the segments of each video in time order; refuse what is none, or is twice."""
        plan: dict[str, list[_Place]] = {}
        totals: dict[str, int] = {}
        seen: Counter[str] = Counter()
        first: dict[tuple[Any, ...], int] = {}
        for number in range(len(self.source)):
            try:
                segment = read_segment(self.source.fields(number))
            except MMVTError as error:
                self._refuse("", number, str(error))
                continue
            video = segment.video_id
            totals[video] = max(totals.get(video, 0), segment.total or 0)
            seen[video] += 1
            if reason := self._undone(segment) or self._twin(segment, number, first):
                self._refuse(video, number, reason)
            else:
                plan.setdefault(video, []).append(_Place(segment.start, segment.end, number))
        # those of no known video are listed, and may be among the absent
        self.report.absent = sum(max(0, total - seen[video]) for video, total in totals.items())
        return {video: sorted(places) for video, places in plan.items()}

    def take_over(
        self, video_id: str, places: Sequence[_Place], stack: contextlib.ExitStack
    ) -> list[dict[str, Any]]:
        """Have a video in the stores and as a transcript; return what is said in it."""
        if self._is_there(video_id):
            return self._told(video_id, places)
        record: dict[str, Any] = {"segments": [], "refused": []}
        found = list(self._read(places, record))
        if found and not self._stores:
            self._open(found[0], stack)
            if self._is_there(video_id):  # known only now
                return self._told(video_id, places)
        if found:
            try:
                atomic_write_text(
                    self._transcript(video_id), json.dumps(record, ensure_ascii=False) + "\n"
                )
            except OSError as error:
                if error.errno not in _BAD_NAME:
                    raise StoreError(f"{self.folder}: cannot be written: {error}") from error
                reason = f"no file can have the name of the video: {error.strerror}"
                record = {
                    "segments": [],
                    "refused": [[self.source.where(place.number), reason] for place in places],
                }
            else:
                self._add(video_id, found)
                self.report.videos += 1
        return self._counted(video_id, record)

    def _undone(self, segment: Segment) -> str | None:
        if not segment.undone or self.take_undone:
            return None
        return f"{', '.join(segment.undone)} is false; --undone takes it all the same"

    def _twin(self, segment: Segment, number: int, first: dict[tuple[Any, ...], int]) -> str | None:
        """Return what a segment has in common with an earlier one, which it may not; note it."""
        said = hash((segment.start, segment.end, segment.caption))
        keys: dict[tuple[Any, ...], str] = {(segment.video_id, "said", said): "times and words"}
        if segment.index is not None:
            keys[segment.video_id, "index", segment.index] = "segment_index"
        for key, what in keys.items():
            if key in first:
                return f"has the same {what} as {self.source.where(first[key])}"
        first.update(dict.fromkeys(keys, number))
        return None

    def _read(self, places: Sequence[_Place], record: dict[str, Any]) -> Iterator[Rows]:
        """Yield the rows of segments, and write down what is said in them, or why not."""
        for place in places:
            try:
                segment = read_segment(self.source.fields(place.number))
                rows = rows_of(segment, self.source.arrays(place.number), self.grid)
                self._shapes = self._shapes or dict(rows.shapes)
                if rows.shapes != self._shapes:
                    raise DataError(f"has {_shown(rows.shapes)}, not {_shown(self._shapes)}")
            except MMVTError as error:
                where = _text(self.source.where(place.number))
                record["refused"].append([where, _text(str(error))])
                continue
            words = [
                {"word": word.text, "start": word.start, "end": word.end} for word in segment.words
            ]
            times = {"start": segment.start, "end": segment.end}
            record["segments"].append({**times, "text": segment.caption, "words": words})
            yield rows

    def _open(self, rows: Rows, stack: contextlib.ExitStack) -> None:
        for name, array in rows.of.items():
            self._stores[name] = stack.enter_context(
                StoreWriter(
                    self.folder / STORES[name],
                    dim=array.shape[-1],
                    grid=self.grid if name == HIDDEN else 1,
                    fps=0.0,
                    encoder={"name": f"VPT {name}", "shape": list(rows.shapes[name])},
                    shard_size=self.shard_size,
                    append=True,
                )
            )

    def _is_there(self, video_id: str) -> bool:
        stores = self._stores.values()
        return bool(stores) and all(video_id in store for store in stores)

    def _add(self, video_id: str, found: Sequence[Rows]) -> None:
        times = np.concatenate([rows.times for rows in found])
        order = np.argsort(times, kind="stable")
        for name, store in self._stores.items():
            if video_id not in store:  # a run may have been killed between two
                steps = np.concatenate([rows.of[name] for rows in found])
                store.add(video_id, steps[order], times=times[order])

    def _told(self, video_id: str, places: Sequence[_Place]) -> list[dict[str, Any]]:
        """Return what is said in a video that was taken over before."""
        path = self._transcript(video_id)
        try:
            record = json.loads(path.read_bytes())
            count = len(record["segments"]) + len(record["refused"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{path}: is missing or damaged: {error!r}") from error
        if count != len(places):
            raise StoreError(
                f"{path}: tells of {count} segments, but the source now has {len(places)} of this "
                "video; import it into another folder"
            )
        self.report.skipped += 1
        return self._counted(video_id, record)

    def _counted(self, video_id: str, record: dict[str, Any]) -> list[dict[str, Any]]:
        self.report.segments += len(record["segments"])
        for where, reason in record["refused"]:
            self._fail(video_id, where, reason)
        return record["segments"]

    def _refuse(self, video_id: str, number: int, reason: str) -> None:
        self._fail(video_id, self.source.where(number), reason)

    def _fail(self, video_id: str, where: str, reason: str) -> None:
        self.report.failures.append(Failure(_text(video_id), _text(where), _text(reason)))

    def _transcript(self, video_id: str) -> Path:
        return self.folder / TRANSCRIPTS / f"{video_id}.json"


def _text(words: str) -> str:
    """Return words that can be written: names of files, and what is in them, may be no text."""
    return words.encode(errors="backslashreplace").decode()


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} of {shape}" for name, shape in shapes.items())
