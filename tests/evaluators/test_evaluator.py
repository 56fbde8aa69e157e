from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.checkpoint import save_state
from mmvt.config.recipe import Recipe
from mmvt.errors import CheckpointError, ConfigError, DataError
from mmvt.evaluators.evaluator import (
    evaluate,
    find_checkpoint,
    load_model,
    rescore,
    results_folder,
)
from mmvt.evaluators.predictions import (
    PREDICTIONS,
    RESULTS,
    load_predictions,
    save_predictions,
)
from mmvt.models.convert_mmpt import to_mmpt
from tests.trap import Trap


def changed(recipe: Recipe, path: Path) -> Path:
    """Write weights that are not the initial ones, in the form of fairseq's checkpoints."""
    model = load_model(recipe, None)
    state = {f"mmmodel.{key}": value + 0.1 for key, value in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "extra_state": {"epoch": 3}}, path)
    return path


def test_results_hold_both_directions_and_the_protocol(recipe: Recipe, tmp_path: Path):
    checkpoint = changed(recipe, tmp_path / "checkpoint_best.pt")
    results = evaluate(recipe, checkpoint, "test", tmp_path / "eval")
    assert json.loads((tmp_path / "eval" / RESULTS).read_text()) == results
    assert results["text_to_video"]["queries"] == results["video_to_text"]["candidates"] == 8
    protocol = results["protocol"]
    assert {
        "split": "test",
        "task": "tiny",
        "seed": 3,
        "captions": 8,
        "videos": 4,
        "ties": "expectation",
        "equal_captions": "own",
        "missing_videos": 0,
        "post_processing": "none",
        "precision": "float32",
        "predictor": {"name": "RetrievalPredictor"},
        "metric": {"name": "RetrievalMetric"},
    }.items() <= protocol.items()
    assert protocol["checkpoint"]["file"] == "checkpoint_best.pt"
    assert len(protocol["checkpoint"]["sha256"]) == len(protocol["ids_sha256"]) == 64
    assert protocol["features"] == {
        "dim": 16,
        "dtype": "float16",
        "encoder": {"name": "test"},
        "fps": 1.0,
        "grid": 1,
    }
    assert protocol["config"]["dataset"]["max_video_len"] == 8
    assert {"python", "torch", "numpy"} <= protocol["versions"].keys()


