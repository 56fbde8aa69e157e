from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from mmvt.errors import ConfigError, MissingWeightsError
from mmvt.processors.text.tokenizer import load_tokenizer, special_ids


def test_special_ids_are_those_of_the_vocabulary(tiny_bert: str) -> None:
    assert special_ids(load_tokenizer(tiny_bert)) == (2, 3, 0, 4)


def test_a_tokenizer_is_loaded_once(tiny_bert: str) -> None:
    assert load_tokenizer(tiny_bert) is load_tokenizer(tiny_bert)


def test_a_name_is_looked_for_in_pretrained_models_first(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pretrained_models").mkdir()
    (tmp_path / "pretrained_models/tiny-by-name").symlink_to(tiny_bert)
    monkeypatch.chdir(tmp_path)
    assert load_tokenizer("tiny-by-name")("dog")["input_ids"] == [2, 6, 3]


def test_absent_weights_are_named_with_the_place_to_put_them() -> None:
    with pytest.raises(
        MissingWeightsError, match=r"'no-such-bert': put .* into pretrained_models/no-such-bert"
    ):
        load_tokenizer("no-such-bert")


def test_a_folder_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(MissingWeightsError, match="no tokenizer"):
        load_tokenizer(str(tmp_path))


def test_code_beside_a_tokenizer_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass T: ...\n")
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": {"AutoTokenizer": ["code.T", None]}, "tokenizer_class": "T"})
    )
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "code.T"}})
    )
    with pytest.raises(MissingWeightsError, match="no tokenizer"):
        load_tokenizer(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_without_bert_s_special_tokens_is_refused(tiny_bert: str) -> None:
    bare = PreTrainedTokenizerFast(
        tokenizer_object=load_tokenizer(tiny_bert).backend_tokenizer, pad_token="[PAD]"
    )
    with pytest.raises(ConfigError, match=r"has no \[CLS\], \[SEP\], \[MASK\]"):
        special_ids(bare)
