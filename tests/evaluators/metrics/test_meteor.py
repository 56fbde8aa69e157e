from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmvt.errors import MissingPackageError
from mmvt.evaluators.metrics.captions import CaptionMetric
from mmvt.evaluators.metrics.meteor import meteor
from tests.evaluators.metrics.test_caption_metric import SAID, predictions_of

SAID_TWICE = (["a man runs", ""], [["a man runs", "he runs"], ["a dog"]])

Java = Callable[[str], None]


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Java:
    """Return what writes a program in the place of Java, which says what METEOR might."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)

    def write(script: str) -> None:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return write


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    file = tmp_path / "meteor-1.5.jar"
    file.write_bytes(b"no program")
    return file


SAYS_TWO = "echo 0.8 >&2; echo 0.0 >&2; echo 0.25"


def test_it_is_given_a_line_a_caption_and_as_many_references_for_each(
    java: Java, jar: Path, tmp_path: Path
):
    # -Xmx2G -Dfile.encoding=UTF-8 -jar FILE HYPOTHESES REFERENCES -l en -norm -r 2 -q
    java(f'cp "$5" "$6" {tmp_path}; echo "$@" > {tmp_path}/asked; {SAYS_TWO}')
    assert meteor(*SAID_TWICE, jar) == 0.25
    assert (tmp_path / "hypotheses").read_text() == "a man runs\n\n"
    assert (tmp_path / "references").read_text() == "a man runs\nhe runs\na dog\na dog\n"
    asked = (tmp_path / "asked").read_text().split()
    assert asked[2:4] == ["-jar", str(jar)]
    assert asked[6:] == ["-l", "en", "-norm", "-r", "2", "-q"]


def test_what_java_says_beside_the_figures_does_no_harm(java: Java, jar: Path):
    java(f"echo 'Picked up JAVA_TOOL_OPTIONS: -Xss1m' >&2; {SAYS_TWO}")
    assert meteor(*SAID_TWICE, jar) == 0.25


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 0.8 >&2; echo 0.8", "METEOR failed: 0.8"),
        ("echo 0 >&2; echo 0 >&2; echo 0 >&2; echo 0.8", "METEOR failed: 0"),
        ("echo 0 >&2; echo 0 >&2; echo NaN", "METEOR failed: 0"),
        ("echo 0 >&2; echo 0 >&2", "METEOR failed: 0"),
        ("echo x >&2; echo 'java.lang.OutOfMemoryError: heap' >&2; exit 1", "OutOfMemoryError"),
        ("exit 3", "METEOR failed: "),
    ],
)
def test_other_answers_than_a_figure_a_caption_are_refused(
    java: Java, jar: Path, script: str, reason: str
):
    java(script)
    with pytest.raises(MissingPackageError, match=reason):
        meteor(*SAID_TWICE, jar)


def test_what_takes_too_long_is_ended(java: Java, jar: Path):
    java("exec sleep 600")
    with pytest.raises(MissingPackageError, match=r"METEOR took longer than 0\.1 s"):
        meteor(*SAID_TWICE, jar, time_limit=0.1)


def test_without_java_there_is_no_figure_but_a_reason(
    jar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = CaptionMetric(meteor_jar=jar)(predictions_of(SAID))
    assert found["METEOR"] is None
    assert found["absent"] == {"METEOR": "there is no Java"}


def test_without_the_file_there_is_no_figure_but_a_reason(java: Java, tmp_path: Path):
    java(SAYS_TWO)
    found = CaptionMetric(meteor_jar=tmp_path / "gone.jar")(predictions_of(SAID))
    assert found["METEOR"] is None
    assert found["absent"] == {"METEOR": f"there is no file {tmp_path / 'gone.jar'}"}
    assert found["protocol"]["meteor"] is None


def test_a_program_that_fails_leaves_all_other_figures(java: Java, jar: Path):
    java("exit 1")
    found = CaptionMetric(meteor_jar=jar)(predictions_of(SAID))
    assert found["METEOR"] is None
    assert found["absent"]["METEOR"].startswith("METEOR failed")
    assert found["CIDEr-D"] == CaptionMetric()(predictions_of(SAID))["CIDEr-D"]


def test_the_protocol_names_the_file(java: Java, jar: Path):
    java("for row in 1 2 3 4 5; do echo 0.5 >&2; done; echo 0.5")
    found = CaptionMetric(meteor_jar=jar)(predictions_of(SAID))
    assert found["METEOR"] == 0.5
    assert found["absent"] == {}
    assert found["protocol"]["meteor"]["file"] == "meteor-1.5.jar"
    assert len(found["protocol"]["meteor"]["sha256"]) == 64


@pytest.mark.may_skip("needs Java and a program that is not distributed here")
@pytest.mark.skipif("MMVT_METEOR_JAR" not in os.environ, reason="MMVT_METEOR_JAR names no jar")
def test_the_figure_is_that_of_coco_captions():
    found = CaptionMetric(meteor_jar=Path(os.environ["MMVT_METEOR_JAR"]))(predictions_of(SAID))
    assert found["METEOR"] == pytest.approx(0.40226975235700935, rel=1e-12)
