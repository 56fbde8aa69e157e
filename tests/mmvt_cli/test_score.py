"""Tests of scoring prediction files of public benchmarks, tiny ones and the public samples."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest

from mmvt.evaluators.arrays import sha256_of
from mmvt_cli.score import main, score
from tests.small_wordnet import write_wordnet

QUERIES = [
    {
        "qid": 7,
        "query": "A dog runs.",
        "duration": 10,
        "vid": "v1_0.0_10.0",
        "relevant_windows": [[2, 6]],
        "relevant_clip_ids": [1, 2],
        "saliency_scores": [[4, 3, 2], [4, 4, 4]],
    },
    {
        "qid": 8,
        "query": "A cat sits.",
        "duration": 10,
        "vid": "v1_0.0_10.0",
        "relevant_windows": [[0, 2], [8, 10]],
        "relevant_clip_ids": [0, 4],
        "saliency_scores": [[2, 2, 2], [0, 1, 1]],
    },
]
ANSWERS = [
    {
        "qid": 7,
        "vid": "v1_0.0_10.0",
        "pred_relevant_windows": [[2, 6, 0.9]],
        "pred_saliency_scores": [0.1, 0.5, 0.9, 0.2, 0.3],
    },
    {
        "qid": 8,
        "pred_relevant_windows": [[4, 8, 0.9], [0, 2, 0.8]],
        "pred_saliency_scores": [-1, -2, -3, -4, -5.5],
    },
]
TABLE = """\
video,question,answer,qid,type
11,why is it,0,1,CW
11,how is it,4,2,CH
12,what comes next,2,1,TN
13,what is it,3,1,DO
"""
CHOSEN = {"11_1": 0, "11_2": 1, "12_1": 2, "13_1": 3}


def write_lines(path: Path, lines: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture
def highlights(tmp_path: Path) -> tuple[Path, Path]:
    """Return a submission to QVHighlights and its annotations."""
    write_lines(tmp_path / "queries.jsonl", QUERIES)
    write_lines(tmp_path / "answers.jsonl", ANSWERS)
    return tmp_path / "answers.jsonl", tmp_path / "queries.jsonl"


@pytest.fixture
def questions(tmp_path: Path) -> tuple[Path, Path]:
    """Return answers to NExT-QA and its questions."""
    (tmp_path / "val.csv").write_text(TABLE)
    chosen = {name: {"prediction": place} for name, place in CHOSEN.items()}
    (tmp_path / "answers.json").write_text(json.dumps(chosen))
    return tmp_path / "answers.json", tmp_path / "val.csv"


@pytest.fixture
def captions(tmp_path: Path) -> tuple[Path, Path]:
    """Return captions of two clips, and what people wrote of them."""
    people = {"a": ["a dog runs on the sand", "the dog is running"], "b": ["a cat sits there"]}
    (tmp_path / "people.json").write_text(json.dumps(people))
    (tmp_path / "ours.json").write_text('{"a": "A dog runs on the sand.", "b": "a man"}')
    return tmp_path / "ours.json", tmp_path / "people.json"


def run(
    benchmark: str, files: tuple[Path, Path], *words: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run the command; return its exit code and what it printed."""
    code = main([benchmark, *map(str, files), *words])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


def test_moments_and_highlights_by_hand(highlights: tuple[Path, Path]):
    results = score("qvhighlights", *highlights)
    assert results["windows"]["full"]["R1@0.5"] == 0.5
    # the second query: one of two windows is found, as the second of two
    assert results["windows"]["short"]["mAP"] == (1 + 0.25) / 2
    assert results["windows"]["middle"] == {"queries": 0}
    # nobody finds a clip of the second query good
    assert results["clips"]["Good"]["Hit@1"] == 0.5
    assert results["clips"]["Fair"] == {"mAP": 1.0, "Hit@1": 1.0}
    assert results["official"]["HL-min-Good-Hit1"] == 50.0
    assert results["official"]["MR-full-mAP"] == 62.5


def test_the_protocol_names_files_ids_and_counts(highlights: tuple[Path, Path]):
    protocol = score("qvhighlights", *highlights)["protocol"]
    assert protocol["benchmark"] == "qvhighlights"
    assert protocol["name"] == "moments and highlights"
    assert (protocol["queries"], protocol["windows"], protocol["missing_queries"]) == (2, 3, 0)
    assert protocol["ids_sha256"] == hashlib.sha256(b"7\n8\n").hexdigest()
    for name, path in zip(("predictions", "annotations"), highlights, strict=True):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert protocol[name] == {"file": path.name, "sha256": digest}


