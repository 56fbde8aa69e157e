"""A BERT as deep as the published one and almost without width, for whole recipes."""

from __future__ import annotations

from pathlib import Path

from transformers import BertConfig, BertForPreTraining

from tests.corpus import write_tokenizer
from tests.standins import WORDS


def write_bert(folder: Path) -> Path:
    """Write a BERT of 12 layers with random weights, as a pre-trained one lies on disk."""
    write_tokenizer(folder, WORDS)
    config = BertConfig.from_pretrained(folder)
    config.num_hidden_layers = 12  # as many as VLM isolates
    BertForPreTraining(config).save_pretrained(folder)
    return folder
