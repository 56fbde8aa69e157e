"""Projects in the original's language, unchanged, through the commands: built and expanded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmvt.config.original import LOSSES, MODELS, PLUGINS
from mmvt.config.project import load_project
from mmvt.config.recipe import Recipe
from mmvt.fairseq import arguments, entry  # noqa: F401  (entry registers mmtask …)
from mmvt.losses.base import Loss
from mmvt.plugins import Plugins
from mmvt_cli.check import main as check
from mmvt_cli.launch import main as launch
from tests.original_yaml import PROJECTS, write_original

COIN, STEPS = "COINActionSegmentationAligner", "CrossTaskAligner"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with projects and templates as users of the original have them."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return write_original(tmp_path)


def tasks_of(name: str) -> dict[str, Recipe]:
    tasks = load_project(Path(f"projects/{name}.yaml")).tasks
    return {name: Recipe.from_layer(task.path, task.layer) for name, task in tasks.items()}


@pytest.mark.parametrize("name", PROJECTS)
def test_every_task_is_built_and_run_at_tiny_size(name: str, capsys: pytest.CaptureFixture[str]):
    assert check([f"projects/{name}.yaml"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out.splitlines()
    tasks = load_project(Path(f"projects/{name}.yaml")).tasks
    assert printed == [f"ok      projects/{name}.yaml: {task}" for task in tasks]


EACH = """\
project_dir: each
base_dir: task
task_group:
  pretrain:
    task_list: [how2.yaml]
    task: {task}
    dataset: {{aligner: {aligner}, max_video_len: 32, max_len: 96, sliding_window: 8,
      sliding_window_size: 32, subsampling: {subsampling}}}
    fairseq: {{dataset: {{batch_size: {batch}}}}}
    model: {{model_cls: {model}, num_hidden_video_layers: 6}}
    loss: {{loss_cls: {loss}}}
