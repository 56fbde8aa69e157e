from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mmvt.errors import DataError
from mmvt.processors.meta.nextqa import TYPES, Question, read_questions

HEADER = "video,frame_count,question,answer,qid,type,a0,a1,a2,a3,a4\n"


def test_questions_have_the_id_of_their_video_and_number(tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(f"{HEADER}40,369,why,0,6,CH,a,b,c,d,e\n40,369,when,4,7,TP,a,b,c,d,e\n")
    assert read_questions(path) == [Question("40_6", "CH", 0), Question("40_7", "TP", 4)]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("", "holds no question"),
        ("40,369,why,-1,6,CH,a,b,c,d,e\n", "val.csv:2: answer -1 is none of 0 to 4"),
        ("40,369,why,5,6,CH,a,b,c,d,e\n", "val.csv:2: answer 5 is none of 0 to 4"),
        ("40,369,why,x,6,CH,a,b,c,d,e\n", "val.csv:2: answer 'x' is no whole number"),
        ("40,369,why,0,6,C,a,b,c,d,e\n", "val.csv:2: type 'C' is none of CW, CH"),
        ("40,369,why,0,6,,a,b,c,d,e\n", "val.csv:2: type is empty"),
        ("40,369,why,0,6\n", "val.csv:2: 5 cells, but 11 columns"),
    ],
)
def test_wrong_rows_are_named(rows: str, problem: str, tmp_path: Path):
    path = tmp_path / "val.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(DataError, match=problem):
        read_questions(path)


def test_the_public_validation_set_has_its_published_counts(shared: Path):
    path = shared / "data" / "annotations" / "NExT-QA__dataset_nextqa_val.csv"
    questions = read_questions(path)
    assert len(questions) == 4996
    assert len({question.text_id.split("_")[0] for question in questions}) == 570
    assert Counter(question.kind[0] for question in questions) == {"C": 2607, "T": 1612, "D": 777}
    assert {question.kind for question in questions} == set(TYPES)
