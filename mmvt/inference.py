"""Trained models in use: vectors of videos and of sentences, and their scores."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from mmvt.checkpoint import load_into, load_state
from mmvt.config.compose import TEMPLATES, compose_template, finished
from mmvt.config.merge import merge, read_overrides, value_at
from mmvt.config.plan import Plan
from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError, DataError
from mmvt.features.extraction import Extraction
from mmvt.files import sha256_file
from mmvt.models.base import Encoder, consumed_ports
from mmvt.models.convert_mmpt import from_mmpt, is_mmpt
from mmvt.models.model import MultimodalModel
from mmvt.processors.layout import VideoTextLayout, video_sequence
from mmvt.processors.text.tokenizer import load_tokenizer

logger = logging.getLogger(__name__)

_BATCH = 64
_SECTIONS = ("encoders", "trunk", "head")
# where data lies, and how it is sampled in training, changes no vector
_DATA_KEYS = ("max_video_len", "max_len", "bert_name")


class LoadedModel:
    """A model ready to use, with all that it takes to read videos and sentences.

    Args:
        recipe: the task that it was made for.
        model: with its weights, in evaluation mode.
        checkpoint: where the weights are from; None = those that the model begins with.
    """

    def __init__(
        self, recipe: Recipe, model: MultimodalModel, checkpoint: Path | None = None
    ) -> None:
        self.recipe = recipe
        self.model = model
        self.checkpoint = checkpoint
        plan = _layout_plan(recipe)
        self.layout: VideoTextLayout = plan.build()
        self.tokenizer = load_tokenizer(plan.values["bert_name"])

    @cached_property
    def extraction(self) -> Extraction:
        """What turns video files into features; built when first used.

        Raises:
            ConfigError: the YAML has no section ``features``.
        """
        return self.recipe.extraction()

    @property
    def dim(self) -> int:
        """Width of the hidden states, and of the vectors."""
        return self.model.trunk.hidden_size

    @property
    def max_video_len(self) -> int:
        """Most feature steps that the model takes at once."""
        return self.layout.max_video_len

    @property
    def trained(self) -> bool:
        """Whether vectors mean something: there is a checkpoint, or nothing that needs training."""
        frozen = not any(parameter.requires_grad for parameter in self.model.trunk.parameters())
        return self.checkpoint is not None or frozen

    @cached_property
    def fingerprint(self) -> dict[str, str | None]:
        """What decides what vectors mean: the digests of settings and of the checkpoint."""
        data = self.recipe.layer.data
        settings = {key: data.get(key) for key in _SECTIONS}
        settings |= {key: data["dataset"].get(key) for key in _DATA_KEYS}
        text = json.dumps(settings, sort_keys=True)
        return {
            "settings": hashlib.sha256(text.encode()).hexdigest(),
            "checkpoint": None if self.checkpoint is None else sha256_file(self.checkpoint),
        }

    def encode_video(
        self,
        videos: str | PathLike[str] | Sequence[str | PathLike[str]] | Tensor,
        frames_per_second: float = 1.0,
    ) -> Float[Tensor, "videos vector"]:
        """Return a vector a video.

        A video of more than ``max_video_len`` steps is cut there, as in training.

        Args:
            videos: path of a video file, a list of them, or RGB frames of one (frames, height,
                width, 3) or several videos (videos, frames, height, width, 3), uint8 or floats
                from 0 to 1.
            frames_per_second: of frames that are given.

        Raises:
            MediaError: a file cannot be read.
            DataError: the frames have another form.
            ConfigError: the YAML has no section ``features``, or the model makes no vectors.
        """
        if isinstance(videos, Tensor):
            clips = videos if videos.ndim == 5 else videos[None]
            rows = [self.extraction.from_frames(clip, frames_per_second) for clip in clips]
            return self.encode_features(rows)
        paths = [videos] if isinstance(videos, (str, PathLike)) else videos
        return self.encode_features([self.extraction.from_file(Path(p)).rows for p in paths])

    def encode_features(
        self, features: Sequence[Float[np.ndarray, "_ ... dim"]]
    ) -> Float[Tensor, "videos vector"]:
        """Return a vector for each video of which features are given.

        Raises:
            ConfigError: the features are not what the model takes, or it makes no vectors.
        """
        self.model.check_encodes_apart()
        if not self.model.encoders and self.recipe.encoders:
            raise ConfigError(f"{self.recipe.path}: was loaded for texts only")
        longest = max((len(rows) for rows in features), default=0)
        if longest > self.max_video_len:
            logger.warning("%d steps of a video are cut to %d", longest, self.max_video_len)
        # [CLS] and the [SEP] of the video; then the [SEP] of no words
        caps, cmasks = (row[:3] for row in self.layout.text_sequence([]))
        vectors = []
        for first in range(0, len(features), _BATCH):
            pairs = [
                video_sequence(rows, self.layout.max_video_len)
                for rows in features[first : first + _BATCH]
            ]
            vfeats, vmasks = (torch.stack(part) for part in zip(*pairs, strict=True))
            batch = {"vfeats": vfeats, "vmasks": vmasks}
            batch |= {"caps": caps.expand(len(pairs), -1), "cmasks": cmasks.expand(len(pairs), -1)}
            with torch.inference_mode():
                out = self.model(**_moved(batch, self.model))
            vectors.append(_port(out, "pooled_video", self.recipe))
        return torch.cat(vectors) if vectors else torch.empty(0, self.dim)

    def encode_text(self, texts: str | Sequence[str]) -> Float[Tensor, "texts vector"]:
        """Return a vector a text; a text that is too long is cut.

        Raises:
            ConfigError: the model makes no vectors.
        """
        texts = [texts] if isinstance(texts, str) else texts
        vectors = []
        for first in range(0, len(texts), _BATCH):
            ids = self.tokenizer(list(texts[first : first + _BATCH]), add_special_tokens=False)
            pairs = [self.layout.text_sequence(tokens) for tokens in ids["input_ids"]]
            caps, cmasks = (torch.stack(part) for part in zip(*pairs, strict=True))
            longest = int(cmasks.sum(1).max())
            vectors.append(self._pooled_text(caps[:, :longest], cmasks[:, :longest]))
        return torch.cat(vectors) if vectors else torch.empty(0, self.dim)

    def scores(
        self, text: str | Sequence[str], video: str | PathLike[str] | Sequence[str] | Tensor
    ) -> Float[Tensor, "texts videos"]:
        """Return the score of every text with every video: the dot product of their vectors.

        Args:
            text: one or several texts.
            video: as :meth:`encode_video` takes it.
        """
        return self.encode_text(text) @ self.encode_video(video).T

    @torch.inference_mode()
    def _pooled_text(
        self, caps: Int[Tensor, "batch text_len"], cmasks: Bool[Tensor, "batch text_len"]
    ) -> Float[Tensor, "batch vector"]:
        """Return text vectors; the video has one step, which is padding."""
        model = self.model
        model.check_encodes_apart()
        nothing = torch.zeros(len(caps), 1, self.dim)
        encoders = [cast("type[Encoder]", plan.cls) for plan in self.recipe.encoders.values()]
        ports = [port for encoder in encoders for port in encoder.produces]
        values = {"caps": caps, "cmasks": cmasks, "vmasks": nothing[..., 0].bool()}
        values = _moved({**values, **dict.fromkeys(ports, nothing)}, model)
        for part in (model.trunk, model.head):
            required, _ = consumed_ports(part)
            values |= part(**{name: values[name] for name in required})
        return _port(values, "pooled_text", self.recipe)


class MMVTModel(nn.Module):
    """Scores raw frames against texts, from pixels to numbers.

    Args:
        loaded: a model and what turns frames into its features.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.mmmodel = loaded.model
        self._loaded = loaded

    @classmethod
    def from_pretrained(
        cls,
        config: str | PathLike[str],
        checkpoint: str | PathLike[str] | None = None,
        overrides: Sequence[str] = (),
    ) -> tuple[MMVTModel, PreTrainedTokenizerBase, TextAligner]:
        """Return a model, its tokenizer, and what makes inputs of token ids; see :func:`load`.

        Without ``checkpoint`` the best one of the task's own run is taken, if there is any.
        """
        recipe = Recipe.load(find_config(Path(config)), overrides)
        loaded = _loaded(recipe, Path(checkpoint) if checkpoint else _best_checkpoint(recipe))
        return cls(loaded), loaded.tokenizer, TextAligner(loaded.layout)

    @torch.inference_mode()
    def forward(
        self,
        video_frames: Num[Tensor, " *batch_seconds_fps_height_width_3"],
        caps: Int[Tensor, "texts text_len"],
        cmasks: Bool[Tensor, "texts text_len"],
        return_score: bool = False,
    ) -> dict[str, Tensor]:
        """Return the ports of the model, or the score of each video with its own text alone.

        Frames are encoded where the feature encoder is; all else happens where the model is.

        Args:
            video_frames: RGB (batch, seconds, frames a second, height, width, 3), uint8 or floats
                from 0 to 1; of any size.
            caps: token ids, as the aligner makes them.
            cmasks: their mask.
            return_score: return ``{"score": (batch,)}``.

        Raises:
            DataError: frames, or their number of videos and texts, do not fit.
            ConfigError: the video is longer than the model takes.
        """
        if video_frames.ndim != 6 or len(video_frames) != len(caps):
            raise DataError(
                f"frames {tuple(video_frames.shape)} and caps {tuple(caps.shape)} must be (batch, "
                "seconds, frames a second, height, width, 3) and (batch, text_len)"
            )
        rate = float(video_frames.shape[2])
        extraction = self._loaded.extraction
        rows = [extraction.from_frames(clip, rate) for clip in video_frames.flatten(1, 2)]
        vfeats = torch.from_numpy(np.stack(rows)).float()
        batch = {"vfeats": vfeats, "vmasks": torch.ones(vfeats.shape[:2], dtype=torch.bool)}
        out = self.mmmodel(**_moved({**batch, "caps": caps, "cmasks": cmasks}, self.mmmodel))
        if not return_score:
            return out
        recipe = self._loaded.recipe
        pairs = _port(out, "pooled_video", recipe) * _port(out, "pooled_text", recipe)
        return {"score": pairs.sum(-1)}


