"""Tests of configurations that were written for the original toolkit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmvt.config.compose import compose
from mmvt.config.merge import Layer, read_overrides
from mmvt.config.original import ENCODERS
from mmvt.config.project import load_project
from mmvt.config.recipe import Recipe
from mmvt.config.translation import translated
from mmvt.errors import ConfigError

HOW2 = """\
task_type: sweep_big
slurm_config: big
dataset:
  meta_processor: ShardedHow2MetaProcessor
  video_processor: ShardedVideoProcessor
  text_processor: ShardedTextProcessor
  aligner: FixedLenAligner
  train_path: data/train.lst
  val_path: data/val.lst
  vfeat_dir: data/feat
  tfeat_dir: data/feat/caps.
  bert_name: bert
eval:
  save_path: runs/task
fairseq:
  common: {fp16: true, tensorboard_logdir: run}
  optimization: {lr: [5e-5], adam_betas: (0.9, 0.98)}
  checkpoint: {save_dir: runs/task}
"""
PROJECT = """\
project_dir: retri/mine
base_dir: task
run_task: [how2.yaml, [vtt.yaml, gone.yaml]]
task_group:
  pretrain:
    task_list: [how2.yaml]
    task: VideoRetriTask
    retri_epoch: 1
    vectorpool_cls: VideoVectorPool
    retriever_cls: VectorRetriever
    num_cands: 64
    dataset:
      aligner: VideoRetriOverlappedAligner
      max_video_len: 32
      max_len: 96
      sampled_min_len: 8
      sampled_max_len: 64
      num_video_per_batch: 32
      subsampling: 1
      clip_per_video: 16
      lazy_vfeat_mask: true
    fairseq: {dataset: {batch_size: 2}}
    model:
      model_cls: MMFusionSeparate
      mm_encoder_cls:
      video_encoder_cls: MMBertForEncoder
      text_encoder_cls: BertModel
      num_hidden_video_layers: 6
    loss: {loss_cls: MMContraLoss}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project as users of the original have it, beside its template."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "projects" / "task").mkdir(parents=True)
    (tmp_path / "projects" / "task" / "how2.yaml").write_text(HOW2)
    (tmp_path / "projects" / "mine.yaml").write_text(PROJECT)
    return Path("projects/mine.yaml")


def translate(text: str) -> dict[str, Any]:
    """Return what ``key=value`` words of the original become, without the mark."""
    layer = translated(read_overrides(text.split()))
    assert layer.problems == []
    assert layer.data.pop("original") is True
    return layer.data


def test_a_project_of_the_original_is_one_of_ours(project: Path):
    task = load_project(project).tasks["how2.yaml"]
    assert task.layer.problems == []
    assert task.layer.data["task"] == {"name": "RetrievalTask", "retri_epoch": 1, "num_cands": 64}
    assert task.layer.data["trunk"] == {"name": "SeparateTrunk", "num_hidden_video_layers": 6}
    assert task.layer.data["head"] == "ContrastiveHead"
    assert task.layer.data["encoders"] == {"video": "VideoTokenMLP"}
    assert task.layer.data["loss"] == "SymmetricNCE"
    assert task.layer.data["fairseq"]["checkpoint"] == {"save_dir": "runs/retri/mine"}
    assert task.layer.data["fairseq"]["common"]["tensorboard_logdir"] == "runs/retri/mine/run"
    recipe = Recipe.from_layer(task.path, task.layer)
    assert {slot: plan.cls.__name__ for slot, plan in recipe.plans.items()} == {
        "dataset": "MultimodalDataset",
        "features": "Extraction",
        "trunk": "SeparateTrunk",
        "head": "ContrastiveHead",
        "loss": "SymmetricNCE",
        "task": "RetrievalTask",
        "predictor": "RetrievalPredictor",
        "metric": "RetrievalMetric",
    }
    aligner = recipe.plans["dataset"].values["aligner"]
    assert aligner.cls.__name__ == "OverlappedAligner"
    assert aligner.values["subsampling"] == recipe.plans["task"].values["subsampling"] == 16


def test_what_has_no_meaning_is_told_once_with_its_reason(project: Path):
    task = load_project(project).tasks["how2.yaml"]
    notes = Recipe.from_layer(task.path, task.layer).notes
    assert len(notes) == len(set(notes))
    template = Path.cwd() / "projects" / "task" / "how2.yaml"
    for key, reason in {
        "task_type": f"{template}:1: task_type has no meaning here: --jobtype says how a task is",
        "vectorpool_cls": "projects/mine.yaml:9: vectorpool_cls has no meaning here: Retrieval",
        "mm_prob": "projects/mine.yaml:21: dataset.lazy_vfeat_mask is left out: no chosen part",
    }.items():
        assert any(reason.replace(f"{Path.cwd()}/", "") in note for note in notes), key


