"""Tests of the names of the original: each leads to a part, and unset keys mean the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmvt.config.original import LOSSES, MODELS, PLUGINS, UNSET
from mmvt.config.recipe import Recipe
from mmvt.plugins import KINDS, Plugins
from tests.corpus import write_corpus, write_project

NAMES = [
    *[(keys[-1], new) for keys, names in PLUGINS.items() for new in names.values()],
    *[("loss", new) for new in LOSSES.values()],
    *[("trunk", trunk) for trunk, _ in MODELS.values()],
    *[("head", head) for _, head in MODELS.values()],
]


@pytest.mark.parametrize(("kind", "named"), NAMES, ids=str)
def test_every_name_of_the_original_leads_to_a_part(kind: str, named: Any):
    name = named if isinstance(named, str) else named["name"]
    assert Plugins().get(kind, name).__name__ == name


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a task that hides frames and words, in our own language."""
    folder = tmp_path_factory.mktemp("masked")
    write_project(folder, write_corpus(folder / "corpus", videos=6))
    path = folder / "projects" / "task" / "masked.yaml"
    path.write_text(
        "includes: tiny.yaml\ndataset: {aligner: MFMMLMAligner, evaluation_aligner: null}\n"
        "trunk: {name: JointTrunk, num_hidden_video_layers: null}\n"
        "head: {name: MTMHead, pretrained: false}\n"
    )
    return path


@pytest.mark.parametrize(
    ("words", "lazy"),
    [
        ([], True),
        (["original=true"], False),
        (["model.model_cls=MMFusionMTM", "trunk.pretrained=false"], False),
        (["original=true", "dataset.lazy_vfeat_mask=true"], True),
        (["dataset.lazy_vfeat_mask=false"], False),
    ],
)
def test_hidden_frames_are_zeroed_where_the_original_says_nothing_else(
    task: Path, words: list[str], lazy: bool
):
    aligner = Recipe.load(task, words).plans["dataset"].build(split="train").aligner
    assert aligner.masker.lazy_vfeat_mask is lazy


def test_what_is_taken_for_an_unset_key_is_a_field_of_a_plugin():
    for name, fields in UNSET.items():
        [kind] = [kind for kind, (_, names) in KINDS.items() if name in names]
        assert set(fields) <= set(Plugins().get(kind, name).__init__.__annotations__)
