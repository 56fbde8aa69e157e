"""Damaged, foreign and contested stores (T09 to T17): refused by name, never read as if whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from mmvt.datasets.multimodal import MultimodalDataset, collate
from mmvt.datasets.store import FeatureStore
from mmvt.errors import DataError, StoreError
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from mmvt.features.extract import FrameOptions
from mmvt.features.find import find_videos
from mmvt.features.merge import merge
from mmvt.features.shard import StoreWriter
from mmvt.files import atomic_write
from mmvt.processors.base import Aligner, MetaProcessor, TextClips, TextProcessor
from mmvt.processors.video.npy import NpyVideoProcessor
from mmvt.processors.video.store import StoreVideoProcessor
from mmvt_cli import store as store_command
from tests.faults.runs import ROOT, SMALL_CLIPS, ColourEncoder, digest, run

pytestmark = [pytest.mark.faults, pytest.mark.extraction]

STEPS = FrameOptions(fps=8.0)


@pytest.fixture
def store(clips: Path, tmp_path: Path) -> Path:
    """Return a store of real clips in two shards."""
    run(clips, tmp_path / "store", shard_size=2, frames=STEPS)
    return tmp_path / "store"


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


# --- T09, T10


@pytest.mark.parametrize("place", [0, 200, -1])
@pytest.mark.parametrize("copied", [False, True])
def test_t09_a_flipped_bit_is_found_with_shard_and_range(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: int, copied: bool
) -> None:
    if copied:
        store = Path(shutil.copytree(store, tmp_path / "copy"))
    flip(store / "00001_data.npy", place)
    size = (store / "00001_data.npy").stat().st_size
    message = f"00001_data.npy: bytes 0 to {size - 1} are not what was written"
    with pytest.raises(StoreError, match=message):
        FeatureStore.open(store, verify="full")
    assert store_command.main(["verify", str(store)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("part", ["starts", "items_data", "items_starts", "times", "sums"])
def test_t09_a_flipped_bit_beside_the_rows_is_found_too(store: Path, part: str) -> None:
    flip(store / f"00000_{part}.npy", -1)
    with pytest.raises(StoreError, match=f"00000_{part}.npy: its checksum is wrong"):
        FeatureStore.open(store, verify="full")


def test_t10_a_shard_of_another_length_is_refused_when_the_store_is_opened(store: Path) -> None:
    path = store / "00000_data.npy"
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:-1], whole + bytes(6), b""):
        path.write_bytes(data)
        with pytest.raises(StoreError, match=r"00000_data\.npy"):
            FeatureStore.open(store)


@pytest.mark.parametrize("name", ["00000_starts.npy", "index_00002.npy"])
@pytest.mark.parametrize("rows", [-1, 1])
def test_t10_an_index_that_is_longer_or_shorter_than_the_data_is_refused(
    store: Path, name: str, rows: int
) -> None:
    array = np.load(store / name)
    np.save(
        store / name, np.concatenate([array, array[..., -1:]], -1)[..., : array.shape[-1] + rows]
    )
    with pytest.raises(StoreError, match=name):
        FeatureStore.open(store)


def test_t10_an_index_of_another_shard_is_refused(store: Path) -> None:
    for part in ("starts", "items_starts", "items_data"):
        shutil.copy(store / f"00001_{part}.npy", store / f"00000_{part}.npy")
    with pytest.raises(StoreError, match="00000_"):
        FeatureStore.open(store)[SMALL_CLIPS[0]]


# --- T11, T12, T13


class BadEncoder(ColourEncoder):
    """Spoils the features of some frames.

    Args:
        value: what is written into them.
    """

    def __init__(self, *, value: float) -> None:
        super().__init__()
        self.value = value

    @override
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        rows = super().encode(frames)
        rows[-1, 0, 0] = self.value
        return rows


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e6])
def test_t11_features_that_are_not_finite_are_never_written(
    clips: Path, tmp_path: Path, value: float
) -> None:
    report = run(clips, tmp_path / "store", encoder=BadEncoder(value=value))
    assert {failure.reason for failure in report.failures} == {"its features are not finite"}
    assert len(FeatureStore.open(tmp_path / "store", verify="full")) == 0


def test_t11_rows_that_became_nan_are_an_error_for_whoever_reads_them(store: Path) -> None:
    path = store / "00000_data.npy"
    rows = np.load(path)
    rows[0, 0] = np.nan
    np.save(path, rows)
    first = FeatureStore.open(store).ids[0]
    with pytest.raises(StoreError, match="are not finite"):
        StoreVideoProcessor(store=store)(first)
    with pytest.raises(StoreError, match="are not finite"):
        FeatureStore.open(store, verify="full")


@pytest.mark.parametrize("split", ["train", "test"])
def test_t11_a_loader_refuses_drops_or_zeroes_what_is_not_finite_and_counts_it(
    store: Path, split: str, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, *others = FeatureStore.open(store).ids
    path = store / "00000_data.npy"
    rows = np.load(path)
    before = rows.copy()
    rows[0, 0], rows[0, 2] = np.nan, -np.inf
    np.save(path, rows)
    ids = [first, second, *others, first]
    with pytest.raises(StoreError, match=f"{first}.* are not finite"):
        dataset_of(store, ids, split=split)[0]

    with pytest.raises(DataError, match=f"1 videos have no features, and 2 of .*: {first}"):
        dataset_of(store, ids, "drop", split=split)
    dropping = dataset_of(store, ids, "drop", split=split, allow_missing=True)
    assert (len(dropping), dropping.missing) == (3, [first])
    assert dropping[0]["video_id"] == second

    zeroing = dataset_of(store, ids, "zero", split=split)
    assert zeroing[0]["vfeats"].tolist() == [0, before[0, 1], 0]
    assert torch.equal(zeroing[4]["vfeats"], zeroing[0]["vfeats"])
    assert len(zeroing) == 5
    whole = "are taken for 0 (video 1 of this kind)"
    told = [line for line in caplog.messages if line.endswith(whole)]
    assert len(told) == 1
    assert "2 of" in told[0]
    assert any(line.endswith("it is left out (video 1 of this kind)") for line in caplog.messages)
    spans = StoreVideoProcessor(store=store, not_finite="zero").row_spans([second])
    assert spans is None  # the gatherer takes rows as they are


def test_t11_a_metric_raises_and_drops_no_row() -> None:
    names = np.array(["a", "b", "c"])
    vectors = np.eye(3, dtype=np.float32)
    predictions = {
        "text_ids": names,
        "video_ids": names,
        "text_video": np.arange(3),
        "same_caption": np.arange(3),
        "captions": names,
        "scored_texts": names,
        "scored_videos": names,
        "text_vectors": vectors,
        "video_vectors": vectors.copy(),
    }
    assert RetrievalMetric()(predictions)["text_to_video"]["R@1"] == 1
    predictions["video_vectors"][2, 1] = np.nan
    with pytest.raises(DataError, match="'c'|finite|number"):
        RetrievalMetric()(predictions)


def test_t12_a_store_of_other_rows_is_refused_with_both_values(store: Path) -> None:
    with pytest.raises(StoreError, match="dim is 3, not 512"):
        StoreVideoProcessor(store=store, input_dim=512)
    with pytest.raises(StoreError, match=r"fps is 8\.0, not 1\.0"):
        StoreVideoProcessor(store=store, fps=1.0)
    with pytest.raises(StoreError, match="dtype is 'float16', not 'float32'"):
        FeatureStore.open(store).require(dtype="float32")


def test_t12_rows_of_another_type_than_the_manifest_says_are_refused(store: Path) -> None:
    path = store / "00000_data.npy"
    rows = np.load(path)
    np.save(path, rows.view(np.int16))
    with pytest.raises(StoreError, match=r"int16.*not.*float16"):
        FeatureStore.open(store)[SMALL_CLIPS[0]]


def test_t13_an_empty_array_is_never_done(tmp_path: Path) -> None:
    with (
        StoreWriter(tmp_path / "s", dim=4, fps=1.0, encoder={"name": "t"}) as writer,
        pytest.raises(StoreError, match=r"rows of shape \(0, 4\)"),
    ):
        writer.add("a", np.zeros((0, 4), np.float32))
    assert "a" not in FeatureStore.open(tmp_path / "s")
    np.save(tmp_path / "a.npy", np.zeros((0, 4), np.float32))
    with pytest.raises(StoreError, match=r"is empty, of shape \(0, 4\)"):
        NpyVideoProcessor(vfeat_dir=tmp_path)("a")


# --- T14, T15


class Pairs(MetaProcessor):
    """Lists videos with a text each."""

    def __init__(self, *, ids: list[str]) -> None:
        self.ids = ids

    @override
    def __len__(self) -> int:
        return len(self.ids)

    @override
    def __getitem__(self, index: int) -> tuple[str, str]:
        return self.ids[index], "t"


class OneCaption(TextProcessor):
    """Knows one caption."""

    @override
    def __call__(self, text_id: str) -> TextClips:
        return TextClips(np.zeros(1), np.ones(1), [[1, 2]])


class FirstRow(Aligner):
    """Returns the first row of a video."""

    @override
    def __call__(
        self, video_id: str, video_features: np.ndarray, clips: TextClips, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        return {"vfeats": torch.from_numpy(video_features[0].astype(np.float32))}


def dataset_of(
    store: Path, ids: list[str], not_finite: str = "error", **options: object
) -> MultimodalDataset:
    return MultimodalDataset(
        meta_processor=Pairs(ids=ids),
        video_processor=StoreVideoProcessor(store=store, not_finite=not_finite),
        text_processor=OneCaption(),
        aligner=FirstRow(),
        **options,
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_t14_missing_features_are_an_error_that_lists_them_or_are_counted(
    store: Path, split: str
) -> None:
    ids = [*SMALL_CLIPS, "gone1.mp4", "gone2.mp4", "gone1.mp4"]
    message = "2 videos have no features, and 3 of the 7 examples need them: gone1.mp4, gone2.mp4"
    with pytest.raises(DataError, match=message):
        dataset_of(store, ids, split=split)
    dataset = dataset_of(store, ids, split=split, allow_missing=True)
    assert (len(dataset), dataset.missing) == (4, ["gone1.mp4", "gone2.mp4"])


def test_t14_missing_predictions_count_as_misses_of_the_whole_pool() -> None:
    names = np.array([f"v{number}" for number in range(8)])
    vectors = np.eye(8, dtype=np.float32)
    predictions = {
        "text_ids": names,
        "video_ids": names,
        "text_video": np.arange(8),
        "same_caption": np.arange(8),
        "captions": names,
        "scored_texts": names[:4],
        "scored_videos": names[:4],
        "text_vectors": vectors[:4],
        "video_vectors": vectors[:4],
    }
    with pytest.raises(DataError, match="v4"):
        RetrievalMetric()(predictions)
    results = RetrievalMetric(allow_missing=True)(predictions)
    assert results["protocol"]["missing_videos"] == 4
    for direction in ("text_to_video", "video_to_text"):
        figures = results[direction]
        assert (figures["candidates"], figures["queries"], figures["not_predicted"]) == (8, 8, 4)
        assert figures["R@1"] == 0.5


@pytest.mark.parametrize("parts", [1, 2, 8])
def test_t15_a_run_in_parts_gives_each_video_once_and_the_same_rows(
    clips: Path, store: Path, tmp_path: Path, parts: int
) -> None:
    videos = find_videos(clips).videos
    stores = [tmp_path / f"part{number}" for number in range(parts)]
    for number, folder in enumerate(stores):
        run(videos[number::parts], folder, frames=STEPS)
    merge(stores, tmp_path / "merged")
    merged, whole = FeatureStore.open(tmp_path / "merged", verify="full"), FeatureStore.open(store)
    assert sorted(merged.ids) == sorted(whole.ids) == sorted(SMALL_CLIPS)
    for name in whole.ids:
        assert merged[name].tobytes() == whole[name].tobytes()


@pytest.mark.parametrize(("workers", "decoders"), [(1, 2), (2, 1), (4, 2), (3, 4)])
def test_t15_workers_and_decoders_change_no_byte(
    clips: Path, store: Path, tmp_path: Path, workers: int, decoders: int
) -> None:
    options = {"workers": workers, "decoders": decoders}
    run(clips, tmp_path / "other", shard_size=2, frames=STEPS, **options)
    assert digest(tmp_path / "other") == digest(store)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_t15_workers_of_a_loader_change_no_row(store: Path, workers: int) -> None:
    dataset = dataset_of(store, [*SMALL_CLIPS] * 3, split="test")
    alone = collate([dataset[index] for index in range(len(dataset))])
    loader = DataLoader(dataset, batch_size=5, num_workers=workers, collate_fn=collate)
    batches = list(loader)
    assert torch.equal(torch.cat([batch["vfeats"] for batch in batches]), alone["vfeats"])
    assert [name for batch in batches for name in batch["video_id"]] == alone["video_id"]


# --- T16, T17


WRITER = """
import sys
from pathlib import Path
from tests.faults.runs import run
from mmvt.errors import StoreError
print("ready", flush=True)
sys.stdin.readline()
try:
    print(run(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=1).extracted)
