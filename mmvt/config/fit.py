"""Whether the parts of a recipe fit each other, which no part can tell by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmvt.config.plan import Plan
from mmvt.errors import ConfigError
from mmvt.expert_order import MAIN
from mmvt.processors.base import INPUT_KEYS
from mmvt.processors.expert_words import text_experts
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.text.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from mmvt.config.recipe import Recipe
    from mmvt.models.model import MultimodalModel


def check_parts(recipe: Recipe) -> None:
    """Raise unless the parts that a YAML names go together.

    Raises:
        ConfigError: with what does not.
    """
    _check_ports(recipe)
    _check_experts(recipe)
    _check_text_experts(recipe)


def _check_ports(recipe: Recipe) -> None:
    from mmvt.models.model import check_ports

    plans = recipe.plans
    aligner = plans["dataset"].values["aligner"]
    parts = [aligner, *(aligner.values.get(slot) for slot in ("layout", "masker"))]
    keys = (*INPUT_KEYS, *(key for part in parts if part for key in part.cls.produces))
    encoders = {name: plan.cls for name, plan in recipe.encoders.items()}
    try:
        check_ports(keys, encoders, plans["trunk"].cls, plans["head"].cls, plans["loss"].cls)
    except ConfigError as error:
        raise ConfigError([f"{recipe.path}: {problem}" for problem in error.problems]) from error


def _check_experts(recipe: Recipe) -> None:
    """Raise unless the encoder of experts takes apart what the video processor puts together."""
    video = recipe.plans["dataset"].values["video_processor"].values
    encoder = recipe.encoders.get("video", Plan(object)).values
    told = encoder.get("experts")
    if not isinstance(told, Mapping) or "experts" not in video:
        return
    asked = video.get("expert_rows") or {}
    read = {name: asked.get(name, 1) for name in video["experts"]}
    taken = {
        name: fields.get("rows", 1)
        for name, fields in told.items()
        if name != MAIN and isinstance(fields, Mapping)
    }
    if read != taken:
        raise ConfigError(
            f"{recipe.path}: the video processor reads the experts (with rows a step) {read}, but "
            f"encoders.video.experts are {taken}"
        )


def _check_text_experts(recipe: Recipe) -> None:
    """Raise unless text experts have a prompt to stand in, and tell nothing that is written."""
    dataset = recipe.plans["dataset"].values
    described = dataset.get("text_experts")
    if not described:
        return
    try:
        experts = text_experts(described)
    except ConfigError as error:
        raise ConfigError([f"{recipe.path}: dataset.{p}" for p in error.problems]) from error
    problems = []
    for slot in ("aligner", "evaluation_aligner"):
        plan = dataset.get(slot)
        layout = None if plan is None else plan.values.get("layout")
        if plan and not (
            plan.cls.shows_experts and layout and issubclass(layout.cls, PromptLayout)
        ):
            problems.append(
                f"dataset.text_experts need a prompt, but {slot} {plan.cls.__name__} has no "
                "PromptLayout"
            )
    texts = dataset["text_processor"]
    for key, value in texts.values.items():
        problems += [
            f"dataset.text_experts.{expert.name}.path {expert.path} is what {texts.cls.__name__} "
            f"reads ({key}): words that are to be written must not stand in the prompt"
            for expert in experts
            if isinstance(value, Path) and expert.path.resolve() == value.resolve()
        ]
    if problems:
        raise ConfigError([f"{recipe.path}: {problem}" for problem in problems])


def _tokenizer(recipe: Recipe) -> str | None:
    """Return the name of the tokenizer that the layout writes with, if it has one."""
    layout = recipe.plans["dataset"].values["aligner"].values.get("layout")
    return layout.values.get("bert_name") if isinstance(layout, Plan) else None


def check_words(recipe: Recipe, model: MultimodalModel) -> None:
    """Raise unless a language model knows all words of the tokenizer.

    Raises:
        ConfigError: it knows fewer.
    """
    from mmvt.models.writing import WritingTrunk

    name = _tokenizer(recipe)
    if name is None or not isinstance(model.trunk, WritingTrunk) or not model.trunk.num_words:
        return
    count = len(load_tokenizer(name))
    if count > model.trunk.num_words:
        raise ConfigError(
            f"{recipe.path}: the tokenizer dataset.bert_name {name} has {count} words, but the "
            f"language model knows {model.trunk.num_words}; set trunk.model_config.vocab_size, or "
            "name the tokenizer that the model came with"
        )


def notes_on_language_model(recipe: Recipe) -> Iterator[str]:
    """Yield what is hardly meant: random weights by name, the ids of another model's words."""
    tokenizer = _tokenizer(recipe)
    trunk = recipe.plans["trunk"].values
    model = trunk.get("model_name")
    if model and trunk.get("pretrained") is False:
        yield (
            f"{recipe.path}: trunk.model_name is {model}, but with trunk.pretrained: false none of "
            "its weights are used"
        )
    if model and tokenizer and model != tokenizer:
        yield (
            f"{recipe.path}: trunk.model_name is {model}, but its words are told by the tokenizer "
            f"dataset.bert_name, which is {tokenizer}"
        )
