"""Tests of recipes: a YAML to checked plans to parts, and every problem of a YAML at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmvt.config.recipe import Recipe
from mmvt.datasets.multimodal import collate
from mmvt.errors import ConfigError
from mmvt.plugins import load_plugins
from tests.corpus import TASK, write_corpus

MINE = '''\
from mmvt.processors.aligners.sampled import SampledAligner
from mmvt.processors.base import Layout
from mmvt.processors.sampling import WholeSampler


class MyAligner(SampledAligner):
    """The whole video.

    Args:
        layout: writes tensors.
        note: any text.
    """

    def __init__(self, *, layout: Layout, note: str) -> None:
        super().__init__(sampler=WholeSampler(), layout=layout)
        self.note = note
'''


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def task(tmp_path: Path, corpus: Path) -> Path:
    """Return a task YAML over a small corpus; its lines are those of ``TASK``."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TASK.format(corpus=corpus))
    return path


def line_of(word: str) -> int:
    return next(n for n, line in enumerate(TASK.splitlines(), 1) if word in line)


def problems(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Recipe.load(path, overrides)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


class TestBuilding:
    def test_a_yaml_becomes_parts_that_run(self, task: Path):
        torch.set_num_threads(1)
        recipe = Recipe.load(task)
        dataset = recipe.dataset("train")
        assert len(dataset) == 4
        loss, outputs = recipe.task().compute(
            recipe.model(), recipe.loss(), collate([dataset[0], dataset[1]])
        )
        loss.backward()
        assert outputs["scores"].shape == (2, 2)
        assert type(recipe.predictor()).__name__ == "RetrievalPredictor"
        assert type(recipe.metric()).__name__ == "RetrievalMetric"

    def test_the_head_names_what_is_left_open(self, task: Path):
        plans = Recipe.load(task).plans
        assert plans["loss"].cls.__name__ == "SymmetricNCE"
        layout = plans["dataset"].values["aligner"].values["layout"]
        assert layout.cls.__name__ == "VideoTextLayout"
        assert Recipe.load(task, ["loss=TextToVideoNCE"]).plans["loss"].cls.__name__ == (
            "TextToVideoNCE"
        )

    def test_the_seed_is_fairseqs(self, task: Path):
        assert Recipe.load(task).seed == 3
        assert Recipe.load(task).dataset("train").seed == 3
        assert Recipe.load(task, ["fairseq.common.seed=0"]).seed == 0
        assert Recipe.load(task, ["fairseq=null"]).seed == 1
        with pytest.raises(ConfigError, match=r"fairseq.common.seed must be int, not 'x'"):
            _ = Recipe.load(task, ["fairseq.common.seed=x"]).seed

    def test_overrides_change_any_key(self, task: Path):
        plans = Recipe.load(task, ["dataset.max_len=30", "head.temperature=0.5"]).plans
        assert plans["dataset"].values["aligner"].values["layout"].values["max_len"] == 30
        assert plans["head"].values == {"temperature": 0.5}

    def test_how_video_files_become_features_is_asked_of_the_yaml(self, task: Path):
        with pytest.raises(ConfigError, match=r"tiny.yaml: features is missing; it says how"):
            Recipe.load(task).extraction()

    def test_nothing_secret_is_kept_in_the_layer(
        self, task: Path, monkeypatch: pytest.MonkeyPatch, corpus: Path
    ):
        monkeypatch.setenv("FEATURES", str(corpus / "features"))
        recipe = Recipe.load(task, ["dataset.store=${oc.env:FEATURES}"])
        assert recipe.plans["dataset"].values["video_processor"].values["store"] == (
            corpus / "features"
        )
        assert recipe.layer.data["dataset"]["store"] == "${oc.env:FEATURES}"

    def test_an_aligner_of_ones_own_is_found_from_yaml_alone(self, task: Path):
        (task.parent / "mine.py").write_text(MINE)
        unset = "sampled_min_len: null, sampled_max_len: null"
        task.with_name("own.yaml").write_text(
            "includes: tiny.yaml\nplugins: [mine.py]\n"
            f"dataset: {{aligner: MyAligner, note: hello, {unset}}}\n"
        )
        aligner = Recipe.load(task.with_name("own.yaml")).dataset("train").aligner
        assert type(aligner).__name__ == "MyAligner"
        assert vars(aligner)["note"] == "hello"


class TestProblems:
    def test_every_slip_of_a_file_is_told_at_once_in_its_order(self, task: Path):
        text = task.read_text()
        for good, bad in (
            ("OverlappedAligner", "OverlapedAligner"),
            ("max_video_len: 8", "max_vidoe_len: 8"),
            ("sampled_min_len: 4", "sampled_min_len: four"),
            ("input_dim: 16", "input_dmi: 16"),
            ("head:", "haed:"),
        ):
            text = text.replace(good, bad)
        task.write_text(text)
        found = problems(task)
        lines = [int(problem.split(":")[0]) for problem in found if problem[0] != " "]
        assert lines == sorted(lines)
        heads = ", ".join(load_plugins().registries["head"].names())
        for expected in (
            f" head is missing; name one of {heads}",
            (
                f"{line_of('aligner')}: dataset.aligner: no aligner named 'OverlapedAligner'; "
                "did you mean OverlappedAligner?"
            ),
            (
                f"{line_of('max_video_len')}: dataset.max_vidoe_len is used by no plugin; "
                "did you mean 'max_video_len'?"
            ),
            (
                f"{line_of('input_dim')}: encoders.video.input_dmi is used by no plugin; "
                "did you mean 'input_dim'?"
            ),
            f"{line_of('head:')}: haed is no section; did you mean 'head'?",
        ):
            assert expected in found
        assert not any("loss" in problem for problem in found)

    def test_a_wrong_type_and_a_missing_key_are_told(self, task: Path):
        task.write_text(
            task.read_text()
            .replace("sampled_min_len: 4", "sampled_min_len: four")
            .replace("  max_len: 24\n", "")
        )
        assert problems(task) == [
            (
                "1: dataset.max_len is missing; VideoTextLayout needs it: length of the whole "
                "sequence, in tokens."
            ),
            (
                f"{line_of('sampled_min_len') - 1}: dataset.sampled_min_len must be int, not str "
                "'four'"
            ),
        ]

    def test_one_misspelt_head_is_one_problem(self, task: Path):
        task.write_text(task.read_text().replace("ContrastiveHead", "ContrastiveHaed"))
        assert problems(task) == [
            (
                f"{line_of('head:')}: head: no head named 'ContrastiveHaed'; "
                "did you mean ContrastiveHead?"
            )
        ]

    def test_a_head_like_no_other_is_one_problem(self, task: Path):
        task.write_text(task.read_text().replace("head: ContrastiveHead", "head: Nothing"))
        (problem,) = problems(task)
        assert "head: no head named 'Nothing' (there are " in problem

    def test_an_override_is_named_as_such(self, task: Path):
        assert problems(task, "dataset.max_lne=1", "dataset.max_len=x") == [
            "command line: dataset.max_len must be int, not str 'x'",
            "command line: dataset.max_lne is used by no plugin; did you mean 'max_len'?",
        ]

    def test_sections_must_hold_keys(self, task: Path):
        found = problems(task, "dataset=5", "encoders=[a]", "fairseq=7", "prepare=[b]")
        assert set(found) == {
            "command line: prepare must be text, not ['b']",
            "command line: fairseq must hold keys and values, not 7",
            "command line: encoders must hold keys and values, not ['a']",
            "command line: dataset must hold keys and values, not 5",
        }

    def test_a_broken_include_hides_nothing_else(self, task: Path):
        path = task.with_name("main.yaml")
        path.write_text(
            "includes: [gone.yaml]\ndataset:\n  aligner: PairAlginer\n  max_len: x\n  max_lne: 1\n"
            "  mine: 1\nhead: ContrastiveHead\n"
        )
        assert problems(path) == [
            "1: the included file gone.yaml does not exist",
            "3: dataset.aligner: no aligner named 'PairAlginer'; did you mean PairAligner?",
            "4: dataset.max_len must be int, not str 'x'",
            "5: dataset.max_lne is used by no plugin; did you mean 'max_len'?",
        ]

    def test_an_untrusted_include_is_one_problem_and_nothing_is_imported(self, task: Path):
        (task.parent / "mine.py").write_text("raise SystemExit('imported')")
        task.write_text(task.read_text() + "plugins: [mine.py]\n")
        path = task.with_name("main.yaml")
        path.write_text("includes: tiny.yaml\n")
        with pytest.raises(ConfigError) as caught:
            Recipe.load(path)
        (problem,) = caught.value.problems
        assert "plugins are imported only for the file named on the command line" in problem

    def test_a_plugin_file_that_fails_is_a_problem_with_its_line(self, task: Path):
        (task.parent / "bad.py").write_text("import no_such_package")
        last = len(TASK.splitlines()) + 1
        task.write_text(task.read_text() + "plugins: [bad.py, gone.py]\nfoo: 1\n")
        found = problems(task)
        assert len(found) == 2
        assert found[0].startswith(f"{last}: the plugin file ")
        assert "fails to import: ModuleNotFoundError" in found[0]
        assert found[1].endswith("gone.py does not exist")

    def test_an_open_reference_is_one_problem(self, task: Path):
        assert problems(task, "dataset.max_len=${nowhere}", "prepare=${x}", "other=1") == [
            "command line: dataset.max_len: ${nowhere} leads nowhere",
            "command line: prepare: ${x} leads nowhere",
            "command line: other is no section",
        ]

    def test_the_environment_is_not_quoted(self, task: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("TOKEN", "hunter2")
        assert problems(task, "dataset.max_len=${oc.env:TOKEN}") == [
            "command line: dataset.max_len must be int, but '${oc.env:TOKEN}' gives str"
        ]

    def test_parts_that_do_not_meet_are_told(self, task: Path):
        (task.parent / "mine.py").write_text(
            "from mmvt.losses.base import Loss\n\n\n"
            "class LogitLoss(Loss):\n    def forward(self, logits):\n        return logits.sum()\n"
        )
        task.write_text(task.read_text() + "plugins: [mine.py]\nloss: LogitLoss\n")
        (problem,) = problems(task)
        assert "LogitLoss needs logits, but ContrastiveHead produces " in problem

    def test_a_project_is_no_task(self, task: Path):
        task.write_text("project_dir: a\nbase_dir: b\ntask_group: {}\n")
        with pytest.raises(ConfigError, match=r"is a project; run it through locallaunch.py"):
            Recipe.load(task)
