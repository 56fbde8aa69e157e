"""``mmvt tokenize``: what it writes and prints, exit codes, and help without torch."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mmvt.datasets.original_shards import OriginalStore, OriginalTexts
from mmvt.features.shard import StoreWriter
from mmvt.processors.text.shards import ShardedTextProcessor, StoreTextProcessor
from mmvt_cli import __main__ as mmvt_main
from mmvt_cli import tokenize

ROOT = Path(__file__).resolve().parents[2]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "runs", "fast"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "bert" / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    return str(tmp_path / "bert")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with StoreWriter(tmp_path / "s", dim=1, fps=1.0, encoder={}, shard_size=2) as writer:
        for number in range(5):
            writer.add(f"v{number}", np.ones((3, 1), np.float32))
    return tmp_path / "s"


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    video = {"start": [0, 1.5], "end": [1.5, 3], "text": ["A dog", "dog runs\nfast"]}
    (tmp_path / "c.json").write_text(json.dumps({f"v{number}": video for number in range(5)}))
    return tmp_path / "c.json"


def argv(captions: Path, tokenizer: str, store: Path, out: str, *more: str) -> list[str]:
    return [str(captions), "--tokenizer", tokenizer, "--store", str(store), "--out", out, *more]


def test_captions_of_json_are_cleaned_and_written_beside_a_store(
    captions: Path,
    tokenizer: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    command = argv(captions, tokenizer, store, f"{tmp_path}/t/")
    assert mmvt_main.main(["tokenize", *command]) == 0
    assert capsys.readouterr().out == "5 videos written, 0 there already, 0 failed\n"
    texts = StoreTextProcessor(store=store, tfeat_dir=f"{tmp_path}/t/")
    for number in range(5):
        # "dog" is said once, by either
        assert texts(f"v{number}").cap in ([[5, 6], [7, 8]], [[5], [6, 7, 8]])
    assert tokenize.main(command) == 0
    assert capsys.readouterr().out == "0 videos written, 5 there already, 0 failed\n"


def test_captions_follow_the_list_of_the_original(captions: Path, tokenizer: str, tmp_path: Path):
    (tmp_path / "train_meta.pkl").write_bytes(pickle.dumps({0: ["v3"], 5: ["v1", "v0"]}))
    command = argv(captions, tokenizer, tmp_path, f"{tmp_path}/text.", "--split", "train")
    assert tokenize.main([*command, "--dedup", "none", "--max-words", "2"]) == 0
    texts = ShardedTextProcessor(split="train", vfeat_dir=tmp_path, tfeat_dir=f"{tmp_path}/text.")
    assert texts("v1").cap == [[5, 6], [6, 7]]
    assert (tmp_path / "text.train_5.startends_data.npy").exists()
    assert OriginalTexts(f"{tmp_path}/text.", OriginalStore(tmp_path, "train"))["v0"].cap[0] == [
        5,
        6,
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.csv", "video,caption,start,end\nv0,a dog,0,1\nv0,dog runs,1,2\nv1,fast,,\n"),
        (
            "c.jsonl",
            """{"video": "v0", "caption": "a dog", "start": 0, "end": 1}
            {"video": "v0", "caption": "dog runs", "start": 1, "end": 2}
            {"video": "v1", "caption": "fast"}
            """,
        ),
    ],
)
def test_caption_files_are_taken_and_what_they_lack_is_listed(
    tmp_path: Path,
    tokenizer: str,
    store: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
):
    (tmp_path / name).write_text(text)
    command = argv(tmp_path / name, tokenizer, store, f"{tmp_path}/t.")
    assert tokenize.main(command) == 3
    output = capsys.readouterr().out
    assert f"{tmp_path}/{name} has no captions of the video 'v4'" in output
    assert output.endswith("5 videos written, 0 there already, 3 failed\n")
    texts = StoreTextProcessor(store=store, tfeat_dir=f"{tmp_path}/t.")
    assert texts("v0").cap == [[5, 6], [6, 7]]
    assert texts("v1").end.tolist() == [np.inf]
    assert tokenize.main([*command, "--force", "--dedup", "words"]) == 3
    assert "without an end it cannot be cleaned" in capsys.readouterr().out


@pytest.mark.faults
def test_other_options_are_refused_unless_all_begins_anew(
    captions: Path,
    tokenizer: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    command = argv(captions, tokenizer, store, f"{tmp_path}/t.")
    assert tokenize.main(command) == 0
    assert tokenize.main([*command, "--dedup", "characters"]) == 2
    assert "dedup is 'words', not 'characters'" in capsys.readouterr().err
    captions.write_text(captions.read_text().replace("dog", "cat"))
    assert tokenize.main(command) == 2
    assert "captions is " in capsys.readouterr().err
    assert tokenize.main([*command, "--force"]) == 0


@pytest.mark.faults
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--tokenizer", "none"], "no tokenizer 'none'"),
        (["--store", "none"], "none: there is no feature store"),
        (["--store", "none", "--split", "val"], "val_meta.pkl: cannot be read"),
        (["--max-words", "0"], "--max-words is 0, but must be at least 1"),
    ],
)
def test_mistakes_end_with_one_message_and_code_2(
    captions: Path,
    tokenizer: str,
    store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: list[str],
    message: str,
):
    assert tokenize.main(argv(captions, tokenizer, store, f"{tmp_path}/t.", *change)) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("t.*"))


@pytest.mark.faults
def test_a_command_that_is_killed_in_the_middle_goes_on(
    tokenizer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    video = {"start": [0, 1], "end": [1, 2], "text": ["a dog", "dog runs"]}
    names = [f"v{number}" for number in range(200)]
    (tmp_path / "c.json").write_text(json.dumps(dict.fromkeys(names, video)))
    (tmp_path / "val_meta.pkl").write_bytes(
        pickle.dumps({number: names[number * 2 : number * 2 + 2] for number in range(100)})
    )

    def command(out: str) -> list[str]:
        prefix = f"{tmp_path}/{out}/"
        return argv(tmp_path / "c.json", tokenizer, tmp_path, prefix, "--split", "val")

    assert tokenize.main(command("straight")) == 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mmvt_cli.tokenize", *command("killed")],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    while not (tmp_path / "killed" / "val_3.caps_ids_data.npy").exists():
        time.sleep(0.01)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    capsys.readouterr()
    assert tokenize.main(command("killed")) == 0
    assert not capsys.readouterr().out.startswith("200 videos written")
    for path in (tmp_path / "straight").iterdir():
        assert (tmp_path / "killed" / path.name).read_bytes() == path.read_bytes()


def test_help_shows_examples_without_torch():
    code = (
        "import sys\nfrom mmvt_cli.tokenize import parser\n"
        "print(parser().format_help())\n"
        "assert not {'torch', 'numpy', 'transformers', 'rich'} & set(sys.modules)\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert "examples:\n  mmvt tokenize" in output
