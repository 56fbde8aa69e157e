"""Faults of annotations and of prediction files: ids twice, leaks between splits, files changed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.evaluators.predictions import load_predictions, save_predictions
from mmvt.processors.caption_file import read_captions
from mmvt.processors.meta.captions import CaptionMetaProcessor
from mmvt.processors.meta.how2 import How2MetaProcessor
from mmvt.processors.meta.msrvtt import MSRVTTMetaProcessor
from mmvt_cli.launch import main as launch
from mmvt_cli.predict import main as predict
from mmvt_cli.score import main as score
from tests.corpus import write_corpus, write_project
from tests.retrieval_cases import predictions_of

pytestmark = [pytest.mark.faults, pytest.mark.training]

Capture = pytest.CaptureFixture[str]


def captions(folder: Path, *rows: str) -> Path:
    path = folder / "captions.csv"
    path.write_text("\n".join(["video,caption,split", *rows, ""]))
    return path


def test_t42_a_caption_that_is_there_twice_is_an_error_with_both_lines(tmp_path: Path):
    path = captions(tmp_path, "a.mp4,a dog runs,train", "b.mp4,x,train", "a.mp4,a dog runs,train")
    with pytest.raises(DataError, match=r"captions.csv:4: the same row as line 2$"):
        read_captions(path)


def test_t42_a_video_in_two_splits_is_an_error_with_both_lines(tmp_path: Path):
    path = captions(tmp_path, "a.mp4,a dog runs,train", "b.mp4,x,test", "a.mp4,a cat sits,test")
    with pytest.raises(DataError) as caught:
        CaptionMetaProcessor(split="train", annotations=path)
    assert str(caught.value) == (
        f"{path}:4: video 'a.mp4' is in the split 'test', but in 'train' on line 2"
    )


def test_t42_the_two_forms_of_an_id_are_one_video(tmp_path: Path):
    path = captions(tmp_path, "caf\u00e9.mp4,a dog runs,train", "cafe\u0301.mp4,a cat sits,test")
    with pytest.raises(DataError, match=r":3: video 'café.mp4' is in the split 'test', but in"):
        read_captions(path)


def test_t42_a_leak_ends_the_launch_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
):
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "corpus", videos=6)
    project = write_project(tmp_path, corpus)
    with (corpus / "captions.csv").open("a") as file:
        file.write("video 00.mp4,one more,0,1,test\n")
    assert launch([str(project), "--jobtype", "local_single"]) == 2
    printed = capsys.readouterr().err
    assert "captions.csv:14: video 'video 00.mp4' is in the split 'test', but in 'train'" in printed
    assert not Path("runs").exists()


def test_t42_a_caption_of_two_videos_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = captions(tmp_path, "a.mp4,a dog runs,train", "b.mp4,a dog runs,train")
    with caplog.at_level(logging.WARNING):
        CaptionMetaProcessor(split="train", annotations=path)
    assert caplog.messages == [
        f"{path}: 1 captions belong to more than one video, such as 'a dog runs'"
    ]


def test_t42_lists_of_ids_may_share_none(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    train, test = tmp_path / "train.lst", tmp_path / "test.lst"
    train.write_text("a\nb\nb\n")
    test.write_text("c\na\n")
    with pytest.raises(DataError, match=r"1 videos are in both .*train.lst and .*test.lst: a$"):
        How2MetaProcessor(split="train", train_path=train, test_path=test)
    test.write_text("c\n")
    with caplog.at_level(logging.WARNING):
        How2MetaProcessor(split="train", train_path=train, test_path=test)
    assert any("1 of its 3 ids repeat others" in message for message in caplog.messages)


def test_t42_files_of_two_splits_of_a_public_data_set_may_share_none(tmp_path: Path):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("video_id\nvideo1\nvideo2\n")
    test.write_text("key,vid_key,video_id,sentence\nr1,m1,video2,a dog\n")
    sentences = [{"video_id": v, "caption": "x", "sen_id": n} for n, v in enumerate(("video1",))]
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"sentences": sentences, "videos": []}))
    with pytest.raises(DataError, match=r"1 videos are in both .*: video2$"):
        MSRVTTMetaProcessor(
            split="test", train_path=train, val_path=None, test_path=test, json_path=data
        )


class TestRescoring:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        """Return predictions of four captions and videos, scored once."""
        path = tmp_path / "predictions.npz"
        save_predictions(path, predictions_of(np.eye(4)), {"metric": {"name": "RetrievalMetric"}})
        assert predict(["--rescore", str(path)]) == 0
        return path

    def test_t46_scoring_again_gives_the_same_bytes(self, saved: Path, tmp_path: Path):
        before = saved.with_name("results.json").read_bytes()
        assert predict(["--rescore", str(saved), "--out", str(tmp_path / "again")]) == 0
        assert (tmp_path / "again" / "results.json").read_bytes() == before

    @pytest.mark.parametrize(
        ("name", "ids", "message"),
        [
            ("scored_videos", ["v0", "v1", "v2", "v9"], "v9"),
            ("scored_texts", ["t0", "t1", "t2", "t9"], "t9"),
            ("scored_videos", ["v0", "v1", "v2", "v2"], "v2"),
            ("video_ids", ["v0", "v1", "v2", "v2"], "v2"),
        ],
    )
    def test_t46_a_wrong_or_repeated_id_is_an_error_that_names_it(
        self, saved: Path, capsys: Capture, name: str, ids: list[str], message: str
    ):
        arrays, protocol = load_predictions(saved)
        save_predictions(saved, {**arrays, name: np.array(ids)}, protocol)
        assert predict(["--rescore", str(saved)]) == 2
        assert message in capsys.readouterr().err

    def test_t46_a_missing_id_is_an_error_and_so_is_one_more(self, saved: Path, capsys: Capture):
        arrays, protocol = load_predictions(saved)
        fewer = {"scored_texts": arrays["scored_texts"][:3], "scores": arrays["scores"][:3]}
        save_predictions(saved, {**arrays, **fewer}, protocol)
        assert predict(["--rescore", str(saved)]) == 2
        assert "t3" in capsys.readouterr().err
        more = {
            "scored_texts": np.array(["t0", "t1", "t2", "t3", "t4"]),
            "scores": np.vstack([arrays["scores"], arrays["scores"][:1]]),
        }
        save_predictions(saved, {**arrays, **more}, protocol)
        assert predict(["--rescore", str(saved)]) == 2
        assert "t4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"1_0": 0}, "1 questions without a prediction: '1_1'"),
        ({"1_0": 0, "1_1": 1, "9_9": 1}, "9_9"),
        ({"1_0": 0, "1_1": "x"}, "1_1"),
    ],
)
def test_t46_ids_of_a_public_prediction_file_are_those_of_the_benchmark(
    tmp_path: Path, capsys: Capture, answers: dict[str, object], message: str
):
    table, predicted = tmp_path / "val.csv", tmp_path / "answers.json"
    table.write_text("video,question,answer,qid,type\n1,why,0,0,CW\n1,how,1,1,CH\n")
    chosen = {name: {"prediction": place} for name, place in answers.items()}
    predicted.write_text(json.dumps(chosen))
    assert score(["nextqa", str(predicted), str(table)]) == 2
    assert message in capsys.readouterr().err