def test_a_task_that_is_run_but_not_there_is_left_out(project: Path):
    found = load_project(project)
    assert found.steps == [["how2.yaml"]]
    assert [note.partition(": ")[2] for note in found.notes] == [
        "run_task: 'vtt.yaml' is in no task_list; it is left out",
        "run_task: 'gone.yaml' is in no task_list; it is left out",
    ]


def test_an_expansion_is_read_back_as_it_was_written(project: Path):
    task = load_project(project).tasks["how2.yaml"]
    task.write()
    again = Recipe.load(task.path)
    assert again.layer.data == task.layer.data
    assert any("lazy_vfeat_mask is left out" in note for note in again.notes)


def test_an_expansion_that_the_original_committed_may_stay_if_it_says_the_same(project: Path):
    template, group = HOW2, PROJECT.partition("    task_list: [how2.yaml]\n")[2]
    committed = Path("projects/retri/mine/how2.yaml")
    committed.parent.mkdir(parents=True)
    lines = [line.removeprefix("    ") for line in group.splitlines()]
    Path("projects/over.yaml").write_text("includes: task/how2.yaml\n" + "\n".join(lines) + "\n")
    whole = compose(Path("projects/over.yaml")).data
    text = template.replace("runs/task", "runs/retri/mine")
    committed.write_text(text)
    task = load_project(project).tasks["how2.yaml"]
    with pytest.raises(ConfigError, match="was edited or written by hand"):
        task.write()
    flat = (
        Path("projects/over.yaml").read_text().replace("includes: task/", "includes: ../../flat/")
    )
    (Path("projects") / "flat").mkdir()
    Path("projects/flat/how2.yaml").write_text(text)
    committed.write_text(flat)
    task.write()
    assert committed.read_text() == flat
    assert whole["original"] is True


def test_a_key_is_reported_at_its_line_in_the_original(project: Path):
    project.write_text(PROJECT.replace("num_hidden_video_layers: 6", "num_hidden_video_layers: x"))
    task = load_project(project).tasks["how2.yaml"]
    with pytest.raises(ConfigError) as caught:
        Recipe.from_layer(task.path, task.layer)
    assert caught.value.problems == [
        "projects/mine.yaml:28: trunk.num_hidden_video_layers must be int, not str 'x'"
    ]


def test_a_missing_key_is_an_error_and_not_none(project: Path):
    project.write_text(PROJECT.replace("      max_len: 96\n", ""))
    task = load_project(project).tasks["how2.yaml"]
    with pytest.raises(ConfigError, match="dataset.max_len is missing; VideoTextLayout needs it"):
        Recipe.from_layer(task.path, task.layer)


def test_keys_that_the_original_does_not_have_are_errors(project: Path):
    project.write_text(
        PROJECT.replace("      lazy_vfeat_mask: true\n", "      lazy_mask: true\n")
        .replace("model_cls: MMFusionSeparate\n", "model_cls: MMFusionSeperate\n")
        .replace("mm_encoder_cls:\n", "mm_encoder: none\n")
    )
    task = load_project(project).tasks["how2.yaml"]
    problems = "\n".join(task.layer.problems)
    assert (
        "projects/mine.yaml:24: model.model_cls: the original has no 'MMFusionSeperate'; did you "
        "mean MMFusionSeparate?" in problems
    )
    assert "model.mm_encoder; did you mean 'mm_encoder_cls'?" in problems


def test_our_own_language_is_left_alone():
    layer = Layer({"head": "ContrastiveHead", "dataset": {"subsampling": 4, "num_iso_layer": 2}})
    assert translated(layer) is layer
    layer = Layer({"model": {"x": 1}, "task_group": {"a": {"loss": "NCE"}}})
    assert translated(layer).data == layer.data


def test_a_key_of_the_original_that_nobody_takes_is_an_error_in_our_own_language(tmp_path: Path):
    task = tmp_path / "task.yaml"
    task.write_text("dataset: {num_iso_layer: 12}\nhead: ContrastiveHead\n")
    with pytest.raises(ConfigError) as caught:
        Recipe.load(task)
    assert "num_iso_layer is used by no plugin" in str(caught.value)
    task.write_text("original: yes please\n")
    with pytest.raises(ConfigError, match="original must be true or false, not 'yes please'"):
        Recipe.load(task)