class TextAligner:
    """Makes ``caps`` and ``cmasks`` of token ids.

    Args:
        layout: writes the sequence.
    """

    def __init__(self, layout: VideoTextLayout) -> None:
        self.layout = layout

    def build_text(
        self, text_ids: Sequence[int]
    ) -> tuple[Int[Tensor, " text_len"], Bool[Tensor, " text_len"]]:
        """Return the (ids, mask) of a text given without special tokens."""
        return self.layout.text_sequence(text_ids)

    _build_text_seq = build_text  # its name in VideoCLIP's published example


def load(
    config: str | PathLike[str],
    checkpoint: str | PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    trusted: bool = True,
    trust_code: bool = False,
    only_text: bool = False,
) -> LoadedModel:
    """Return the model of a task YAML, ready to use.

    Args:
        config: a task YAML, in the working directory or among the ones that come with mmvt.
        checkpoint: its weights, ours or the original's; None = those that it begins with.
        overrides: ``key.sub=value``.
        trusted: the YAML and the overrides may import plugins and read the environment.
        trust_code: what the YAML includes may, too.
        only_text: leave out the encoders of features: all that texts need is ready sooner.

    Raises:
        ConfigError: the YAML is wrong.
        CheckpointError: the weights are unsafe or do not fit.
    """
    path = find_config(Path(config))
    if trusted:
        recipe = Recipe.load(path, overrides, trust_code=trust_code)
    else:
        over = read_overrides(overrides)
        if "plugins" in over.data or "${" in json.dumps(over.data):
            raise ConfigError(f"{path}: its overrides ask for code or for the environment")
        layer = merge(compose_template(path, path), over)
        recipe = Recipe.from_layer(path, finished(layer, path))
    return _loaded(recipe, None if checkpoint is None else Path(checkpoint), only_text=only_text)