except StoreError as error:
    print(error)
"""
REFUSED = "another process is writing to this store"


def start_writer(clips: Path, store: Path) -> subprocess.Popen[str]:
    """Start a process that is about to write, as soon as it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(clips), str(store)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_t16_of_two_runs_into_one_store_one_wins_and_no_row_is_lost_or_doubled(
    clips: Path, tmp_path: Path
) -> None:
    processes = [start_writer(clips, tmp_path / "store") for _ in range(2)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate()[0].strip() for process in processes]
    assert said.count("4") == 1
    # the other met the first, or came when that was done
    (other,) = (line for line in said if line != "4")
    assert other == "0" or other.endswith(REFUSED)
    found = FeatureStore.open(tmp_path / "store", verify="full")
    assert sorted(found.ids) == sorted(SMALL_CLIPS)


def test_t16_a_second_run_is_refused_while_the_first_holds_the_store(
    clips: Path, store: Path
) -> None:
    before = digest(store)
    with (
        StoreWriter(store, append=True, **FeatureStore.open(store).manifest.options()),
        pytest.raises(StoreError, match=REFUSED),
    ):
        run(clips, store, frames=STEPS)
    assert digest(store) == before


HOLDER = """
import os, signal, sys
from pathlib import Path
from tests.faults.runs import run
run(Path(sys.argv[1]), Path(sys.argv[2]), on_video=lambda video, why: os.kill(os.getpid(), 9))
"""


