"""S3D against recorded outputs of the original code, with weights made by rule from names."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mmvt.features.s3d.fast import FastS3D
from mmvt.features.s3d.network import S3DNetwork, space_to_depth
from mmvt.features.s3d.text import S3DTextEncoder, read_dictionary
from tests.golden.conftest import Golden
from tests.s3d_weights import named_weights

pytestmark = pytest.mark.golden

CLOSE = {"rtol": 1e-3, "atol": 1e-5}


@pytest.fixture(scope="module")
def described(golden: Golden) -> dict[str, Any]:
    return golden.json("s3d/s3d.json")


@pytest.fixture(scope="module")
def recorded(golden: Golden) -> dict[str, Tensor]:
    return golden.tensors("s3d/s3d.safetensors")


@pytest.fixture(scope="module")
def network(described: dict[str, Any]) -> S3DNetwork:
    return named_weights(S3DNetwork(), described["seed"])


def clips_of(described: dict[str, Any]) -> dict[str, Tensor]:
    """Return the recorded clips, which are described in a sentence, by the names of outputs."""
    text = described["inputs"]
    lengths = {
        int(length): int(blocks)
        for blocks, listed in re.findall(r"(\d+) \(T=([\d,]+)\)", text)
        for length in listed.split(",")
    }
    side, other_side, other_number = map(
        int, re.search(r"h0=(\d+) \((\d+) for k=(\d+)\)", text).groups()
    )
    clips = {}
    for number, listed in re.findall(r"k=(\d+) \(([\d,]+)\)", text):
        shape = [int(size) for size in listed.split(",")]
        blocks = other_side if int(number) == other_number else side
        small = (*shape[:2], lengths[shape[2]], blocks, blocks)
        pixels = np.random.RandomState(described["seed"] * 10 + int(number)).random_sample(small)
        for axis in (2, 3, 4):
            pixels = pixels.repeat(shape[axis] // small[axis], axis)
        last = int(number) == other_number
        name = "space_to_depth" if last else f"clip{shape[2]}x{shape[3]}"
        clips[name] = torch.from_numpy(pixels.astype(np.float32))
    return clips


def test_keys_and_shapes_are_those_of_the_published_weights(golden: Golden, network: S3DNetwork):
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert list(ours.items()) == list(golden.json("s3d/state_keys.json").items())


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
def test_every_recorded_output_is_the_originals(
    golden: Golden,
    described: dict[str, Any],
    recorded: dict[str, Tensor],
    network: S3DNetwork,
    fast: bool,
):
    videos = FastS3D(network) if fast else network
    ours: dict[str, Tensor] = {}
    for name, clips in clips_of(described).items():
        if name == "space_to_depth":
            ours["space_to_depth.out"] = space_to_depth(clips)
            continue
        with torch.inference_mode():
            ours |= {f"{name}.{key}": value for key, value in videos(clips).items()}
    words = read_dictionary(golden.path("s3d/s3d_dict.npy"))
    assert words == described["words"]
    texts = S3DTextEncoder(network.text_module, words)
    ours["text.ids"] = texts.token_ids(described["sentences"])
    ours["text.embedding"] = texts.encode(described["sentences"])
    assert recorded.keys() <= ours.keys()
    for name, expected in recorded.items():
        torch.testing.assert_close(ours[name], expected, **CLOSE, msg=lambda m, n=name: f"{n}: {m}")
        if name in described["embedding_stats"]:
            mean, deviation = described["embedding_stats"][name]
            assert ours[name].double().mean().item() == pytest.approx(mean, rel=1e-3, abs=1e-4)
            assert ours[name].double().std().item() == pytest.approx(deviation, rel=1e-3)