def find_config(path: Path) -> Path:
    """Return a YAML file: in the working directory, else among the ones that come with mmvt."""
    packaged = TEMPLATES / path.as_posix().removeprefix("projects/")
    return packaged if packaged.is_file() and not path.exists() else path


def _loaded(recipe: Recipe, checkpoint: Path | None, *, only_text: bool = False) -> LoadedModel:
    model = _without_encoders(recipe) if only_text else recipe.model()
    if checkpoint is not None:
        state = load_state(checkpoint)
        state = from_mmpt(state) if is_mmpt(state) else state
        load_into(model, state, allow_unexpected=["encoders.*"] if only_text else [])
    loaded = LoadedModel(recipe, model.eval(), checkpoint)
    if not loaded.trained:
        logger.warning("%s is used without a checkpoint: it is untrained", recipe.path)
    return loaded


def _best_checkpoint(recipe: Recipe) -> Path | None:
    folder = value_at(recipe.fairseq, ("checkpoint", "save_dir"))
    best = Path(folder, "checkpoint_best.pt") if isinstance(folder, str) else None
    return best if best is not None and best.is_file() else None


def _without_encoders(recipe: Recipe) -> MultimodalModel:
    trunk = recipe.plans["trunk"].build()
    head = recipe.plans["head"].build(hidden_size=trunk.hidden_size)
    return MultimodalModel({}, trunk, head)


def _layout_plan(recipe: Recipe) -> Plan:
    plan: Plan = recipe.plans["dataset"].values["aligner"].values["layout"]
    if not issubclass(plan.cls, VideoTextLayout):
        raise ConfigError(
            f"{recipe.path}: the layout {plan.cls.__name__} is no VideoTextLayout, so that videos "
            "and sentences cannot be encoded apart"
        )
    return plan


def _moved(batch: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return tensors where the model is."""
    device = next(model.parameters()).device
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _port(values: Mapping[str, Tensor], name: str, recipe: Recipe) -> Tensor:
    if name not in values:
        head = recipe.plans["head"].cls.__name__
        raise ConfigError(f"{recipe.path}: {head} makes no {name}, so that there are no vectors")
    return values[name].cpu()