def test_t16_the_lock_of_a_dead_process_is_taken_over(clips: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLDER, str(clips), str(tmp_path / "store")]
    killed = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "store" / ".lock").exists()
    assert not (tmp_path / "store" / "manifest.json").exists()
    run(clips, tmp_path / "store")
    assert len(FeatureStore.open(tmp_path / "store", verify="full")) == 4


@pytest.mark.parametrize(
    "overwrite",
    [
        lambda clips, store: run(clips, store, frames=STEPS, shard_size=2),
        lambda clips, store: (shutil.rmtree(store), run(clips, store, encoder=ColourEncoder())),
    ],
    ids=["added to", "made anew"],
)
def test_t17_who_has_a_shard_mapped_keeps_the_old_rows(
    clips: Path, tmp_path: Path, overwrite: Callable[[Path, Path], object]
) -> None:
    store = tmp_path / "store"
    run(find_videos(clips).videos[:2], store, frames=STEPS, shard_size=2)
    reader = FeatureStore.open(store)
    first, second = reader.ids
    before = reader[first].copy(), reader[second].copy()
    view = reader[first]
    overwrite(clips, store)
    np.testing.assert_array_equal(view, before[0])
    np.testing.assert_array_equal(reader[second], before[1])
    assert len(reader) == 2
    assert len(FeatureStore.open(store, verify="full")) == 4


def test_t17_a_shard_that_is_replaced_under_a_reader_changes_nothing_for_it(store: Path) -> None:
    reader = FeatureStore.open(store)
    view = reader[reader.ids[0]]
    before = view.copy()
    with atomic_write(store / "00000_data.npy") as file:
        file.write(b"something else")
    np.testing.assert_array_equal(view, before)
    with pytest.raises(StoreError, match="00000_data.npy"):
        FeatureStore.open(store)
    assert json.loads((store / "manifest.json").read_text())["shards"]
