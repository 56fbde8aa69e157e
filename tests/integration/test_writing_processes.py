"""What a run writes is the same in batches of any size, and in any number of processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.evaluators.predictions import load_predictions
from mmvt_cli.predict import main as predict
from mmvt_cli.train import main as train
from tests.asking import LLAMA, T5
from tests.corpus import COLOURS, DIM, SHAPES, TASK, WORDS, write_corpus, write_tokenizer
from tests.launching import ROOT, forget_run

pytestmark = pytest.mark.timeout(600)

READ = ("a", "the", "what", "color", "shape", "is", "it", "yes", "no", "'", "?", ";", *"01234567")
VOCABULARY = 5 + len(READ) + len(COLOURS) + len(SHAPES) + 2
LONGER = ["fairseq.optimization.max_update=80", "fairseq.checkpoint.save_interval=100"]
LONGER += ["fairseq.dataset.validate_interval=100"]
WHOLE = ["dataset.evaluation_aligner=null", "dataset.sampled_min_len=null"]
WHOLE += ["dataset.sampled_max_len=null"]
ASKED = [
    *WHOLE,
    "dataset.meta_processor=OpenQuestionMetaProcessor",
    "dataset.text_processor=OpenQuestionTextProcessor",
    "dataset.annotations=null",
    *("dataset.train_path=train_qa.json", "dataset.val_path=val_qa.json"),
    *("dataset.aligner=QuestionAligner", "predictor=AnswerPredictor", "metric=AnswerMetric"),
]
CHOSEN = [
    *WHOLE,
    "dataset.meta_processor=TVQAMetaProcessor",
    "dataset.text_processor=TVQATextProcessor",
    "dataset.annotations=null",
    *("dataset.train_path=train.jsonl", "dataset.val_path=val.jsonl"),
    *("dataset.aligner=YesNoAligner", "predictor=OptionPredictor"),
    "metric=MultipleChoiceMetric",
]

DENSE = [
    *WHOLE,
    *("dataset.per=video", "dataset.aligner={name: DenseCaptionAligner, bins: 8}"),
    *("predictor=DenseCaptionPredictor", "metric=DenseCaptionMetric"),
]


def trunk_of(name: str, config: dict[str, object]) -> list[str]:
    """Return the options of a language model as trunk."""
    fields = {**config, "vocab_size": VOCABULARY}
    return [
        f"trunk={json.dumps({'name': name, 'pretrained': False, 'model_config': fields})}",
        f"encoders.video={{name: ExpertEncoder, input_dim: {DIM}}}",
        *("dataset.layout={name: PromptLayout}", "dataset.max_len=null"),
    ]


T5_TRUNK, LLAMA_TRUNK = trunk_of("T5Trunk", T5), trunk_of("CausalLMTrunk", LLAMA)
JOINT = ["trunk={name: JointTrunk, text_attention: causal, pretrained: false}"]
CASES = {
    "t5": T5_TRUNK,
    "llama": LLAMA_TRUNK,
    "joint": [*JOINT, *WHOLE, "dataset.aligner=CaptioningAligner"],
    "separate": [],
    "t5_dense": [*T5_TRUNK, *DENSE],
    "t5_answers": [*T5_TRUNK, *ASKED],
    "llama_answers": [*LLAMA_TRUNK, *ASKED],
    "t5_options": [*T5_TRUNK, *CHOSEN],
    "llama_options": [*LLAMA_TRUNK, *CHOSEN],
}
QUICK = ("t5", "joint", "t5_answers", "llama_options")
TEXTS = ("hypotheses", "said", "question_only_said", "answer_only_said")
WORKER = """
import json, os, sys
from mmvt_cli.predict import main
for port, words in json.loads(sys.argv[1]):
    os.environ["MASTER_PORT"] = str(port)
    assert main(words) == 0
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a corpus, and questions about it."""
    folder = tmp_path_factory.mktemp("writing")
    corpus = write_corpus(folder / "corpus")
    write_tokenizer(corpus / "tokenizer", (*WORDS, *READ[2:]))
    (folder / "tiny.yaml").write_text(TASK.format(corpus=corpus))
    for split, last in (("train", (0, 1, 2, 3)), ("val", (4, 5))):
        names = [f"video {n:02d}.mp4" for n in range(24) if n % 6 in last]
        things = [(COLOURS[int(n[6:8]) % 4], SHAPES[int(n[6:8]) // 4 % 4]) for n in names]
        open_questions = [
            {"id": 2 * row + at, "video_id": name, "question": f"what {what} ?", "answer": own[at]}
            for row, (name, own) in enumerate(zip(names, things, strict=True))
            for at, what in enumerate(("color", "shape"))
        ]
        (folder / f"{split}_qa.json").write_text(json.dumps(open_questions))
        lines = [
            {"qid": 100 * len(names) + row, "q": "what color ?", "vid_name": name, "ts": "0-4"}
            | {"show_name": "House", "answer_idx": COLOURS.index(colour), "a4": "it"}
            | {f"a{at}": text for at, text in enumerate(COLOURS)}
            for row, (name, (colour, _)) in enumerate(zip(names, things, strict=True))
        ]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(own) + "\n" for own in lines))
    return folder


@pytest.fixture(scope="module")
def trained(place: Path) -> Callable[[str], None]:
    """Return a function that trains a case there, once."""
    done: set[str] = set()

    def once(case: str) -> None:
        if case not in done:
            try:
                assert train([*words_of(case), *LONGER]) == 0
            finally:
                forget_run()
            done.add(case)

    return once


@pytest.fixture(autouse=True)
def _there(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(place)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def words_of(case: str, beams: int | None = None, batch_size: int = 2) -> list[str]:
    """Return the words of a command about a case."""
    words = ["tiny.yaml", "head=LanguageHead", f"fairseq.checkpoint.save_dir=runs/{case}"]
    words += ["fairseq.optimization.lr=[0.01]", *CASES[case]]
    if beams is None:
        return words
    predictor = [] if "_" in case else ["predictor=CaptionPredictor"]
    searched = [] if "_options" in case else [f"predictor.num_beams={beams}"]
    return [*words, *predictor, *searched, f"predictor.batch_size={batch_size}"]


WAYS = [(case, beams) for case in CASES for beams in ((1,) if "options" in case else (1, 3))]
MARKED = [
    pytest.param(*way, marks=[] if way[0] in QUICK else pytest.mark.slow, id=f"{way[0]}-{way[1]}")
    for way in WAYS
]


def same_files(one: Path, other: Path) -> None:
    for name in ("predictions.npz", "results.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize(("case", "beams"), MARKED)
def test_the_size_of_a_batch_changes_no_text(
    case: str, beams: int, trained: Callable[[str], None]
) -> None:
    trained(case)
    told = []
    for size in (1, 8):
        folder = Path("sizes", f"{case}-{beams}-{size}")
        assert predict([*words_of(case, beams, size), "--out", str(folder)]) == 0
        results = json.loads((folder / "results.json").read_text())
        assert results.pop("protocol")["predictor"]["batch_size"] == size
        told.append((load_predictions(folder / "predictions.npz")[0], results))
    (alone, figures), (together, figures_together) = told
    assert alone.keys() == together.keys()
    for name, values in alone.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values, together[name], rtol=1e-4, atol=1e-4)
        else:
            assert values.tolist() == together[name].tolist(), name
    if "options" not in case:
        assert figures == figures_together
        assert len({text for name in TEXTS for text in alone.get(name, np.array([])).tolist()}) > 1


@pytest.mark.slow
def test_two_processes_write_the_bytes_of_one(place: Path, trained: Callable[[str], None]) -> None:
    asked = []
    for case, beams in WAYS:
        trained(case)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        asked.append((port, [*words_of(case, beams), "--out", f"two/{case}-{beams}"]))
    meeting = {"MASTER_ADDR": "localhost", "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    meeting |= {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, json.dumps(asked)],
            cwd=place,
            env={**os.environ, **meeting, "RANK": str(rank)},
        )
        for rank in range(2)
    ]
    assert [worker.wait(timeout=500) for worker in workers] == [0, 0]
    for case, beams in WAYS:
        folder = Path("one", f"{case}-{beams}")
        assert predict([*words_of(case, beams), "--workers", "1", "--out", str(folder)]) == 0
        same_files(folder, Path("two", folder.name))


def test_the_command_with_two_workers_writes_the_bytes_of_one(
    trained: Callable[[str], None],
) -> None:
    trained("t5")
    words = words_of("t5", 3)
    assert predict([*words, "--workers", "1", "--out", "command-1"]) == 0
    command = [sys.executable, "-m", "mmvt_cli.predict", *words, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*command, "--out", "command-2"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    same_files(Path("command-1"), Path("command-2"))
