"""The fairseq section of a YAML as arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmvt.errors import ConfigError
from mmvt.fairseq import arguments, criterion, model, task  # noqa: F401  (registers mmtask …)

SECTION = {
    "common": {"seed": 7, "fp16": False, "cpu": True, "log_file": None},
    "dataset": {"batch_size": 4},
    "optimization": {
        "optimizer": "adam",
        "adam_betas": "(0.9, 0.98)",
        "lr": [5e-5],
        "lr_scheduler": "polynomial_decay",
        "total_num_update": 100,
        "warmup_updates": 3,
    },
    "checkpoint": {"save_dir": "runs/a b; touch x $(id)"},
}


def test_true_is_a_flag_and_false_or_null_is_nothing():
    argv = arguments.to_argv({"common": {"cpu": True, "fp16": False, "log_file": None}})
    assert argv == ["--cpu"]


def test_a_list_is_one_argument_and_a_value_one_word():
    argv = arguments.to_argv({"optimization": {"lr": [1e-4, 5e-05], "update_freq": [2]}})
    assert argv == ["--lr=0.0001,5e-05", "--update-freq=2"]


def test_the_checkpoint_to_evaluate_is_nothing_for_training():
    assert arguments.to_argv({"common_eval": {"path": "runs/a.pt"}}) == []
    with pytest.raises(ConfigError, match=r"common_eval.quiet is no option of fairseq's training"):
        arguments.parse({**SECTION, "common_eval": {"path": "a.pt", "quiet": True}}, "x.yaml")


def test_a_negative_value_is_not_taken_for_a_flag():
    assert arguments.parse({"checkpoint": {"patience": -1}, **_batch()}, "x.yaml").patience == -1


def test_every_option_arrives_with_its_type():
    args = arguments.parse(SECTION, "x.yaml", '["a=b"]')
    assert (args.seed, args.cpu, args.fp16, args.batch_size) == (7, True, False, 4)
    assert args.lr == [5e-5]
    assert args.adam_betas == "(0.9, 0.98)"
    assert args.warmup_updates == 3
    assert (args.recipe, args.overrides) == ("x.yaml", '["a=b"]')


def test_shell_characters_in_a_value_stay_as_they_are():
    args = arguments.parse(SECTION, "x.yaml")
    assert args.save_dir == "runs/a b; touch x $(id)"


def test_batches_need_not_be_a_multiple_of_eight():
    args = arguments.parse(_batch(), "x.yaml")
    assert args.required_batch_size_multiple == 1


def test_bf16_does_not_ask_for_a_tpu():
    args = arguments.parse({"common": {"bf16": True}, **_batch()}, "x.yaml")
    assert args.bf16 is True
    assert args.tpu is False


def test_all_unknown_options_are_named_with_the_nearest_there_is():
    section = {"optimization": {"max_epcoh": 3}, "dataset": {"batch_size": 2, "zzz_qqq": 1}}
    with pytest.raises(ConfigError) as caught:
        arguments.parse(section, "x.yaml")
    assert caught.value.problems == [
        (
            "fairseq.optimization.max_epcoh is no option of fairseq's training; "
            "did you mean 'max_epoch'?"
        ),
        "fairseq.dataset.zzz_qqq is no option of fairseq's training",
    ]


def test_a_wrong_type_is_one_error_and_does_not_end_the_process():
    with pytest.raises(
        ConfigError, match=r"fairseq: argument --batch-size/--max-sentences: invalid int value: 'x'"
    ):
        arguments.parse({"dataset": {"batch_size": "x"}}, "x.yaml")


def test_an_unknown_choice_is_one_error():
    with pytest.raises(
        ConfigError, match=r"fairseq: argument --optimizer: invalid choice: 'adamm'"
    ):
        arguments.parse({"optimization": {"optimizer": "adamm"}}, "x.yaml")


@pytest.mark.parametrize("key", ["lr", "update_freq", "adam_betas"])
def test_code_in_a_value_that_fairseq_evaluates_is_refused_and_not_run(key: str, tmp_path: Path):
    marker = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    with pytest.raises(ConfigError, match=f"{key} must be numbers"):
        arguments.parse({"optimization": {"optimizer": "adam", key: code}}, "x.yaml")
    assert not marker.exists()


def test_user_dir_is_refused_because_it_imports_code():
    with pytest.raises(ConfigError, match="user_dir imports code; name the files under plugins:"):
        arguments.parse({"common": {"user_dir": "mmpt"}}, "x.yaml")


@pytest.mark.parametrize("key", ["user-dir", "user_dir=mmpt", "user_dir ", "-", ""])
def test_a_key_is_no_more_than_a_name(key: str):
    with pytest.raises(ConfigError, match=f"fairseq: {key!r} is no name of an option"):
        arguments.parse({"common": {key: True}}, "x.yaml")


@pytest.mark.parametrize("key", ["recipe", "trust_code", "overrides", "task", "arch", "criterion"])
def test_no_key_says_which_recipe_is_trained_or_what_is_trusted(key: str):
    with pytest.raises(ConfigError, match=f"fairseq: {key} is no option here"):
        arguments.parse({"task": {key: "other.yaml"}}, "x.yaml")


@pytest.mark.parametrize("section", [{"common": 3}, {"common": {"seed": {"a": 1}}}])
def test_a_section_that_does_not_hold_groups_of_values_is_refused(section: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"fairseq\.common"):
        arguments.to_argv(section)


def _batch() -> dict[str, dict[str, int]]:
    return {"dataset": {"batch_size": 4}}
