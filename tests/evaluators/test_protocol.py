from __future__ import annotations

from pathlib import Path

import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import DataError
from mmvt.evaluators.metrics.retrieval import RetrievalMetric
from mmvt.evaluators.protocol import build_metric, describe_plan, describe_run, plain


def test_a_metric_is_built_again_from_its_description(task: Path):
    recipe = Recipe.load(
        task, ["metric=RetrievalMetric", "metric.ties=original", "metric.allow_missing=true"]
    )
    described = describe_plan(recipe.plans["metric"])
    assert described == {"name": "RetrievalMetric", "ties": "original", "allow_missing": True}
    metric = build_metric(described)
    assert isinstance(metric, RetrievalMetric)
    assert (metric.ties, metric.equal_captions, metric.allow_missing) == ("original", "own", True)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, "no metric named ''"),
        ({"name": "MyMetric"}, "no metric named 'MyMetric'"),
        ({"name": "RetrievalMetric", "tie": "original"}, "'tie'"),
        ({"name": "RetrievalMetric", "ties": "some"}, "must be 'expectation' | 'original'"),
    ],
)
def test_a_metric_that_cannot_be_built_asks_for_the_task(described: dict[str, str], message: str):
    with pytest.raises(DataError) as caught:
        build_metric(described)
    assert message in str(caught.value)
    assert "name the task YAML as well" in str(caught.value)


def test_secrets_of_the_environment_stay_out(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    corpus = task.parents[2] / "corpus"
    monkeypatch.setenv("MMVT_TEST_SECRET", str(corpus))
    copy = tmp_path / "secret.yaml"
    copy.write_text(task.read_text().replace(str(corpus), "${oc.env:MMVT_TEST_SECRET}"))
    recipe = Recipe.load(copy)
    described = describe_run(recipe, recipe.dataset("test"), None, "test")
    assert str(corpus) not in str(described)
    assert described["config"]["dataset"]["store"] == "${oc.env:MMVT_TEST_SECRET}/features"
    assert described["checkpoint"] == "none: initial weights"


def test_plain_data_is_what_json_gives_back():
    assert plain({"path": Path("a/b"), "pair": (1, 2.5), 3: None}) == {
        "path": "a/b",
        "pair": [1, 2.5],
        "3": None,
    }
