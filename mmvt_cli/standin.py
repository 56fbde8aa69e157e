"""What stands in for data and pre-trained weights where only the fit of parts is checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmvt.config.fields import fields_of
from mmvt.config.merge import value_at
from mmvt.config.plan import Plan
from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import collate
from mmvt.models.expert_shapes import expert_shapes
from mmvt.processors.base import TextClips
from mmvt.processors.labels import (
    ChoiceClips,
    ClassClips,
    HighlightClips,
    MomentClips,
    Spans,
    StepClips,
)

VOCABULARY = 105
TINY_BERT = {
    "model_type": "bert",
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 2048,
}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ANSWERS = ("yes", "no")
CAPTIONS = 5
EXAMPLES = 2


@dataclass(frozen=True)
class AnyClips(  # type: ignore[misc]  # scaled() differs, but times are in steps already
    ChoiceClips, ClassClips, StepClips, MomentClips, HighlightClips
):
    """Captions with the labels of all kinds, for whatever an aligner asks for."""


def shrink(recipe: Recipe, folder: Path) -> None:
    """Have a recipe use a tiny tokenizer and BERT, which are written to a folder.

    Args:
        recipe: its plans are changed.
        folder: it must be there as long as parts are built.
    """
    words = [f"word{number}" for number in range(VOCABULARY - len(SPECIAL) - len(ANSWERS))]
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *words, *ANSWERS]), encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(TINY_BERT), encoding="utf-8")
    small = {
        "pretrained": False,
        "bert_name": str(folder),
        "bert_config": None,
        "vocab_size": None,
        "num_hidden_layers": 1,
        "num_hidden_video_layers": 1,
    }
    for slot in ("trunk", "head"):
        plan = recipe.plans[slot]
        names = {item.name for item in fields_of(plan.cls)}
        if "pretrained" in names:  # others bring weights that nothing tiny can stand in for
            plan.values |= {name: value for name, value in small.items() if name in names}
        if plan.values.get("num_iso_layer"):
            plan.values["num_iso_layer"] = 1
    _use_tokenizer(recipe.plans["dataset"], str(folder))


def _use_tokenizer(plan: Plan, folder: str) -> None:
    if "bert_name" in {item.name for item in fields_of(plan.cls)}:
        plan.values["bert_name"] = folder
    for value in plan.values.values():
        if isinstance(value, Plan):
            _use_tokenizer(value, folder)


def make_batch(recipe: Recipe) -> dict[str, Any]:
    """Return a batch that the aligner of a recipe makes of random features and captions."""
    aligner = recipe.plans["dataset"].values["aligner"]
    rng = np.random.default_rng(0)
    layout = aligner.values["layout"].values if "layout" in aligner.values else {}
    num_steps = 8 + int(layout.get("max_video_len", 32))  # more than a window
    size = min(EXAMPLES, value_at(recipe.fairseq, ("dataset", "batch_size")) or EXAMPLES)
    built, rows = aligner.build(split="train", seed=recipe.seed), _rows(recipe)
    examples = []
    for number in range(size):
        features = rng.random((num_steps, *rows), dtype=np.float32)
        clips = built.example_clips() or any_clips(num_steps, rng)
        example = built(f"video {number}", features, clips, rng)
        examples.append({**example, "video_id": f"video {number}"})
    return collate(examples)


def _rows(recipe: Recipe) -> tuple[int, ...]:
    """Return the shape of the features of a step."""
    if "video" not in recipe.encoders:
        return (512,)
    plan = recipe.encoders["video"]
    if "experts" in plan.values:
        return (sum(shape.columns for shape in expert_shapes(plan.values["experts"]).values()),)
    fields = {item.name: item.default for item in fields_of(plan.cls)} | plan.values
    grid, width = fields.get("grid", 1), fields.get("input_dim", 512)
    return (grid**2, width) if grid > 1 else (width,)


def any_clips(num_steps: int, rng: np.random.Generator) -> TextClips:
    """Return captions of random words that cover a video one after another, with labels."""
    edges = np.linspace(0, num_steps, CAPTIONS + 1)
    words = rng.integers(len(SPECIAL), VOCABULARY, (CAPTIONS, 4))
    return AnyClips(
        start=edges[:-1],
        end=edges[1:],
        cap=words.tolist(),
        answer=1,
        label=1,
        folds=(1,),
        spans=Spans(label=np.array([0, 1]), start=edges[:2], end=edges[1:3]),
        task="task",
        moments=np.array([[0, 1]]),
        chunk=5.0,
        windows=np.array([[0.0, 2.0]]),
        clip_ids=np.array([0]),
        saliency=np.array([[1]]),
        duration=float(num_steps),
    )