def test_the_same_run_gives_the_same_bytes_and_so_does_scoring_again(
    recipe: Recipe, tmp_path: Path
):
    for folder in ("one", "two"):
        evaluate(recipe, None, "test", tmp_path / folder)
    for name in (RESULTS, PREDICTIONS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    before = (tmp_path / "one" / RESULTS).read_bytes()
    (tmp_path / "one" / RESULTS).unlink()
    rescore(tmp_path / "one" / PREDICTIONS)
    assert (tmp_path / "one" / RESULTS).read_bytes() == before


def test_scoring_again_keeps_the_options_of_the_metric(task: Path, tmp_path: Path):
    recipe = Recipe.load(
        task, ["metric=RetrievalMetric", "metric.ties=original", "metric.equal_captions=any"]
    )
    evaluate(recipe, None, "test", tmp_path)
    before = (tmp_path / RESULTS).read_bytes()
    assert json.loads(before)["protocol"]["ties"] == "original"
    rescore(tmp_path / PREDICTIONS)
    assert (tmp_path / RESULTS).read_bytes() == before
    other = rescore(tmp_path / PREDICTIONS, tmp_path / "other", Recipe.load(task))
    assert other["protocol"]["ties"] == "expectation"
    assert other["protocol"]["metric"] == {"name": "RetrievalMetric"}
    assert (tmp_path / RESULTS).read_bytes() == before


def test_weights_decide_and_initial_ones_follow_the_seed(task: Path, tmp_path: Path):
    recipe = Recipe.load(task)
    trained = changed(recipe, tmp_path / "checkpoint.pt")

    def vectors(recipe: Recipe, checkpoint: Path | None) -> np.ndarray:
        evaluate(recipe, checkpoint, "valid", tmp_path / "out")
        return load_predictions(tmp_path / "out" / PREDICTIONS)[0]["video_vectors"]

    initial = vectors(recipe, None)
    torch.manual_seed(99)
    assert np.array_equal(vectors(recipe, None), initial)
    assert not np.allclose(vectors(recipe, trained), initial)
    other = Recipe.load(task, ["fairseq.common.seed=4"])
    assert not np.allclose(vectors(other, None), initial)


def test_building_a_model_leaves_the_global_generator_alone(recipe: Recipe):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_model(recipe, None)
    assert torch.equal(torch.rand(1), expected)


def test_weights_of_the_original_are_understood(recipe: Recipe, tmp_path: Path):
    model = load_model(recipe, None)
    state = {key: value + 0.1 for key, value in model.state_dict().items()}
    torch.save(to_mmpt(state), tmp_path / "original.pt")
    loaded = load_model(recipe, tmp_path / "original.pt").state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_the_head_of_another_task_is_left_out_and_told(
    recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    state = load_model(recipe, None).state_dict()
    torch.save({"model": {**state, "head.transform.bias": torch.zeros(2)}}, tmp_path / "mtm.pt")
    loaded = load_model(recipe, tmp_path / "mtm.pt").state_dict()
    assert loaded.keys() == state.keys()
    assert f"{tmp_path}/mtm.pt: weights of another head are left out: head.tra" in caplog.text
    torch.save({"model": {**state, "other.bias": torch.zeros(2)}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"unexpected: other\.bias"):
        load_model(recipe, tmp_path / "other.pt")


@pytest.mark.faults
def test_weights_that_do_not_fit_or_ask_for_code_are_named(recipe: Recipe, tmp_path: Path):
    model = load_model(recipe, None)
    save_state(model.trunk, tmp_path / "part.safetensors")
    with pytest.raises(CheckpointError, match=r"part\.safetensors: the weights do not fit"):
        load_model(recipe, tmp_path / "part.safetensors")
    torch.save({"model": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    with pytest.raises(CheckpointError, match="unsafe"):
        load_model(recipe, tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_the_best_checkpoint_is_taken_else_the_last(task: Path, tmp_path: Path):
    recipe = Recipe.load(task, [f"fairseq.checkpoint.save_dir={tmp_path}"])
    with pytest.raises(CheckpointError, match=r"tried .*checkpoint_best\.pt and .*_last\.pt"):
        find_checkpoint(recipe)
    (tmp_path / "checkpoint_last.pt").touch()
    assert find_checkpoint(recipe).name == "checkpoint_last.pt"
    (tmp_path / "checkpoint_best.pt").touch()
    assert find_checkpoint(recipe).name == "checkpoint_best.pt"


def test_a_task_may_name_the_checkpoint_of_another_and_no_other_is_taken(
    task: Path, tmp_path: Path
):
    recipe = Recipe.load(
        task,
        [
            f"fairseq.checkpoint.save_dir={tmp_path}",
            f"fairseq.common_eval.path={tmp_path}/pretrained.pt",
        ],
    )
    (tmp_path / "checkpoint_best.pt").touch()
    with pytest.raises(CheckpointError, match=r"tried \S*pretrained\.pt; train"):
        find_checkpoint(recipe)
    (tmp_path / "pretrained.pt").touch()
    assert find_checkpoint(recipe).name == "pretrained.pt"


def test_results_of_the_test_split_are_never_replaced_by_others(task: Path):
    recipe = Recipe.load(task, ["fairseq.checkpoint.save_dir=runs/x"])
    some = Path("checkpoint.pt")
    assert results_folder(recipe, some, "test") == Path("runs/x/eval")
    assert results_folder(recipe, None, "test") == Path("runs/x/eval_initial")
    assert results_folder(recipe, some, "valid") == Path("runs/x/eval_valid")
    nowhere = Recipe.load(task, ["fairseq.checkpoint.save_dir=null"])
    with pytest.raises(ConfigError, match=r"tiny\.yaml: fairseq\.checkpoint\.save_dir is missing"):
        results_folder(nowhere, some, "test")


def test_missing_videos_are_counted_when_the_task_allows_it(task: Path, tmp_path: Path):
    captions = task.parents[2] / "corpus" / "captions.csv"
    more = tmp_path / "captions.csv"
    more.write_text(captions.read_text() + "absent.mp4,a red box moves,0,4,test\n")
    override = [f"dataset.annotations={more}"]
    with pytest.raises(DataError, match=r"absent\.mp4"):
        evaluate(Recipe.load(task, override), None, "test", tmp_path / "strict")
    assert not (tmp_path / "strict").exists()
    lenient = Recipe.load(task, [*override, "dataset.allow_missing=true"])
    results = evaluate(lenient, None, "test", tmp_path / "lenient")
    assert results["protocol"]["missing_videos"] == 1
    assert results["text_to_video"]["candidates"] == 5
    before = (tmp_path / "lenient" / RESULTS).read_bytes()
    rescore(tmp_path / "lenient" / PREDICTIONS)
    assert (tmp_path / "lenient" / RESULTS).read_bytes() == before


@pytest.mark.faults
def test_results_do_not_outlive_the_predictions_they_were_of(recipe: Recipe, tmp_path: Path):
    evaluate(recipe, None, "test", tmp_path)
    model = load_model(recipe, None)
    state = {key: torch.full_like(value, torch.nan) for key, value in model.state_dict().items()}
    torch.save({"model": state}, tmp_path / "nan.pt")
    with pytest.raises(DataError, match=r"vectors of 8 texts are not finite: 'video 05\.mp4#1'"):
        evaluate(recipe, tmp_path / "nan.pt", "test", tmp_path)
    assert not (tmp_path / RESULTS).exists()
    assert (tmp_path / PREDICTIONS).exists()


@pytest.mark.faults
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scored_texts": np.array(["x"] * 8)}, "more than once: 'x'"),
        ({"text_vectors": np.full((8, 16), np.nan)}, "not finite"),
        ({"video_ids": np.array(["a", "b", "c", "d"])}, "that the split does not have"),
    ],
)
def test_predictions_that_were_changed_are_refused(
    recipe: Recipe, tmp_path: Path, change: dict[str, np.ndarray], message: str
):
    evaluate(recipe, None, "test", tmp_path)
    predictions, protocol = load_predictions(tmp_path / PREDICTIONS)
    save_predictions(tmp_path / PREDICTIONS, {**predictions, **change}, protocol)
    with pytest.raises(DataError, match=message):
        rescore(tmp_path / PREDICTIONS)
