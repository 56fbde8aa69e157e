"""How fast each encoder is on one core, on a real clip: the table of docs/features.md.

    python -m bench.encoders CLIP [--only NAME]

Where weights are no part of mmvt, networks have the published shape and random weights, which
changes no time. Times are CPU time of the process: on a shared machine they vary by a tenth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    PreTrainedModel,
    TimesformerConfig,
    TimesformerModel,
    VideoMAEConfig,
    VideoMAEModel,
    WhisperConfig,
    WhisperModel,
    XCLIPConfig,
    XCLIPModel,
)

from bench.s3d import random_network
from mmvt.features.audio import read_sound
from mmvt.features.base import AudioEncoder, FeatureEncoder
from mmvt.features.efficientnet import EfficientNetLite0
from mmvt.features.hf.image import HFVisionEncoder
from mmvt.features.hf.tokens import SpatioTemporalTokens
from mmvt.features.hf.video import HFVideoEncoder
from mmvt.features.logmel import LogMel
from mmvt.features.reader import read_frames
from mmvt.features.s3d.encoder import S3D
from mmvt.features.whisper import WhisperEncoder, WhisperLogMel

VISION: dict[str, Any] = {"image_size": 224, "patch_size": 16}
LARGE: dict[str, Any] = {
    "image_size": 224,
    "patch_size": 14,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
TINY: dict[str, Any] = {
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "decoder_layers": 1,
}
REPEATS = 3
SECONDS = 30
Made = tuple[str, Callable[[], FeatureEncoder | AudioEncoder]]


def main() -> int:
    """Print a line for each encoder."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.encoders")
    parser.add_argument("clip", type=Path, help="a video with sound")
    parser.add_argument("--only", default="", help="encoders whose names hold this")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in encoders(Path(folder)):
            if args.only in name:
                print(line(name, make(), args.clip), flush=True)
    return 0


def encoders(folder: Path) -> Iterator[Made]:
    """Yield each encoder by the name it has in the table."""
    yield "EfficientNetLite0", EfficientNetLite0
    yield "S3D", lambda: S3D(weights=str(s3d_file(folder / "s3d.pth")))
    yield (
        "HFVisionEncoder ViT-B/32",
        lambda: images(folder, CLIPVisionModel(CLIPVisionConfig()), output="cls"),
    )
    yield (
        "HFVisionEncoder ViT-L/14",
        lambda: images(folder, CLIPVisionModel(CLIPVisionConfig(**LARGE)), output="patches"),
    )
    yield (
        "SpatioTemporalTokens ViT-L/14",
        lambda: SpatioTemporalTokens(
            model=saved(folder, CLIPVisionModel(CLIPVisionConfig(**LARGE)))
        ),
    )
    yield (
        "HFVideoEncoder VideoMAE-base",
        lambda: videos(folder, VideoMAEModel(VideoMAEConfig(**VISION, use_mean_pooling=False))),
    )
    yield (
        "HFVideoEncoder TimeSformer-base",
        lambda: videos(folder, TimesformerModel(TimesformerConfig(**VISION))),
    )
    yield "HFVideoEncoder X-CLIP-base/32", lambda: videos(folder, XCLIPModel(XCLIPConfig()))
    yield "LogMel", LogMel
    yield "WhisperLogMel", WhisperLogMel
    yield (
        "WhisperEncoder tiny",
        lambda: WhisperEncoder(model=saved(folder, WhisperModel(WhisperConfig(**TINY)))),
    )


def line(name: str, encoder: FeatureEncoder | AudioEncoder, clip: Path) -> str:
    """Return name, width and speed of an encoder."""
    if isinstance(encoder, AudioEncoder):
        samples = np.concatenate([part.samples for part in read_sound(clip, window=16000)])
        sound = torch.from_numpy(np.resize(samples, SECONDS * encoder.sample_rate))
        taken = seconds(lambda: encoder.encode(sound))
        return f"{name}: dim {encoder.dim}, {SECONDS / taken:.0f} s of sound a second"
    count = encoder.clip_frames if encoder.clip_frames > 1 else 4
    parts = read_frames(
        clip,
        fps=encoder.frames_per_second or 8.0,
        short_side=encoder.frame_size,
        crop=encoder.frame_size,
        chunk=count,
    )
    frames = torch.from_numpy(next(iter(parts))[0])
    taken = seconds(lambda: encoder.encode(frames))
    steps = len(frames) // encoder.step_frames
    return f"{name}: dim {encoder.dim}, grid {encoder.grid}, {steps / taken:.2f} steps a second"


def seconds(call: Callable[[], object]) -> float:
    """Return the median CPU seconds of a call, after one that is not counted."""
    call()
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def images(folder: Path, network: PreTrainedModel, **options: Any) -> HFVisionEncoder:
    """Return an encoder of images with the weights of a network."""
    return HFVisionEncoder(model=saved(folder, network), **options)


def videos(folder: Path, network: PreTrainedModel) -> HFVideoEncoder:
    """Return an encoder of clips with the weights of a network."""
    return HFVideoEncoder(model=saved(folder, network))


def saved(folder: Path, network: PreTrainedModel) -> str:
    """Save a network as published ones are; return the folder."""
    network.save_pretrained(folder / "model")
    settings = {"size": {"height": 224}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "model" / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(folder / "model")


def s3d_file(path: Path) -> Path:
    """Write random weights of S3D as the published file holds them; return the path."""
    torch.save(random_network().state_dict(), path)
    return path


if __name__ == "__main__":
    raise SystemExit(main())
