"""S3D, the video network that VideoCLIP's features come from, as a feature encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.features.base import FeatureEncoder
from mmvt.features.s3d.fast import FastS3D
from mmvt.features.s3d.network import EMBEDDING, WIDTH, S3DNetwork, load_network
from mmvt.features.s3d.text import S3DTextEncoder, read_dictionary
from mmvt.features.weights import kept_file
from mmvt.files import sha256_file

WEIGHTS, DICTIONARY = "s3d_howto100m.pth", "s3d_dict.npy"
ORIGIN = "https://www.rocq.inria.fr/cluster-willow/amiech/howto100m/"


class S3D(FeatureEncoder):
    """S3D trained on HowTo100M by MIL-NCE: one row a second of video.

    The weights are the authors' and do not come with mmvt. A second that the video does not fill
    goes on with its last frame.

    Args:
        output: ``video_embedding`` (512), which VideoCLIP takes, or ``mixed_5c`` (1024), the layer
            before it.
        frames_per_second: frames that make a row; trained at various rates, VideoCLIP takes 30.
        frame_size: height and width of the frames in pixels.
        weights: file in ``pretrained_models/``, or a path.
        fast: run the network rewritten for speed, whose numbers are the same up to rounding.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``frames_per_second`` or ``frame_size`` is odd or out of range.
        MissingWeightsError: the weights are not there; says what to put where.
        CheckpointError: the file is unsafe or does not hold these weights.

    Source: arXiv 1912.06430; VideoCLIP (arXiv 2109.14084) takes a row a second, at 30 frames.
    """

    takes_floats = True

    def __init__(
        self,
        *,
        output: Literal["video_embedding", "mixed_5c"] = "video_embedding",
        frames_per_second: int = 30,
        frame_size: int = 224,
        weights: str = WEIGHTS,
        fast: bool = True,
        device: str = "cpu",
    ) -> None:
        sizes = {"frames_per_second": frames_per_second, "frame_size": frame_size}
        problems = [
            f"S3D halves clips at once: {name} must be even and at least 2, not {size}"
            for name, size in sizes.items()
            if size < 2 or size % 2
        ]
        if problems:
            raise ConfigError(problems)
        self.output = output
        self.clip_frames = frames_per_second
        self.frames_per_second = float(frames_per_second)
        self.frame_size = frame_size
        self.dim = {"video_embedding": EMBEDDING, "mixed_5c": WIDTH}[output]
        path = kept_file(weights, ORIGIN + WEIGHTS)
        self._sha256 = sha256_file(path)
        self.device = torch.device(device)
        plain = load_network(path)
        self.network: S3DNetwork | FastS3D = FastS3D(plain) if fast else plain
        self.network.to(self.device)

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights; ``fast`` is none that changes the features."""
        return {
            "name": type(self).__name__,
            "output": self.output,
            "frames_per_second": self.clip_frames,
            "frame_size": self.frame_size,
            "weights_sha256": self._sha256,
        }

    @override
    @torch.inference_mode()
    def encode(
        self, frames: UInt8[Tensor, "frames h w 3"] | Float[Tensor, "frames h w 3"]
    ) -> Float[Tensor, "steps 1 dim"]:
        """Return the features of RGB frames, one step a second."""
        pixels = frames.to(self.device, torch.float32)
        if not frames.is_floating_point():
            pixels = pixels / 255
        clips = pixels.unflatten(0, (-1, self.clip_frames)).permute(0, 4, 1, 2, 3)
        return self.network(clips)[self.output].unsqueeze(1).cpu()


def load_text_encoder(weights: str = WEIGHTS, dictionary: str = DICTIONARY) -> S3DTextEncoder:
    """Return what embeds texts beside ``video_embedding``.

    Args:
        weights: file in ``pretrained_models/``, or a path.
        dictionary: likewise.

    Raises:
        MissingWeightsError: a file is not there; says what to put where.
        CheckpointError: a file is unsafe or damaged.
    """
    words = read_dictionary(kept_file(dictionary, ORIGIN + DICTIONARY))
    network = load_network(kept_file(weights, ORIGIN + WEIGHTS))
    return S3DTextEncoder(network.text_module, words)
