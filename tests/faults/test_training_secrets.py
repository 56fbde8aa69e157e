"""Faults that could tell a secret: errors, tracebacks, results, YAML files with passwords."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.config.recipe import Recipe
from mmvt.errors import ConfigError
from mmvt.evaluators.protocol import describe_plan
from mmvt_cli.launch import main
from tests.corpus import write_corpus, write_project
from tests.faults.runs import ROOT, command

pytestmark = [pytest.mark.faults, pytest.mark.training]

Capture = pytest.CaptureFixture[str]
TOKEN = "hf_S3cr3tS3cr3t"
SPY = '''\
import os
from mmvt.tasks.task import Task


class FailingTask(Task):
    """Fails, and says more than it should."""

    def compute(self, model, loss, batch):
        raise RuntimeError(f"https://me:passw0rd@host refused {os.environ['HF_TOKEN']}")
'''


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), videos=6)


@pytest.fixture
def project(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    write_project(tmp_path, corpus)
    return Path("projects/tiny.yaml")


def told(folder: Path, *secrets: str) -> list[Path]:
    """Return the files below a folder that hold one of the secrets."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(s.encode() in path.read_bytes() for s in secrets)]


@pytest.mark.parametrize(
    "word",
    [
        "head.api_key=passw0rd",
        "dataset.password=passw0rd",
        "dataset.hf_token=passw0rd",
        "dataset.store=s3://me:passw0rd@host/features",
    ],
)
def test_t39_a_secret_that_is_written_out_is_refused_and_not_repeated(
    project: Path, capsys: Capture, word: str
):
    assert main([str(project), word]) == 2
    printed = capsys.readouterr()
    key = word.partition("=")[0]
    assert f"command line: {key}: a secret would stand in saved files and logs" in printed.err
    assert "passw0rd" not in printed.out + printed.err
    assert told(Path(), "passw0rd") == []


def test_t39_a_token_on_the_command_line_becomes_a_reference(project: Path, capsys: Capture):
    words = [f"dataset.store={TOKEN}", "--jobtype", "local_single", "--dryrun"]
    for path in (project, Path("projects/task/tiny.yaml")):
        assert main([str(path), *words]) == 0
    printed = capsys.readouterr()
    assert TOKEN not in printed.out + printed.err
    assert "'dataset.store=${oc.env:HF_TOKEN}'" in printed.out
    assert told(Path(), TOKEN) == []
    recipe = Recipe.load(Path("projects/tiny/tiny.yaml"))
    assert str(recipe.plans["dataset"].values["video_processor"].values["store"]) == TOKEN


def test_t39_checkpoints_are_given_no_secret(project: Path, capsys: Capture):
    assert main([str(project), "fairseq.common.wandb_project=${oc.env:HF_TOKEN}"]) == 2
    printed = capsys.readouterr().err
    assert "fairseq: wandb_project holds a secret, which checkpoints would keep" in printed
    assert TOKEN not in printed


def test_t39_an_error_quotes_no_secret(project: Path):
    done = command(
        "predict",
        project.with_name("task") / "tiny.yaml",
        "dataset.store=${oc.env:HF_TOKEN}",
        "--checkpoint=none",
        HF_TOKEN=TOKEN,
    )
    assert done.returncode == 2
    assert "${oc.env:HF_TOKEN}" in done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_t39_results_name_no_secret(project: Path):
    recipe = Recipe.load(
        Path("projects/task/tiny.yaml"), ["dataset.store=${oc.env:HF_TOKEN}/features"]
    )
    described = json.dumps(describe_plan(recipe.plans["dataset"].values["video_processor"]))
    assert "${oc.env:HF_TOKEN}/features" in described
    assert TOKEN not in described


def test_t39_a_message_about_a_value_quotes_what_is_written(project: Path):
    with pytest.raises(ConfigError) as caught:
        Recipe.load(Path("projects/task/tiny.yaml"), ["dataset.max_len=${oc.env:HF_TOKEN}"])
    assert "'${oc.env:HF_TOKEN}' gives str" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_t39_a_training_that_fails_tells_no_secret(project: Path):
    project.with_name("spy.py").write_text(SPY)
    project.write_text(project.read_text() + "plugins: [spy.py]\ntask: FailingTask\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    assert main([str(project)]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "mmvt_cli.train", "projects/tiny/tiny.yaml", "--log-level=debug"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 1
    assert "RuntimeError: https://me:***@host refused ${oc.env:HF_TOKEN}" in done.stderr
    record = json.loads(Path("runs/tiny/tiny/run.json").read_text())
    assert record["starts"][-1]["outcome"] == "failed"
    assert "refused ${oc.env:HF_TOKEN}" in record["starts"][-1]["error"]
    assert "the run failed" in Path("runs/tiny/tiny/train.log").read_text()
    for text in (TOKEN, "passw0rd"):
        assert text not in done.stdout + done.stderr
    assert told(Path("runs"), TOKEN, "passw0rd") == []