def test_a_file_without_saliency_has_no_figures_of_clips(highlights: tuple[Path, Path]):
    lines = [{k: v for k, v in a.items() if k != "pred_saliency_scores"} for a in ANSWERS]
    write_lines(highlights[0], lines)
    results = score("qvhighlights", *highlights)
    assert "clips" not in results
    assert results["official"].keys() == {
        "MR-full-R1@0.5",
        "MR-full-R1@0.7",
        "MR-full-mAP",
        "MR-full-mAP@0.5",
        "MR-full-mAP@0.75",
        "MR-short-mAP",
    }


def test_answers_are_scored_by_group_and_type(questions: tuple[Path, Path]):
    results = score("nextqa", *questions)
    assert (results["accuracy"], results["questions"]) == (0.75, 4)
    assert results["groups"]["C"] == {"accuracy": 0.5, "questions": 2}
    assert results["groups"]["CH"] == {"accuracy": 0.0, "questions": 1}
    assert results["groups"].keys() == {"C", "T", "D", "CW", "CH", "TN", "DO"}


def test_tables_show_percent_and_counts(
    highlights: tuple[Path, Path],
    questions: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
):
    code, printed = run("qvhighlights", highlights, capsys=capsys)
    assert code == 0
    lines = [line.split() for line in printed.splitlines()]
    assert lines[0][:4] == ["moments", "and", "highlights:", "2"]
    assert ["full", "2", "50.00", "50.00", "62.50", "62.50", "62.50"] in lines
    assert ["long", "0", "–", "–", "–", "–", "–"] in lines
    assert ["Fair", "100.00", "100.00"] in lines
    code, printed = run("nextqa", questions, capsys=capsys)
    assert code == 0
    assert ["all", "4", "75.00"] in [line.split() for line in printed.splitlines()]


@pytest.mark.parametrize(
    ("benchmark", "given"),
    [("qvhighlights", "highlights"), ("nextqa", "questions"), ("captions", "captions")],
)
def test_the_same_files_give_the_same_bytes(
    benchmark: str,
    given: str,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
):
    files = request.getfixturevalue(given)
    out = files[0].parent / "results.json"
    _, first = run(benchmark, files, "--json", "--out", str(out), capsys=capsys)
    written = out.read_bytes()
    _, again = run(benchmark, files, "--json", "--out", str(out), capsys=capsys)
    assert out.read_bytes() == written == first.encode() == again.encode()


