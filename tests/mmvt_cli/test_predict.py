from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.evaluators.metrics.captions import CaptionMetric
from mmvt.evaluators.predictions import load_predictions, save_predictions
from mmvt_cli.predict import main, show
from tests.corpus import write_corpus, write_project


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def task(tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a task in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, corpus)
    return "projects/task/tiny.yaml"


def test_a_table_shows_both_directions_beside_chance(task: str, capsys: pytest.CaptureFixture[str]):
    assert main([task, "--checkpoint", "none", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert "8 captions of 4 videos (test split, ids " in printed
    assert printed.count("chance") == 2
    assert "text → video" in printed
    assert "video → text" in printed
    assert "written to out/results.json" in printed
    results = json.loads(Path("out/results.json").read_text())
    assert f"{100 * results['text_to_video']['R@1']:.1f}" in printed


def test_weights_are_found_in_the_run_and_results_go_beside_them(
    task: str, capsys: pytest.CaptureFixture[str]
):
    assert main([task]) == 2
    problem = capsys.readouterr().err
    assert "runs/task/tiny/checkpoint_best.pt" in problem
    assert "runs/task/tiny/checkpoint_last.pt" in problem
    assert main([task, "--checkpoint", "none"]) == 0
    assert Path("runs/task/tiny/eval_initial/results.json").is_file()
    from mmvt.config.recipe import Recipe

    model = Recipe.load(Path(task)).model()
    state = {f"mmmodel.{key}": value for key, value in model.state_dict().items()}
    torch.save({"model": state}, "runs/task/tiny/checkpoint_last.pt")
    assert main([task, "--split", "valid"]) == 0
    written = json.loads(Path("runs/task/tiny/eval_valid/results.json").read_text())
    assert written["protocol"]["split"] == "valid"
    assert written["protocol"]["checkpoint"]["file"] == "checkpoint_last.pt"
    assert main([task, "--checkpoint", "runs/task/tiny/checkpoint_last.pt"]) == 0
    assert Path("runs/task/tiny/eval/predictions.npz").is_file()


def test_scoring_again_gives_the_same_bytes(task: str, capsys: pytest.CaptureFixture[str]):
    main(
        [
            task,
            "metric=RetrievalMetric",
            "metric.ties=original",
            "--checkpoint",
            "none",
            "--out",
            "out",
        ]
    )
    before, printed = Path("out/results.json").read_bytes(), capsys.readouterr().out
    assert main(["--rescore", "out/predictions.npz"]) == 0
    assert Path("out/results.json").read_bytes() == before
    assert capsys.readouterr().out == printed
    assert main([task, "--rescore", "out/predictions.npz", "--out", "other"]) == 0
    assert json.loads(Path("other/results.json").read_text())["protocol"]["ties"] == "expectation"


@pytest.mark.faults
def test_predictions_that_are_not_numbers_end_with_an_error(
    task: str, capsys: pytest.CaptureFixture[str]
):
    main([task, "--checkpoint", "none", "--out", "out"])
    predictions, protocol = load_predictions(Path("out/predictions.npz"))
    predictions["video_vectors"][2] = np.nan
    save_predictions(Path("out/predictions.npz"), predictions, protocol)
    assert main(["--rescore", "out/predictions.npz"]) == 2
    assert (
        "error: the vectors of 1 videos are not finite: 'video 17.mp4'" in capsys.readouterr().err
    )


@pytest.mark.faults
def test_wrong_arguments_end_with_an_error(task: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "name a task YAML, or predictions with --rescore" in capsys.readouterr().err
    assert main([task, "--rescore", "x.npz", "--checkpoint", "none"]) == 2
    assert "exclude each other" in capsys.readouterr().err
    assert main([task, "dataset.max_lne=3", "--checkpoint", "none"]) == 2
    assert "did you mean 'max_len'" in capsys.readouterr().err
    assert main([task, "--checkpoint", "absent.pt", "--out", "out"]) == 2
    assert "absent.pt: there is no such checkpoint" in capsys.readouterr().err


def test_results_of_another_metric_are_shown_as_json(capsys: pytest.CaptureFixture[str]):
    show({"accuracy": 0.5, "protocol": {"name": "x"}})
    assert json.loads(capsys.readouterr().out) == {"accuracy": 0.5, "protocol": {"name": "x"}}


def test_answers_are_shown_beside_what_needs_no_video(capsys: pytest.CaptureFixture[str]):
    groups = {"what": {"accuracy": 0.5, "questions": 4}}
    blind = {
        "question_only": {"accuracy": 0.25, "groups": groups},
        "answer_only": {"accuracy": 0.0},
    }
    protocol = {"name": "multiple choice", "questions": 4, "ids_sha256": 64 * "a"}
    own = {"accuracy": 0.5, "questions": 4, "groups": groups, "chance": 0.2, "protocol": protocol}
    show({**own, **blind})
    assert capsys.readouterr().out.splitlines() == [
        "multiple choice: 4 questions; ids aaaaaaaaaaaa",
        "",
        "                          questions  accuracy",
        "all                               4     50.00",
        "what                              4     50.00",
        "without the video                 –     25.00",
        "without the question too          –      0.00",
        "by chance: 20.00",
    ]


def test_captions_are_shown_as_a_table_with_what_is_absent(capsys: pytest.CaptureFixture[str]):
    captions = {
        "ids": ["a", "b"],
        "reference_ids": ["a", "b"],
        "references": ["a dog runs", "a cat sleeps"],
        "scored_ids": ["a", "b"],
        "hypotheses": ["a dog runs", "a dog runs"],
    }
    show(CaptionMetric()({name: np.array(rows) for name, rows in captions.items()}))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("captions: 2 clips, 0 missing clips; ids ")
    assert printed[2].split()[:2] == ["BLEU-1", "BLEU-2"]
    assert printed[3].split()[:2] == ["all", "66.67"]
    assert printed[4] == "no METEOR: metric.meteor_jar is not set"


def test_evaluation_imports_no_fairseq_and_help_no_torch(task: str):
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from mmvt_cli.predict import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
        f"assert main(['{task}', '--checkpoint', 'none', '--out', 'out']) == 0\n"
        "assert 'fairseq' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