"""
TRAINED = [
    *[("MMFusionSeparate", name, "MMContraLoss") for name in PLUGINS["dataset", "aligner"]],
    ("MMFusionShare", "DSAligner", "T2VContraLoss"),
    ("MMFusionJoint", "DSAligner", "V2TContraLoss"),
    ("MMFusionMFMMLM", "MFMMLMAligner", "MFMMLM"),
    ("MMFusionMTM", "MFMMLMAligner", "MTM"),
    ("MMFusionNLG", "DSNLGAligner", "NLGLoss"),
    *[(f"MMFusion{trunk}ActionSegmentation", COIN, "CrossEntropy") for trunk in ("", "Separate")],
    *[(f"MMFusion{trunk}ActionLocalization", STEPS, "BCE") for trunk in ("", "Separate", "Share")],
]
WITH_LABELS = (COIN, STEPS, "MSRVTTQAAligner", "DiDeMoAligner", "DSNLGAligner")  # not with pairs


@pytest.mark.parametrize(
    ("model", "aligner", "loss"),
    [row for row in TRAINED if not (row[0] == "MMFusionSeparate" and row[1] in WITH_LABELS)],
)
def test_every_model_and_every_aligner_is_built_and_run(
    model: str, aligner: str, loss: str, capsys: pytest.CaptureFixture[str]
):
    windows, task = aligner in (COIN, STEPS), "Task"
    if aligner == "MFMMLMAligner":
        task = "VLMTask"
    text = EACH.format(
        model=model,
        aligner=aligner,
        loss=loss,
        task="MILNCETask" if aligner == "How2MILNCEAligner" else task,
        batch=1 if windows else 4,
        subsampling=2 if task == "VLMTask" else 1,
    )
    if aligner == "How2MILNCEAligner":  # its loss had no name in a YAML
        text = text.replace("{loss_cls: MMContraLoss}", "MILNCE")
    Path("projects/each.yaml").write_text(text)
    assert check(["projects/each.yaml"]) == 0, capsys.readouterr().err


def test_no_model_is_left_out():
    assert {model for model, _, _ in TRAINED} == set(MODELS)


@pytest.mark.parametrize("name", LOSSES.values())
def test_every_loss_is_built(name: str):
    assert isinstance(Plugins().get("loss", name)(), Loss)


@pytest.mark.parametrize("name", PROJECTS)
def test_a_dry_run_writes_expansions_and_starts_nothing(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
):
    assert launch([f"projects/{name}.yaml", "--jobtype", "local_single", "--dryrun"]) == 0
    printed = capsys.readouterr()
    assert "mmvt_cli.train" in printed.out
    assert "has no meaning here: --jobtype says how a task is run" in printed.err
    project = load_project(Path(f"projects/{name}.yaml"))
    assert all(task.path.is_file() for task in project.tasks.values())
    assert not Path("runs").exists()


def test_videoclip_trains_on_groups_of_near_videos():
    recipe = tasks_of("videoclip")["how2.yaml"]
    task = recipe.plans["task"]
    assert task.cls.__name__ == "RetrievalTask"
    assert task.values == {
        "retri_epoch": 1,
        "num_cands": 64,
        "num_video_per_batch": 32,
        "subsampling": 16,
    }
    assert recipe.fairseq["dataset"]["batch_size"] == 32  # videos: one group
    assert recipe.plans["loss"].cls.__name__ == "SymmetricNCE"
    assert recipe.plans["dataset"].values["aligner"].cls.__name__ == "OverlappedAligner"


def test_vlm_trains_on_pairs_of_samples_and_mfmmlm_zeroes_the_frames_itself():
    vlm, mfmmlm = (tasks_of(name)["how2.yaml"] for name in ("vlm", "mfmmlm"))
    assert vlm.fairseq["dataset"]["batch_size"] == 8  # videos of 32 samples
    for recipe, head, lazy in ((vlm, "MTMHead", True), (mfmmlm, "MFMMLMHead", False)):
        assert recipe.plans["task"].cls.__name__ == "PairTask"
        assert recipe.plans["head"].cls.__name__ == head
        assert recipe.plans["dataset"].values["aligner"].values["lazy_vfeat_mask"] is lazy
    assert vlm.plans["trunk"].values["use_seg_emb"] is True


@pytest.mark.parametrize(
    ("project", "task", "head", "predictor", "iso"),
    [
        ("vlm", "vtt", "ContrastiveHead", "RetrievalPredictor", 12),
        ("vlm", "coin", "SegmentationHead", "SegmentationPredictor", 12),
        ("vlm", "crosstask", "StepLocalizationHead", "StepLocalizationPredictor", 12),
        ("vlm", "youcookcap", "LanguageHead", "CaptionPredictor", 0),
        ("videoclip", "coin", "SegmentationHead", "SegmentationPredictor", None),
    ],
)
def test_a_task_is_fine_tuned_from_the_pre_training_and_then_evaluated(
    project: str, task: str, head: str, predictor: str, iso: int | None
):
    tasks = tasks_of(project)
    tuned, tested = tasks[f"{task}.yaml"], tasks[f"test_{task}.yaml"]
    run = {"videoclip": "runs/retri/videoclip", "vlm": "runs/mtm/vlm"}[project]
    assert tuned.fairseq["checkpoint"]["finetune_from_model"] == f"{run}/checkpoint_best.pt"
    assert not any(key.startswith("reset_") for key in tuned.fairseq["checkpoint"])
    assert tuned.fairseq["optimization"]["warmup_updates"] == 122
    assert tested.plans["predictor"].cls.__name__ == predictor
    assert tested.fairseq["checkpoint"]["save_dir"] == f"{run}/{task}"
    for recipe in (tuned, tested):
        assert recipe.plans["head"].cls.__name__ == head
        assert recipe.plans["trunk"].values.get("num_iso_layer") == iso


def test_fp16_is_on_where_it_is_true_and_off_where_it_is_false():
    tasks = tasks_of("videoclip")
    for name, wanted in (("how2.yaml", True), ("vtt.yaml", False)):
        section = tasks[name].fairseq
        assert section["common"]["fp16"] is wanted
        assert arguments.parse(section, name).fp16 is wanted


def test_what_is_left_out_is_told_once_a_task(capsys: pytest.CaptureFixture[str]):
    assert launch(["projects/vlm.yaml"]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == len(set(notes))
    assert any("dataset.num_iso_layer is left out: no chosen part uses it" in n for n in notes)
