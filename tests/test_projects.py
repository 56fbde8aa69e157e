"""Every YAML that comes with mmvt is sound, and so is what the documentation says of tests."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mmvt.config.compose import compose
from mmvt.config.project import is_generated, load_project
from mmvt.config.recipe import Recipe
from mmvt.features.s3d.network import S3DNetwork
from mmvt_cli.check import all_projects, build_tiny
from tests.s3d_weights import named_weights, write_weights
from tests.thin_bert import write_bert

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 12  # lines of a baseline
FAMILIES = {"retri/videoclip": "_videoclip", "mtm/vlm": ""}  # and how their tasks end


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    torch.set_num_threads(1)


def shipped() -> list[Path]:
    found = sorted((ROOT / "projects").rglob("*.yaml"))
    return [path.relative_to(ROOT) for path in found if not is_generated(path)]


def named(folder: str) -> list[str]:
    return [path.as_posix() for path in shipped() if path.parts[1] == folder]


@pytest.mark.parametrize("name", [*named("task"), *named("vpt")])
def test_a_task_is_built_and_run_at_tiny_size(name: str):
    path = Path(name)
    if path in all_projects():
        build_tiny(load_project(path).tasks[path.name])
    else:
        assert "head" not in compose(path).data


@pytest.mark.parametrize("family", FAMILIES)
def test_a_project_runs_the_tasks_of_its_family(family: str):
    project = load_project(Path(f"projects/{family}.yaml"))
    assert project.steps[0] == ["how2.yaml"]
    ending = FAMILIES[family]
    for name, task in project.tasks.items():
        recipe = Recipe.from_layer(task.path, task.layer)
        assert task.path == Path("projects", family, name)
        folder = recipe.fairseq["checkpoint"]["save_dir"]
        assert folder.startswith(f"runs/{family}")
        pretrained = f"runs/{family}/checkpoint_best.pt"
        if task.group == "finetune":
            assert recipe.fairseq["checkpoint"]["finetune_from_model"] == pretrained
            assert f"test_{name}" in project.tasks
            assert name.endswith(f"{ending}.yaml")
        elif "_zs" in name:
            assert recipe.fairseq["common_eval"]["path"] == pretrained
        elif task.group == "test":
            trained = project.tasks[name.removeprefix("test_")]
            assert folder == trained.layer.data["fairseq"]["checkpoint"]["save_dir"]
            assert "common_eval" not in recipe.fairseq
        assert ("optimization" in recipe.fairseq) == (task.group != "test")


RECIPES = {  # batch, epochs, warm-up
    "vtt.yaml": (256, 10, 122),
    "vtt_videoclip.yaml": (256, 10, 122),
    "youcook.yaml": (128, 10, 122),
    "youcook_videoclip.yaml": (128, 10, 122),
    "youcookcap.yaml": (128, 10, 122),
    "coin.yaml": (1, 8, 122),
    "coin_videoclip.yaml": (1, 8, 122),
    "crosstask.yaml": (1, 5, 122),
    "crosstask_videoclip.yaml": (1, 5, 122),
}


@pytest.mark.parametrize(("name", "recipe"), RECIPES.items())
def test_a_recipe_is_that_of_the_papers(name: str, recipe: tuple[int, int, int]):
    section = Recipe.load(Path("projects/task", name)).fairseq
    optimization = section["optimization"]
    assert (
        section["dataset"]["batch_size"],
        optimization["max_epoch"],
        optimization["warmup_updates"],
    ) == recipe
    assert (optimization["lr"], optimization["adam_betas"]) == ([5e-5], "(0.9, 0.98)")
    assert (optimization["clip_norm"], optimization["total_num_update"]) == (2.0, 1_000_000)


def test_data_is_read_as_for_the_papers():
    def fields(name: str, part: str) -> dict[str, Any]:
        plan = Recipe.load(Path("projects/task", name)).plans["dataset"].values[part]
        return plan.values

    assert fields("vtt.yaml", "meta_processor")["dup"] == 20
    assert fields("crosstask.yaml", "meta_processor")["n_train"] == 30
    for name, stride in (("coin.yaml", 8), ("crosstask.yaml", 16)):
        windows = fields(name, "aligner")
        assert (windows["sliding_window"], windows["sliding_window_size"]) == (stride, 32)
        assert windows["max_video_len"] == 32


def test_pre_training_is_that_of_the_papers():
    clips = {}
    for family, epochs in (("retri/videoclip", 25), ("mtm/vlm", 15)):
        recipe = Recipe.load(Path(f"projects/{family}/how2.yaml"))
        task, section = recipe.plans["task"].values, recipe.fairseq
        clips[family] = section["dataset"]["batch_size"] * task["subsampling"]
        assert section["optimization"]["max_epoch"] == epochs
        assert section["optimization"]["warmup_updates"] == 1000
    assert clips == {"retri/videoclip": 512, "mtm/vlm": 256}


@pytest.mark.parametrize("name", [*named("task"), *named("retri"), *named("mtm"), *named("vpt")])
def test_a_baseline_is_short(name: str):
    if name not in ("projects/task/default.yaml", "projects/task/videoclip.yaml"):
        assert len(Path(name).read_text().splitlines()) <= LONGEST


def test_the_example_of_the_documentation_runs_as_it_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Anywhere, with no more than the files that it names."""
    [example] = re.findall(
        r"```python\n(import torch\n.*?)```",
        Path("docs/coming-from-the-original.md").read_text(),
        flags=re.DOTALL,
    )
    monkeypatch.chdir(tmp_path)
    write_bert(tmp_path / "pretrained_models" / "bert-base-uncased")
    write_weights(
        tmp_path / "pretrained_models" / "s3d_howto100m.pth", named_weights(S3DNetwork(), seed=1)
    )
    exec(compile(example, "example", "exec"), {})
    score = re.fullmatch(r"tensor\(\[(.+)\]\)\n", capsys.readouterr().out)
    assert score is not None
    assert math.isfinite(float(score[1]))


def test_every_test_that_the_documentation_names_is_there():
    named = [
        match
        for path in sorted(Path("docs").glob("*.md"))
        for match in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", path.read_text())
    ]
    assert named
    for file, test in named:
        assert f"def {test}(" in Path(file).read_text(), f"{file}::{test}"