def test_either_language_can_be_laid_over_the_other(project: Path):
    ours = ["trunk.num_hidden_video_layers=2", "head.temperature=0.5"]
    task = load_project(project, ours).tasks["how2.yaml"]
    assert task.layer.data["trunk"] == {"name": "SeparateTrunk", "num_hidden_video_layers": 2}
    assert task.layer.data["head"] == {"name": "ContrastiveHead", "temperature": 0.5}
    task = load_project(project, ["model.model_cls=MMFusionShare"]).tasks["how2.yaml"]
    assert task.layer.data["trunk"] == "SharedTrunk"


def test_batches_are_counted_in_videos(project: Path):
    task = load_project(project).tasks["how2.yaml"]
    assert task.layer.data["fairseq"]["dataset"]["batch_size"] == 64  # 2 groups of 32 videos
    vlm = "task=VLMTask dataset.subsampling=32 fairseq.dataset.batch_size={}"
    for clips, videos in ((256, 8), (64, 2), (31, 1)):
        assert translate(vlm.format(clips))["fairseq"]["dataset"]["batch_size"] == videos


def test_the_learning_rate_falls_as_slowly_as_it_did():
    words = "task_type=x fairseq.optimization.lr_scheduler=polynomial_decay"
    optimization = translate(words)["fairseq"]["optimization"]
    assert optimization["total_num_update"] == 1_000_000
    words += " fairseq.optimization.total_num_update=50"
    assert translate(words)["fairseq"]["optimization"]["total_num_update"] == 50


def test_fine_tuning_begins_with_weights_that_must_be_there_and_can_be_resumed():
    resets = ["reset_optimizer", "reset_dataloader", "reset_meters"]
    words = [f"fairseq.checkpoint.{key}=true" for key in resets]
    words += ["fairseq.checkpoint.restore_file=runs/task/checkpoint_best.pt", "task_type=x"]
    assert translate(" ".join(words))["fairseq"]["checkpoint"] == {
        "finetune_from_model": "runs/task/checkpoint_best.pt"
    }
    some = translate(" ".join(words[1:]))["fairseq"]["checkpoint"]
    assert some["restore_file"] == "runs/task/checkpoint_best.pt"


def test_folders_are_those_of_the_run():
    words = "eval.save_path=runs/task/vtt_zs/eval fairseq.common_eval.path=runs/task/best.pt"
    assert translate(words)["fairseq"] == {
        "checkpoint": {"save_dir": "runs/task/vtt_zs"},
        "common_eval": {"path": "runs/task/best.pt"},
    }
    assert translate("eval.save_path=runs/x")["fairseq"]["checkpoint"]["save_dir"] == "runs/x"


def test_options_of_captions_belong_to_the_predictor():
    words = "predictor=NLGPredictor model.max_decode_length=24 gen_param.num_beams=5"
    assert translate(words) == {
        "predictor": {"name": "CaptionPredictor", "max_decode_length": 24, "num_beams": 5}
    }
    trained = translate("model.model_cls=MMFusionNLG model.max_decode_length=9")
    trunk = {"name": "JointTrunk", "num_iso_layer": 0, "text_attention": "causal"}
    assert trained["trunk"] == trunk
    assert trained["predictor"] == {"name": "CaptionPredictor", "max_decode_length": 9}


def test_some_data_sets_of_the_original_pass_over_videos_without_features():
    words = "dataset.meta_processor={} task_type=x"
    for name in ("YoucookMetaProcessor", "CrossTaskMetaProcessor"):
        assert translate(words.format(name))["dataset"]["allow_missing"] is True
    assert "allow_missing" not in translate(words.format("MSRVTTMetaProcessor"))["dataset"]


def test_a_plugin_may_become_several():
    words = "dataset.aligner=DSAligner dataset.video_processor=YoucookVideoProcessor"
    assert translate(words)["dataset"] == {
        "aligner": {"name": "SampledAligner", "sampler": "CaptionSampler"},
        "video_processor": {"name": "ClipVideoProcessor", "videos": "NpyVideoProcessor"},
    }
    words = "dataset.aligner.name=DSAligner dataset.aligner.subsampling=2"
    assert translate(words)["dataset"]["aligner"] == {
        "name": "SampledAligner",
        "sampler": "CaptionSampler",
        "subsampling": 2,
    }


def test_a_plugin_in_long_form_keeps_its_fields():
    assert translate("task.name=VideoRetriTask task.num_cands=8") == {
        "task": {"name": "RetrievalTask", "num_cands": 8}
    }
    assert translate("loss.loss_cls=BCE loss.x=1") == {
        "loss": {"name": "BinaryCrossEntropy", "x": 1}
    }


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_are_checked_and_say_nothing_else(name: str):
    layer = translated(read_overrides([f"model.mm_encoder_cls={name}"]))
    assert layer.data == {"original": True}
    assert layer.notes[0].startswith("command line: model.mm_encoder_cls has no meaning here")
