from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.features.reader import read_frames
from mmvt.features.s3d.fast import FastS3D
from mmvt.features.s3d.network import S3DNetwork


@pytest.fixture(scope="module")
def fast(network: S3DNetwork) -> FastS3D:
    return FastS3D(network)


def check(network: S3DNetwork, fast: FastS3D, clips: Tensor) -> None:
    """Compare row by row: the length of the difference with that of the row."""
    with torch.inference_mode():
        expected, found = network(clips), fast(clips)
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        difference = (found[name] - rows).norm(dim=1) / rows.norm(dim=1)
        assert difference.max() < 1e-5, name


@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 30, 64, 64),
        (2, 3, 16, 64, 64),
        (3, 3, 10, 46, 34),
        (2, 3, 12, 30, 62),
        (1, 3, 32, 32, 32),
        (2, 3, 2, 2, 2),
        (1, 3, 4, 6, 10),
    ],
)
def test_random_clips_give_the_numbers_of_the_plain_network(
    network: S3DNetwork, fast: FastS3D, shape: tuple[int, ...]
) -> None:
    check(network, fast, torch.rand(shape, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", ["Ask-Anything__yoga.mp4", "sample-videos__eat.mkv"])
def test_real_clips_give_the_numbers_of_the_plain_network(
    network: S3DNetwork, fast: FastS3D, shared: Path, name: str
) -> None:
    path = shared / "data" / "videos" / name
    frames = next(read_frames(path, fps=30.0, short_side=112, crop=112, chunk=30))[0]
    seconds = torch.from_numpy(np.stack([frames[:16], frames[14:]])).permute(0, 4, 1, 2, 3) / 255
    check(network, fast, seconds)
    check(network, fast, seconds[1:])
    check(network, fast, seconds[:1, :, :14, :90, :70])  # halves that are odd


def test_black_clips_and_clips_beyond_white_are_no_exception(
    network: S3DNetwork, fast: FastS3D
) -> None:
    check(network, fast, torch.zeros(1, 3, 4, 32, 32))
    check(network, fast, torch.randn(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0)))


def test_a_clip_has_the_same_numbers_alone_and_among_others(fast: FastS3D) -> None:
    clips = torch.rand(3, 3, 6, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = fast(clips)["video_embedding"]
        torch.testing.assert_close(fast(clips[1:2])["video_embedding"], together[1:2])


def test_numbers_without_the_fused_operation_are_the_same(
    network: S3DNetwork, fast: FastS3D
) -> None:
    unfused = FastS3D(network)
    for part in unfused.modules():
        if hasattr(part, "fused"):
            part.fused = False
    check(network, unfused, torch.rand(1, 3, 4, 32, 32))


def test_network_stays_as_it_is_and_takes_other_layouts(network: S3DNetwork) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fast = FastS3D(network)
    clip = torch.rand(1, 4, 32, 32, 3).permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        found = fast(clip)["mixed_5c"]
        torch.testing.assert_close(found, fast(clip.contiguous())["mixed_5c"])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_odd_clips_are_refused_here_too(fast: FastS3D) -> None:
    with pytest.raises(ValueError, match="must be even"):
        fast(torch.zeros(1, 3, 5, 32, 32))