def test_missing_extra_and_repeated_queries_are_errors_that_name_them(
    highlights: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    write_lines(highlights[0], [ANSWERS[0], ANSWERS[0], {**ANSWERS[1], "qid": 9}])
    code, printed = run("qvhighlights", highlights, "--allow-missing", capsys=capsys)
    assert code == 2
    assert "1 queries predicted more than once: '7'" in printed
    assert "1 predictions of queries that the split does not have: '9'" in printed
    write_lines(highlights[0], ANSWERS[:1])
    code, printed = run("qvhighlights", highlights, capsys=capsys)
    assert (code, printed) == (2, "error: 1 queries without a prediction: '8'\n")


def test_missing_queries_count_as_misses_where_allowed(
    highlights: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    write_lines(highlights[0], ANSWERS[:1])
    code, printed = run("qvhighlights", highlights, "--allow-missing", "--json", capsys=capsys)
    results = json.loads(printed)
    assert code == 0
    assert results["protocol"]["missing_queries"] == 1
    assert results["windows"]["full"]["mAP"] == 0.5
    assert results["clips"]["Fair"] == {"mAP": 0.5, "Hit@1": 0.5}


def test_missing_and_extra_answers(
    questions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    questions[0].write_text('{"11_1": {"prediction": 0}, "11_9": {"prediction": 0}}')
    code, printed = run("nextqa", questions, capsys=capsys)
    assert code == 2
    assert "1 predictions of questions that the split does not have: '11_9'" in printed
    assert "3 questions without a prediction: '11_2', '12_1', '13_1'" in printed
    questions[0].write_text('{"11_1": {"prediction": 0}}')
    code, printed = run("nextqa", questions, "--allow-missing", "--json", capsys=capsys)
    assert code == 0
    assert json.loads(printed)["accuracy"] == 0.25
    assert json.loads(printed)["protocol"]["missing_questions"] == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"qid": None}, "answers.jsonl:2: no 'qid'"),
        ({"qid": "eight"}, "qid 'eight' is no whole number"),
        ({"vid": "other"}, "vid is not 'v1_0.0_10.0', as in the annotation of qid 8"),
        ({"pred_relevant_windows": None}, "no 'pred_relevant_windows'"),
        ({"pred_relevant_windows": [[0, 2]]}, "pred_relevant_windows 1 of qid 8 are not 3 finite"),
        ({"pred_relevant_windows": [[0, 2, "1"]]}, "are not 3 finite numbers"),
        ({"pred_relevant_windows": [[6, 2, 1]]}, "windows of 1 queries end before they start: '8'"),
        ({"pred_saliency_scores": None}, "no 'pred_saliency_scores'"),
        ({"pred_saliency_scores": [float("nan")] * 5}, "of qid 8 are not finite numbers"),
        ({"pred_saliency_scores": [float("inf")] * 5}, "of qid 8 are not finite numbers"),
        ({"pred_saliency_scores": [10**400] * 5}, "of qid 8 are not finite numbers"),
        ({"pred_saliency_scores": [True] * 5}, "of qid 8 are not finite numbers"),
        ({"pred_saliency_scores": [1.0] * 3}, "clip_scores of 1 queries do not fit: '8 (3 for 5)"),
    ],
)
def test_a_wrong_line_of_a_submission_is_named(
    change: dict[str, Any],
    problem: str,
    highlights: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
):
    write_lines(highlights[0], [ANSWERS[0], {**ANSWERS[1], **change}])
    code, printed = run("qvhighlights", highlights, capsys=capsys)
    assert code == 2
    assert problem in printed


