"""Kaldi's filter bank against an implementation of others, and its rows in a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from mmvt.datasets.store import FeatureStore
from mmvt.errors import ConfigError, PluginError
from mmvt.features.extract import FrameOptions, build_encoder, extract
from mmvt.features.find import Video, find_videos
from mmvt.features.logmel import LogMel
from tests.sounds import RATE, tone, write_media, write_wav
from tests.videos import write_video


def reference(samples: np.ndarray, bins: int) -> np.ndarray:
    """Return the filter bank as transformers computes it where there is no torchaudio."""
    filters = mel_filter_bank(
        num_frequency_bins=257,
        num_mel_filters=bins,
        min_frequency=20,
        max_frequency=RATE // 2,
        sampling_rate=RATE,
        norm=None,
        mel_scale="kaldi",
        triangularize_in_mel_space=True,
    )
    return spectrogram(
        samples,
        window_function(400, "hann", periodic=False),
        frame_length=400,
        hop_length=160,
        fft_length=512,
        power=2.0,
        center=False,
        preemphasis=0.97,
        mel_filters=filters,
        log_mel="log",
        mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    ).T


# at 128 bins some filters lie between two frequencies, in Kaldi as well
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
@pytest.mark.parametrize("bins", [40, 128])
def test_rows_are_kaldis(bins: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype("f4")
    samples = tone(0.5) + noise + np.float32(0.1)
    rows = LogMel(bins=bins).encode(torch.from_numpy(samples))
    expected = reference(samples, bins)
    assert rows.shape == expected.shape == (48, bins)
    np.testing.assert_allclose(rows.numpy(), expected, atol=2e-3)


def test_silence_is_the_smallest_number_and_not_infinite() -> None:
    rows = LogMel().encode(torch.zeros(RATE))
    torch.testing.assert_close(rows, torch.full((98, 128), -15.9424), atol=1e-3, rtol=0)


def test_rows_are_normalised_as_asked() -> None:
    samples = torch.from_numpy(tone(0.1))
    plain = LogMel().encode(samples)
    shifted = LogMel(mean=-4.2677393, std=9.1379948).encode(samples)
    torch.testing.assert_close(shifted, (plain + 4.2677393) / 9.1379948)


@pytest.mark.parametrize(("samples", "rows"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_rows_lie_within_the_sound(samples: int, rows: int) -> None:
    assert LogMel().encode(torch.zeros(samples)).shape == (rows, 128)


@pytest.mark.parametrize(
    ("options", "message"), [({"bins": 0}, "bins must be"), ({"std": 0.0}, "std must be positive")]
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogMel(**options)


# --- sound through the whole extraction


def test_windows_of_a_long_file_give_the_rows_of_the_whole(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 65 * RATE).astype("f4")
    path = write_wav(tmp_path / "long.wav", samples)
    extract([Video("long", path)], LogMel(bins=8), tmp_path / "store", dtype="float32", workers=2)
    store = FeatureStore.open(tmp_path / "store")
    whole = LogMel(bins=8).encode(torch.from_numpy(samples)).numpy()
    np.testing.assert_allclose(store["long"], whole, atol=1e-4)
    assert (store.manifest.fps, store.manifest.dim, store.manifest.grid) == (100, 8, 1)
    np.testing.assert_allclose(store.times("long"), np.arange(len(whole)) / 100)
    assert store.metadata("long")["duration"] == pytest.approx(65)


def test_videos_without_sound_fail_by_name_and_the_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_media(folder / "a.mp4", tone(1.0), frames=10)
    write_video(folder / "b_mute.mp4", 5)
    write_media(folder / "c.mp4", tone(2.0), frames=20)
    (folder / "d.mp4").write_bytes(b"")
    write_wav(folder / "e_short.mkv", tone(0.02))
    report = extract(find_videos(folder).videos, LogMel(), tmp_path / "store")
    assert report.extracted == 2
    reasons = {failure.id: failure.reason for failure in report.failures}
    assert reasons == {
        "b_mute.mp4": "has no sound",
        "d.mp4": "is empty (0 bytes)",
        "e_short.mkv": "it is too short for a single row",
    }
    again = extract(find_videos(folder).videos, LogMel(), tmp_path / "store")
    assert (again.extracted, again.skipped, len(again.failures)) == (0, 2, 3)


def test_real_clips_have_rows_of_sound(shared: Path, tmp_path: Path) -> None:
    clips = sorted((shared / "data" / "videos").glob("Panda-70M__U*"))
    report = extract([Video(clip.name, clip) for clip in clips], LogMel(), tmp_path / "store")
    assert (report.extracted, report.failures) == (len(clips), [])
    for rows in map(FeatureStore.open(tmp_path / "store").__getitem__, [c.name for c in clips]):
        assert rows.shape[1] == 128
        assert rows.astype(np.float32).std() > 1


@pytest.mark.parametrize(
    "options", [FrameOptions(fps=1.0), FrameOptions(num_segments=8), FrameOptions(short_side=256)]
)
def test_options_of_frames_are_refused(tmp_path: Path, options: FrameOptions) -> None:
    with pytest.raises(ConfigError, match="LogMel takes sound, 100 rows a second: leave out"):
        extract([], LogMel(), tmp_path / "store", options)
    assert not (tmp_path / "store").exists()


def test_an_encoder_of_sound_is_found_by_name() -> None:
    encoder = build_encoder("LogMel", {"bins": 64})
    assert encoder.fingerprint == {"name": "LogMel", "bins": 64, "mean": 0.0, "std": 1.0}
    with pytest.raises(
        PluginError, match="no feature encoder named 'LogMell'; did you mean LogMel"
    ):
        build_encoder("LogMell", {})
