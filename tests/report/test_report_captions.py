from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmvt.report.captions import pick_written
from mmvt.report.report import write_report
from mmvt.report.run import read_run
from tests.report.conftest import write_evaluation
from tests.report.test_report import EVIL, Page
from tests.report.test_samples import write_clip


def captions_of(texts: dict[str, str]) -> dict[str, np.ndarray]:
    """Return predictions of a caption and two references a clip."""
    names = list(texts)
    references = [(name, f"{word} ball {name}") for name in names for word in ("a", "the")]
    return {
        "ids": np.array(names),
        "scored_ids": np.array(names),
        "hypotheses": np.array(list(texts.values()), np.str_),
        "reference_ids": np.array([name for name, _ in references]),
        "references": np.array([text for _, text in references]),
        "reference_source": np.array("texts"),
    }


def write_captions(folder: Path, texts: dict[str, str]) -> None:
    write_evaluation(folder, captions_of(texts), {"metric": {"name": "CaptionMetric"}})


def test_what_was_written_stands_beside_frames_and_references(tmp_path: Path) -> None:
    write_captions(tmp_path / "run" / "eval", {"a.mp4": "a red ball", "b.mp4": "", "c.mp4": EVIL})
    (tmp_path / "videos").mkdir()
    write_clip(tmp_path / "videos" / "a.mp4")
    written = write_report(tmp_path / "run", videos=tmp_path / "videos").read_text()
    page = Page(written)
    assert "What was written" in page.text
    assert "a red ball “a ball a.mp4” “the ball a.mp4” a.mp4" in page.text
    assert "(nothing)" in page.text
    assert "BLEU-4" in page.text
    assert [r[:22] for r in page.references] == ["data:image/jpeg;base64"] * 3
    assert EVIL not in written  # escaped
    assert "no results of retrieval" not in page.text


def test_captions_are_no_retrieval(tmp_path: Path) -> None:
    write_captions(tmp_path / "eval", {"a.mp4": "a ball", "b.mp4": "a box"})
    run = read_run(tmp_path)
    assert run.evaluations == []
    assert run.captions is not None
    assert run.captions.name == "eval"


@pytest.mark.parametrize(("count", "names"), [(1, ["0"]), (2, ["0", "4"]), (9, list("01234"))])
def test_clips_are_spread_over_the_split(count: int, names: list[str]) -> None:
    predictions = captions_of(dict.fromkeys("01234", "x"))
    found = pick_written(predictions, lambda _: (), count)
    assert [clip.name for clip in found] == names


def test_a_clip_has_the_pictures_of_its_video() -> None:
    predictions = captions_of({"a@b.mp4": "x", "v.mp4@3-12.5": "y", "w@1-z": "z"})
    asked: list[str] = []
    pick_written(predictions, lambda video: asked.append(video) or (), 3)  # type: ignore[func-returns-value]  # None
    assert asked == ["a@b.mp4", "v.mp4", "w@1-z"]
