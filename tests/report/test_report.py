from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mmvt.errors import DataError
from mmvt.report.report import write_report
from tests.report.conftest import random_predictions, write_evaluation
from tests.report.test_samples import write_clip
from tests.retrieval_cases import predictions_of

EVIL = "<script>alert('x')</script><img src=http://example.org/x onerror=alert(1)>"


class Page(HTMLParser):
    """A page taken apart: its elements, what they refer to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.references += [
            named[name] or "" for name in ("src", "href", "xlink:href", "srcset") if name in named
        ]
        assert not any(name.startswith("on") for name in named)
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"] or ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text with single spaces."""
        return " ".join(" ".join(self.words).split())


def page_of(run: Path, videos: Path | None = None) -> Page:
    return Page(write_report(run, videos=videos).read_text())


def test_a_whole_run_shows_everything(whole: Path, tmp_path: Path):
    for number in range(12):
        write_clip(tmp_path / "clips" / f"v{number}")
    page = page_of(whole, tmp_path / "clips")
    assert (whole / "report.html").is_file()
    for words in (
        "my run",
        "12 captions of 12 videos",
        "weights of checkpoint_best.pt",
        "trained until",
        "learning rate",
        "text → video, this model",
        "text → video, initial weights",
        "queries by rank of the right one",
        "score of every caption with every video",
        "Sample queries, from the best found to the worst",
        "✓ right",
        "Protocol of the evaluation",
        "head: ContrastiveHead",
    ):
        assert words in page.text
    assert "Not in this report" not in page.text
    # 6 samples of 5 or 6 videos with 3 pictures each, and those of the heat map
    pictures = [r for r in page.references if r.startswith("data:image/jpeg")]
    assert 6 * 5 * 3 <= len(pictures) <= 6 * 6 * 3


def test_a_page_asks_for_nothing_outside_of_it(whole: Path, tmp_path: Path):
    page = page_of(whole)
    assert all(r.startswith(("data:", "#")) for r in page.references)
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(page.tags)
    assert page.policy.startswith("default-src 'none'")
    assert "@import" not in (whole / "report.html").read_text()


def test_a_training_alone_says_that_results_are_absent(trained: Path):
    page = page_of(trained)
    assert "validation" in page.text
    assert "There are no results of retrieval in this run; mmvt predict makes them." in page.text
    assert "Sample queries" not in page.text


def test_an_evaluation_alone_says_that_curves_are_absent(tmp_path: Path):
    write_evaluation(tmp_path / "eval", random_predictions())
    page = page_of(tmp_path)
    assert "There are no events of a training in this run: no curves." in page.text
    assert "There is no config.yaml in this run." in page.text
    assert "the folder of videos is unknown (--videos DIR)" in page.text
    assert "the right video has rank" in page.text


def test_results_without_predictions_say_so(whole: Path):
    (whole / "eval" / "predictions.npz").unlink()
    page = page_of(whole)
    assert "There is no predictions.npz beside the results: no ranks, no samples." in page.text
    assert "this model" in page.text


def test_results_of_another_metric_are_shown_as_they_are(tmp_path: Path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "results.json").write_text('{"accuracy": 0.5}')
    page = page_of(tmp_path)
    assert '"accuracy": 0.5' in page.text
    assert "There are no results of retrieval" in page.text


@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_evaluations_have_a_report(tmp_path: Path, size: int):
    write_evaluation(tmp_path / "eval", predictions_of(np.eye(size)))
    assert f"{size} captions of {size} videos" in page_of(tmp_path).text


def test_missing_predictions_are_part_of_the_ranks(tmp_path: Path):
    predictions = predictions_of(np.eye(8))
    partial = {
        **predictions,
        "scored_texts": predictions["scored_texts"][1:],
        "scored_videos": predictions["scored_videos"][1:],
        "scores": predictions["scores"][1:, 1:],
    }
    metric = {"metric": {"name": "RetrievalMetric", "allow_missing": True}}
    write_evaluation(tmp_path / "eval", partial, metric)
    page = page_of(tmp_path)
    assert "87.5" in page.text
    assert "6–8" in page.text


def test_videos_beside_the_caption_file_give_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    write_clip(Path("data/videos/v0"))
    config = {"config": {"dataset": {"annotations": "data/captions.csv"}}}
    write_evaluation(Path("run/eval"), predictions_of(np.eye(2)), config)
    assert any(r.startswith("data:image/jpeg") for r in page_of(Path("run")).references)
    shutil.rmtree("data/videos")
    Path("data/videos").mkdir()
    page = page_of(Path("run"))
    assert "The samples have no pictures: data/videos holds none of their videos." in page.text


@pytest.mark.faults
def test_names_and_captions_are_text_and_never_code(tmp_path: Path):
    predictions = predictions_of(np.eye(3))
    for name in ("captions", "video_ids", "scored_videos"):
        predictions[name] = np.array([f"{EVIL}{number}" for number in range(3)])
    run = tmp_path / "<b>run"
    config = {"config": {"dataset": {"annotations": EVIL}}, "checkpoint": {"file": EVIL}}
    write_evaluation(run / "eval", predictions, config)
    write_evaluation(run / "eval_<script>", predictions, {"checkpoint": {"file": "x"}})
    (run / "config.yaml").write_text(f'plugins: "</pre>{EVIL}"\n')
    page = page_of(run)
    assert not {"script", "iframe"} & set(page.tags)
    assert all(r.startswith(("data:", "#")) for r in page.references)
    assert f"{EVIL}0" in page.text
    assert "<b>run" in page.text


@pytest.mark.faults
def test_a_folder_of_videos_that_does_not_exist_is_an_error(whole: Path, tmp_path: Path):
    with pytest.raises(DataError, match="nowhere: there is no such folder of videos"):
        write_report(whole, videos=tmp_path / "nowhere")


def test_the_page_goes_where_it_is_asked_to(whole: Path, tmp_path: Path):
    out = tmp_path / "new" / "page.html"
    assert write_report(whole, out) == out
    assert out.is_file()
    assert not (whole / "report.html").exists()
