"""Stores that do not fit or lack videos, where models are evaluated (T12, T14, T15)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import StoreError
from mmvt.evaluators.predictions import load_predictions
from mmvt_cli.predict import main
from tests.corpus import write_corpus, write_project

pytestmark = [pytest.mark.faults, pytest.mark.extraction]

ABSENT = ("gone 1.mp4", "gone 2.mp4")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a task over 4 test videos, in the working directory."""
    monkeypatch.chdir(tmp_path)
    return write_project(tmp_path, write_corpus(tmp_path / "corpus")).parent / "task" / "tiny.yaml"


def evaluate(task: Path, out: str, *overrides: str) -> int:
    return main([str(task), "--checkpoint", "none", "--out", out, *overrides])


def results(out: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "results.json").read_text())
    return found


@pytest.mark.parametrize(
    ("override", "message"),
    [("dataset.input_dim=32", "dim is 16, not 32"), ("dataset.fps=2.0", "fps is 1.0, not 2.0")],
)
def test_t12_a_store_that_does_not_fit_is_refused_before_anything_is_trained_or_evaluated(
    task: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    assert evaluate(task, "out", override) == 2
    assert f"features: {message}" in capsys.readouterr().err
    with pytest.raises(StoreError, match=message):
        Recipe.load(task, [override]).dataset("train")
    assert not Path("out").exists()


def test_t14_videos_without_features_are_an_error_or_counted_as_misses_of_the_whole_pool(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("corpus/captions.csv").open("a") as captions:
        captions.writelines(f"{name},a red {name[5]} ball,0,4,test\n" for name in ABSENT)
    assert evaluate(task, "out") == 2
    error = capsys.readouterr().err
    assert "2 videos have no features, and 2 of the 10 examples need them" in error
    assert all(name in error for name in ABSENT)
    assert evaluate(task, "out", "dataset.allow_missing=true") == 0
    found = results("out")
    protocol = found["protocol"]
    assert (protocol["videos"], protocol["missing_videos"]) == (6, 2)
    assert (protocol["captions"], protocol["missing_captions"]) == (10, 2)
    figures = found["text_to_video"]
    assert (figures["candidates"], figures["queries"], figures["not_predicted"]) == (6, 10, 2)


def test_t15_batches_change_no_result_and_each_caption_is_predicted_once(task: Path) -> None:
    sizes = (1, 3, 8, 64)
    for size in sizes:
        options = ["predictor=RetrievalPredictor", f"predictor.batch_size={size}"]
        assert evaluate(task, f"out{size}", *options) == 0
    first, _ = load_predictions(Path("out1/predictions.npz"))
    assert len(set(first["scored_texts"])) == len(first["scored_texts"]) == 8
    for size in sizes[1:]:
        other, _ = load_predictions(Path(f"out{size}/predictions.npz"))
        assert other.keys() == first.keys()
        for name, values in first.items():
            if name.endswith("_vectors"):
                np.testing.assert_allclose(other[name], values, atol=1e-6)
            else:
                np.testing.assert_array_equal(other[name], values)
        for direction in ("text_to_video", "video_to_text"):
            assert results(f"out{size}")[direction] == results("out1")[direction]
