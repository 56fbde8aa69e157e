"""A world of plain colours: videos, and a model that knows the words for them, without training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.corpus import write_tokenizer
from tests.videos import write_frames

RGB = {"red": (220, 20, 20), "green": (20, 220, 20), "blue": (20, 20, 220)}

PLUGIN = '''\
import torch

from mmvt.features.base import FeatureEncoder
from mmvt.models.base import Encoder, Trunk
from mmvt.processors.text.tokenizer import load_tokenizer


class ColourFeatures(FeatureEncoder):
    """The mean colour of a frame, from -1 to 1.

    Args:
        offset: added to it.
        clip_frames: frames a step.
    """

    dim = 3
    frame_size = 32

    def __init__(self, *, offset: float = 0.0, clip_frames: int = 1) -> None:
        self.offset, self.clip_frames = offset, clip_frames

    @property
    def fingerprint(self):
        return {"name": "ColourFeatures", "offset": self.offset}

    def encode(self, frames):
        assert frames.shape[1:] == (32, 32, 3)
        assert len(frames) % self.clip_frames == 0
        colours = frames.float().mean((1, 2)) / 127.5 - 1 + self.offset
        return colours.unflatten(0, (-1, self.clip_frames)).mean(1, keepdim=True)


class ColourTokens(Encoder):
    """Features as they are.

    Args:
        hidden_size: width.
    """

    produces = ("video_embeddings",)

    def __init__(self, *, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size

    def forward(self, vfeats):
        return {"video_embeddings": vfeats}


class ColourTrunk(Trunk):
    """The colour of a word; other words have none.

    Args:
        bert_name: the tokenizer.
        frozen: there is nothing to train.
        gain: of the words.
    """

    produces = ("hidden_video", "hidden_text")
    hidden_size = 3

    def __init__(self, *, bert_name: str, frozen: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        tokenizer = load_tokenizer(bert_name)
        colours = torch.zeros(len(tokenizer), 3)
        for number, word in enumerate(("red", "green", "blue")):
            colours[tokenizer.convert_tokens_to_ids(word)] = -1.0
            colours[tokenizer.convert_tokens_to_ids(word), number] = gain
        self.colours = torch.nn.Parameter(colours, requires_grad=not frozen)

    def forward(self, video_embeddings, caps):
        text = self.colours[torch.cat([caps[:, :1], caps[:, 2:]], dim=1)]
        return {"hidden_video": video_embeddings, "hidden_text": text}
'''

TASK = """\
plugins: [colours.py]
features: {{encoder: ColourFeatures, fps: 1}}
dataset:
  meta_processor: CaptionMetaProcessor
  video_processor: StoreVideoProcessor
  text_processor: CaptionTextProcessor
  aligner: PairAligner
  annotations: captions.csv
  store: features
  bert_name: {tokenizer}
  max_video_len: 4
  max_len: 16
encoders: {{video: ColourTokens}}
trunk: ColourTrunk
head: CosineHead
"""


def write_colour_task(folder: Path) -> Path:
    """Write the task, its plugins and its tokenizer; return the path of the YAML."""
    tokenizer = write_tokenizer(folder / "tokenizer")
    (folder / "colours.py").write_text(PLUGIN)
    path = folder / "colours.yaml"
    path.write_text(TASK.format(tokenizer=tokenizer))
    return path


def write_colours(path: Path, colours: Sequence[str], rate: int = 4) -> Path:
    """Write a video that shows each colour for a second; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seconds = [np.full((36, 64, 3), RGB[name], np.uint8) for name in colours]
    return write_frames(path, [frame for frame in seconds for _ in range(rate)], rate=rate)
