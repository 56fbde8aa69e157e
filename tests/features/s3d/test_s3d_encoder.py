from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmvt.datasets.store import FeatureStore
from mmvt.errors import CheckpointError, ConfigError, MissingWeightsError
from mmvt.features.extraction import Extraction
from mmvt.features.s3d.encoder import S3D, load_text_encoder
from mmvt.features.s3d.network import S3DNetwork
from mmvt.files import sha256_file
from mmvt_cli import extract
from tests.videos import numbered_frame, write_frames

SIZE = 32


@pytest.fixture(scope="module")
def encoder(weights: Path) -> S3D:
    return S3D(weights=str(weights), frames_per_second=4, frame_size=SIZE)


def frames(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)


def test_a_second_is_a_row_of_the_network(encoder: S3D, network: S3DNetwork) -> None:
    two = frames(8)
    rows = encoder.encode(two)
    assert rows.shape == (2, 1, encoder.dim) == (2, 1, 512)
    clips = two.view(2, 4, SIZE, SIZE, 3).permute(0, 4, 1, 2, 3) / 255
    expected = network(clips)["video_embedding"]
    torch.testing.assert_close(rows[:, 0], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(encoder.encode(two / 255), rows)
    torch.testing.assert_close(encoder.encode(two[4:]), rows[1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("output", ["video_embedding", "mixed_5c"])
def test_fast_and_plain_rows_are_the_same_and_go_together(weights: Path, output: str) -> None:
    fast, plain = (
        S3D(
            weights=str(weights),
            frames_per_second=4,
            frame_size=SIZE,
            fast=fast,
            output=output,  # type: ignore[arg-type]
        )
        for fast in (True, False)
    )
    rows = plain.encode(frames(4))
    assert rows.shape == (1, 1, plain.dim)
    assert ((fast.encode(frames(4)) - rows).norm() / rows.norm()).item() < 1e-5
    assert fast.fingerprint == plain.fingerprint


def test_what_changes_features_is_in_the_fingerprint(weights: Path) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"output": "mixed_5c"},
        {"frames_per_second": 16},
        {"frame_size": 112},
    ]
    prints = [S3D(weights=str(weights), **one).fingerprint for one in options]
    assert all(prints[i] != prints[j] for i in range(4) for j in range(i))
    assert prints[0] == {
        "name": "S3D",
        "output": "video_embedding",
        "frames_per_second": 30,
        "frame_size": 224,
        "weights_sha256": sha256_file(weights),
    }


@pytest.mark.parametrize("seconds", [0.25, 0.75, 1.0, 1.25, 2.0])
def test_a_second_that_is_not_full_goes_on_with_its_last_frame(
    encoder: S3D, seconds: float
) -> None:
    there = frames(int(seconds * 4))
    filled = torch.cat([there, there[-1:].expand(-len(there) % 4, -1, -1, -1)])
    rows = Extraction(encoder=encoder).from_frames(there, 4.0)
    np.testing.assert_allclose(rows, encoder.encode(filled)[:, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["frames_per_second", "frame_size"])
@pytest.mark.parametrize("size", [-2, 0, 1, 25])
def test_odd_and_empty_clips_are_refused(name: str, size: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be even and at least 2, not {size}"):
        S3D(**{name: size})  # type: ignore[arg-type]


def test_missing_weights_are_told_with_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"pretrained_models/s3d_howto100m\.pth is missing; .* put the file of https://"
    with pytest.raises(MissingWeightsError, match=message):
        S3D()
    (tmp_path / "pretrained_models").mkdir()
    kept = tmp_path / "pretrained_models" / "s3d_howto100m.pth"
    kept.write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="no weights of S3D"):
        S3D()
    kept.unlink()
    kept.symlink_to(weights)
    assert S3D().fingerprint["weights_sha256"] == sha256_file(weights)


def test_text_encoder_comes_from_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingWeightsError, match=r"put the file of https://.*/s3d_dict\.npy"):
        load_text_encoder(str(weights))
    np.save(tmp_path / "s3d_dict.npy", np.array(["fry", "onion"]))
    encoder = load_text_encoder(str(weights))
    assert encoder.token_ids(["an onion"])[0, 0] == 2
    assert encoder.encode(["an onion"]).shape == (1, 512)


def test_videos_become_a_store_of_a_row_a_second(
    tmp_path: Path, weights: Path, encoder: S3D, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name, count in (("short", 3), ("two", 24), ("more", 27)):
        write_frames(folder / f"{name}.mp4", [numbered_frame(n) for n in range(count)], rate=12)
    options = ["--option", f"weights={weights}", "--option", f"frame_size={SIZE}"]
    argv = [str(folder), "--encoder", "S3D:frames_per_second=4", *options]
    assert extract.main([*argv, "--out", str(tmp_path / "f"), "--dtype", "float32"]) == 0
    assert "3 extracted" in capsys.readouterr().out
    store = FeatureStore.open(tmp_path / "f")
    assert {name: len(store[name]) for name in store.ids} == {
        "short.mp4": 1,
        "two.mp4": 2,
        "more.mp4": 3,
    }
    assert store.manifest.fps == 1
    assert store.manifest.encoder["weights_sha256"] == encoder.fingerprint["weights_sha256"]
    rows = Extraction(encoder=encoder).from_file(folder / "more.mp4").rows
    np.testing.assert_allclose(store["more.mp4"], rows, atol=1e-4, rtol=1e-4)
    assert extract.main([*argv, "--fps", "2", "--out", str(tmp_path / "g")]) == 2
    assert "S3D gives 1 steps a second" in capsys.readouterr().err


def test_real_clips_have_a_row_a_second_that_tells_them_apart(
    tmp_path: Path, weights: Path, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("sample-videos__eat.mkv", "mmaction2__test.avi"):
        (folder / name).symlink_to(shared / "data" / "videos" / name)
    options = ["--option", f"weights={weights}", "--option", "frame_size=64"]
    argv = [str(folder), "--encoder", "S3D", *options, "--out", str(tmp_path / "f")]
    assert extract.main(argv) == 0
    store = FeatureStore.open(tmp_path / "f")
    means = []
    for name in store.ids:
        rows = store[name].astype(np.float32)
        assert rows.shape[1] == 512
        assert np.isfinite(rows).all()
        means.append(rows.mean(0))
    assert np.linalg.norm(means[0] - means[1]) > 0.1