def test_clips_rated_by_different_numbers_of_people_are_an_error(
    highlights: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    changed = {**QUERIES[1], "saliency_scores": [[2, 2], [0, 1]]}
    write_lines(highlights[1], [QUERIES[0], changed])
    code, printed = run("qvhighlights", highlights, capsys=capsys)
    assert code == 2
    assert "clips were not all rated by as many people" in printed


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("5", "13_1: is no mapping"),
        ('{"answer": 3}', "13_1: no 'prediction'"),
        ('{"prediction": 5}', "13_1: prediction is none of 0 to 4"),
        ('{"prediction": -1}', "13_1: prediction is none of 0 to 4"),
        ('{"prediction": 1.5}', "13_1: prediction 1.5 is no whole number"),
        ('{"prediction": NaN}', "13_1: prediction nan is no whole number"),
        ('{"prediction": 3, "answer": 2}', "13_1: answer is not 3, as in the annotation"),
        ('{"prediction": 3}, "13_1": {"prediction": 2}', "'13_1' is there twice"),
    ],
)
def test_a_wrong_answer_is_named(
    answer: str,
    problem: str,
    questions: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
):
    others = "".join(f'"{name}": {{"prediction": 1}}, ' for name in list(CHOSEN)[:-1])
    questions[0].write_text(f'{{{others}"13_1": {answer}}}')
    code, printed = run("nextqa", questions, capsys=capsys)
    assert code == 2
    assert problem in printed


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("video,question,answer,qid\n", "no column 'type'"),
        ("video,answer,qid,type\n", "holds no question"),
        ("video,answer,qid,type\n11,0,1,XY\n", "val.csv:2: type 'XY' is none of CW"),
        ("video,answer,qid,type\n11,5,1,CW\n", "val.csv:2: answer 5 is none of 0 to 4"),
        ("video,answer,qid,type\n11,0,1,CW\n11,0,1,CW\n", "val.csv:3: the same question '11_1'"),
    ],
)
def test_wrong_questions_are_named(
    table: str, problem: str, questions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    questions[1].write_text(table)
    code, printed = run("nextqa", questions, capsys=capsys)
    assert code == 2
    assert problem in printed


def test_captions_are_scored_against_all_that_people_wrote(
    captions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    results = score("captions", *captions)
    # seven of eight words are those of a reference, and the caption of b is short
    assert results["BLEU-1"] == pytest.approx(7 / 8 * math.exp(1 - 10 / 8))
    assert results["METEOR"] is None
    assert (results["protocol"]["clips"], results["protocol"]["references"]) == (2, 3)
    code, printed = run("captions", captions, capsys=capsys)
    assert code == 0
    assert f"{100 * results['BLEU-1']:.2f}" in printed
    assert "no METEOR: metric.meteor_jar is not set" in printed


def test_a_clip_without_a_caption_is_an_error_or_an_empty_caption(
    captions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    whole = score("captions", *captions)
    captions[0].write_text('{"a": "A dog runs on the sand."}')
    code, printed = run("captions", captions, capsys=capsys)
    assert (code, printed) == (2, "error: 1 clips without a prediction: 'b'\n")
    missed = score("captions", *captions, allow_missing=True)
    assert missed["protocol"]["missing_clips"] == 1
    assert missed["ROUGE-L"] == pytest.approx(0.5)
    assert missed["ROUGE-L"] < whole["ROUGE-L"]


def test_a_file_that_is_not_there_is_an_error(
    tmp_path: Path, questions: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
):
    code, printed = run("nextqa", (tmp_path / "none.json", questions[1]), capsys=capsys)
    assert code == 2
    assert "none.json: cannot be read" in printed


def test_the_public_sample_has_exactly_the_official_figures(shared: Path):
    folder = shared / "data" / "annotations"
    official = json.loads(
        (folder / "moment_detr__standalone_eval_sample_val_preds_metrics_raw.json").read_text()
    )
    results = score(
        "qvhighlights",
        folder / "moment_detr__standalone_eval_sample_val_preds.jsonl",
        folder / "moment_detr__data_highlight_val_release.jsonl",
    )
    assert results["protocol"]["queries"] == 1550
    assert results["official"] == official.pop("brief")
    shown = {
        f"HL-min-{name}": {"HL-mAP": own["mAP"], "HL-Hit1": own["Hit@1"]}
        for name, own in results["clips"].items()
    }
    for name, own in results["windows"].items():
        thresholds = [figure.removeprefix("R1@") for figure in own if figure.startswith("R1@")]
        precision = {f"{float(t)}": own[f"mAP@{t}"] for t in thresholds}
        shown[name] = {
            "MR-mAP": {**precision, "average": own["mAP"]},
            "MR-R1": {f"{float(t)}": own[f"R1@{t}"] for t in thresholds},
        }
    assert as_percent(shown) == official


def as_percent(value: Any) -> Any:
    """Return shares, however deep, as the public evaluator writes them."""
    if isinstance(value, dict):
        return {name: as_percent(own) for name, own in value.items()}
    return round(100 * value, 2)


def test_the_stored_answers_have_the_published_accuracy(shared: Path):
    """The figures are those of HGA in the public table; right answers counted by a plain loop."""
    folder = shared / "data" / "annotations"
    results = score(
        "nextqa",
        folder / "NExT-QA__results_HGA-bert-ft-h256-val.json",
        folder / "NExT-QA__dataset_nextqa_val.csv",
    )
    assert results["questions"] == results["protocol"]["questions"] == 4996
    assert as_percent(results["accuracy"]) == 49.74
    right = {name: own["accuracy"] * own["questions"] for name, own in results["groups"].items()}
    counts = {name: own["questions"] for name, own in results["groups"].items()}
    assert counts == {
        "C": 2607, "CW": 1924, "CH": 683,
        "T": 1612, "TN": 895, "TC": 663, "TP": 54,
        "D": 777, "DO": 305, "DL": 295, "DC": 177,
    }  # fmt: skip
    counted = {
        "C": 1206, "CW": 904, "CH": 302,
        "T": 818, "TN": 439, "TC": 348, "TP": 31,
        "D": 461, "DO": 169, "DL": 214, "DC": 78,
    }  # fmt: skip
    assert right == pytest.approx(counted)
    assert as_percent({name: results["groups"][name]["accuracy"] for name in "CTD"}) == {
        "C": 46.26,
        "T": 50.74,
        "D": 59.33,
    }


ASKED = [
    {"id": 0, "video_id": 1, "question": "what is it?", "answer": "dog"},
    {"id": 1, "video_id": 1, "question": "what runs?", "answer": "dog"},
    {"id": 2, "video_id": 2, "question": "who sits?", "answer": "cat"},
    {"id": 3, "video_id": 2, "question": "what else?", "answer": "table"},
]
TRAINED = [
    {"id": 0, "video_id": 3, "question": "what is it?", "answer": "dog"},
    {"id": 1, "video_id": 3, "question": "who is it?", "answer": "cat"},
]
SAID = {"0": "dog", "1": "puppy", "2": "dog", "3": "table"}


def write_asked(folder: Path) -> tuple[str, str, str]:
    """Write answers, questions, and questions for training; return their paths."""
    paths = [folder / name for name in ("said.json", "test_qa.json", "train_qa.json")]
    for path, content in zip(paths, (SAID, ASKED, TRAINED), strict=True):
        path.write_text(json.dumps(content))
    return str(paths[0]), str(paths[1]), str(paths[2])


def test_written_answers_are_scored_beside_what_needs_no_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said, asked, trained = write_asked(tmp_path)
    wordnet = str(write_wordnet(tmp_path))
    assert main(["answers", said, asked, "--train", trained, "--wordnet", wordnet]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"open answers: 4 questions, 0 missing questions; ids {sha256_of('0123')[:12]}",
        "",
        "                 questions  accuracy  WUPS@0.0  WUPS@0.9",
        "all                      4     50.00     88.10     53.81",
        "what                     3     66.67     95.24     69.52",
        "who                      1      0.00     66.67      6.67",
        "majority answer          –     75.00     85.00     76.00",
        "answers that occur in training: 75.00",
    ]
    assert main(["answers", said, asked, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["official"] == {
        "ratios": {"what_ratio": [75.0, 3], "who_ratio": [25.0, 1]},
        "overall_acc": 50.0,
        "what_acc": 66.67,
        "who_acc": 0.0,
    }
    assert results["protocol"]["repeated_answers"] == 0
    assert results["protocol"]["annotations"]["file"] == "test_qa.json"
    assert results["absent"] == {"WUPS": "metric.wordnet is not set"}
    assert "majority" not in results


def test_missing_answers_are_an_error_or_count_as_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    _, asked, _ = write_asked(tmp_path)
    few = tmp_path / "few.json"
    few.write_text('{"1": "dog"}')
    assert main(["answers", str(few), asked]) == 2
    assert "3 questions without a prediction: '0', '2', '3'" in capsys.readouterr().err
    results = score("answers", few, Path(asked), allow_missing=True)
    assert (results["accuracy"], results["protocol"]["missing_questions"]) == (0.25, 3)
    assert results["official"]["ratios"] == {"what_ratio": [75.0, 3], "who_ratio": [25.0, 1]}


def test_chosen_answers_are_scored_like_those_of_nextqa(shared: Path):
    folder = shared / "data" / "annotations"
    chosen = folder / "NExT-QA__results_HGA-bert-ft-h256-val.json"
    asked = folder / "NExT-QA__dataset_nextqa_val.csv"
    results, same = score("answers", chosen, asked), score("nextqa", chosen, asked)
    assert (results["accuracy"], results["groups"]) == (same["accuracy"], same["groups"])
    assert results["official"]["overall_acc"] == 49.74
    assert results["official"]["ratios"]["C_ratio"] == [52.18, 2607]


def test_answers_to_activitynet_qa_are_scored_by_its_types(shared: Path, tmp_path: Path):
    asked = shared / "data" / "annotations" / "activitynet-qa__dataset_val_q.json"
    right = json.loads(asked.with_name("activitynet-qa__dataset_val_a.json").read_text())
    said = tmp_path / "said.json"
    keys = ("question_id", "answer")
    said.write_text(json.dumps([{key: own[key] for key in keys} for own in right]))
    results = score("answers", said, asked)
    assert (results["questions"], results["accuracy"]) == (18000, 1)
    assert results["official"]["ratios"]["yes/no_ratio"] == [22.45, 4041]


@pytest.mark.parametrize(
    ("benchmark", "option"), [("answers", "--wordnet"), ("captions", "--meteor-jar")]
)
def test_a_program_or_dictionary_that_is_not_there_is_refused(
    benchmark: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([benchmark, "said.json", "asked.json", option, "nowhere"])
    assert f"{option}: nowhere does not exist" in capsys.readouterr().err
