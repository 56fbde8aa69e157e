"""Tests of what a training leaves for people: record, log, configuration, and where curves go."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from mmvt.config.recipe import Recipe
from mmvt.errors import DataError
from mmvt.fairseq.observation import choose_boards, observed
from tests.corpus import write_corpus, write_project


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("observed")
    project = write_project(folder, write_corpus(folder / "corpus", videos=6))
    return Recipe.load(project.with_name("task") / "tiny.yaml")


def options(folder: Path, rank: int = 0, board: str | None = None) -> DictConfig:
    return OmegaConf.create(
        {
            "checkpoint": {"save_dir": str(folder / "run")},
            "common": {"tensorboard_logdir": board, "wandb_project": None},
            "distributed_training": {"distributed_rank": rank, "distributed_world_size": 2},
        }
    )


def outcome(folder: Path) -> tuple[str, str | None]:
    (start,) = json.loads((folder / "run" / "run.json").read_text())["starts"]
    return start["outcome"], start["error"]


def test_a_run_that_ends_well_has_configuration_log_and_record(recipe: Recipe, tmp_path: Path):
    with observed(options(tmp_path), recipe):
        logging.getLogger("mmvt").warning("halfway")
    assert outcome(tmp_path) == ("finished", None)
    assert "halfway" in (tmp_path / "run" / "train.log").read_text()
    assert "head: ContrastiveHead" in (tmp_path / "run" / "config.yaml").read_text()
    logging.getLogger("mmvt").warning("after the run")
    assert "after" not in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(143), ("stopped", None)),
        (SystemExit(1), ("failed", None)),
        (SystemExit(0), ("finished", None)),
        (KeyboardInterrupt(), ("stopped", None)),
        (DataError("no data"), ("failed", "DataError: no data")),
    ],
)
def test_the_record_says_how_a_run_ended(
    recipe: Recipe, tmp_path: Path, error: BaseException, told: tuple[str, str | None]
):
    with pytest.raises(type(error)), observed(options(tmp_path), recipe):
        raise error
    assert outcome(tmp_path) == told


def test_other_workers_write_nothing(recipe: Recipe, tmp_path: Path):
    with observed(options(tmp_path, rank=1), recipe):
        pass
    assert list(tmp_path.iterdir()) == []


def test_curves_go_to_the_run_unless_a_folder_is_named(tmp_path: Path):
    for board, expected in ((None, str(tmp_path / "tensorboard")), ("mine", "mine")):
        cfg = options(tmp_path, board=board)
        choose_boards(cfg, tmp_path)
        assert cfg.common.tensorboard_logdir == expected
