"""Faults of the original VPT that a whole model, fed by aligner and layout, must not have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmvt.datasets.multimodal import collate
from mmvt.losses.language import LanguageCrossEntropy
from mmvt.models.causal_lm import CausalLMTrunk
from mmvt.models.decoding import Decoding
from mmvt.models.experts import ExpertsEncoder
from mmvt.models.generation import write
from mmvt.models.heads.language import LanguageHead
from mmvt.models.model import MultimodalModel
from mmvt.models.t5 import T5Trunk
from mmvt.processors.aligners.captioning import CaptioningAligner
from mmvt.processors.base import TextClips
from mmvt.processors.expert_words import ExpertWords, TextExpert
from mmvt.processors.prompts import PromptLayout
from mmvt.processors.transcript import Word
from tests.asking import LLAMA, T5, WIDTH, words_in

KINDS = ["t5", "t5 with states", "llama"]
OBJECTIVES = ["caption", "prefix"]
STEPS, DIM = 3, 4
CAPTION = [9, 10, 11, 12, 13, 14]
OTHER_WORD = 17
PAD, END = 0, 3


@pytest.fixture(scope="module")
def bert_name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return words_in(tmp_path_factory.mktemp("words"))


def model_of(kind: str) -> MultimodalModel:
    torch.manual_seed(0)
    trunk: T5Trunk | CausalLMTrunk = CausalLMTrunk(model_config=LLAMA, pretrained=False)
    if kind != "llama":
        states = kind == "t5 with states"
        config = T5 | {"initializer_factor": 3.0}
        trunk = T5Trunk(model_config=config, pretrained=False, prompt_states=states)
    encoder = ExpertsEncoder(
        hidden_size=WIDTH,
        max_video_len=STEPS,
        experts={"video": {"input_dim": DIM}, "audio": {"input_dim": DIM}},
    )
    head = LanguageHead(hidden_size=WIDTH, transform=False)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


def clips_of(words: list[int], room: int = 6, said: str = "yes no") -> TextClips:
    timed = [Word(word, float(n), n + 1.0) for n, word in enumerate(said.split())]
    expert = TextExpert(name="ocr", path=Path("x"), label="it", max_tokens=room)
    experts = (ExpertWords(expert, timed, lambda steps: (float(steps.start), float(steps.stop))),)
    return TextClips(np.zeros(1), np.array([np.inf]), [words], experts=experts)


def features(swapped: bool = False, steps: int = STEPS) -> np.ndarray:
    """Return what two experts see, and that the second one sees it at every step."""
    both = np.random.default_rng(0).normal(size=(2, steps, DIM)).astype(np.float32)
    first, second = both[::-1] if swapped else both
    return np.concatenate([first, second, np.ones((steps, 1), np.float32)], axis=1)


def batch_of(bert_name: str, *clips: TextClips, rows: Any = None, **fields: Any) -> dict[str, Any]:
    lengths = {"max_video_len": STEPS, "max_text_len": 10, "max_prompt_len": 6, "prompt": "what is"}
    layout = PromptLayout(bert_name=bert_name, **(lengths | fields))
    aligner = CaptioningAligner(layout=layout, bert_name=bert_name)
    rng = np.random.default_rng(0)
    shown = features() if rows is None else rows
    return collate([dict(aligner("v", shown, own, rng)) for own in clips])


def loss_of(model: MultimodalModel, batch: dict[str, Any]) -> Tensor:
    return LanguageCrossEntropy()(model(**batch)["logits"], batch["text_label"])


def read_by(model: MultimodalModel, batch: dict[str, Any]) -> list[Tensor]:
    """Return all that the language model reads before what is written."""
    trunk: Any = model.trunk
    reader = trunk.t5.encoder if isinstance(trunk, T5Trunk) else trunk.lm.get_decoder()
    found: list[Tensor] = []

    def note(_: nn.Module, __: tuple[Any, ...], given: dict[str, Any]) -> None:
        found.extend((given["inputs_embeds"], given["attention_mask"]))

    handles = [reader.register_forward_pre_hook(note, with_kwargs=True)]
    if isinstance(trunk, T5Trunk) and trunk.prompt_encoder is not None:
        asked = trunk.prompt_encoder
        handles.append(
            asked.register_forward_pre_hook(
                lambda _, __, given: found.append(given["input_ids"]), with_kwargs=True
            )
        )
    model(**batch)
    for handle in handles:
        handle.remove()
    if isinstance(trunk, T5Trunk):
        return found
    # a decoder reads what was written so far as well, behind the prefix
    prefix = 1 + 2 * STEPS + int(batch["cmasks"].sum())
    return [own[:, :prefix] for own in found]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_token_that_is_to_be_written_reaches_what_is_read(
    bert_name: str, kind: str, objective: str
) -> None:
    model = model_of(kind)
    batch = batch_of(bert_name, clips_of(CAPTION), objective=objective)
    target = batch["text_label"][0].tolist().index(END)
    assert target == (6 if objective == "caption" else 3)
    before, logits = read_by(model, batch), model(**batch)["logits"]
    for place in range(target):
        words = list(CAPTION)
        words[len(CAPTION) - target + place] = OTHER_WORD
        other = batch_of(bert_name, clips_of(words), objective=objective)
        assert int(other["text_label"][0, place]) == OTHER_WORD
        assert all(map(torch.equal, before, read_by(model, other)))
        # a place is told by those before it
        assert torch.equal(model(**other)["logits"][: place + 1], logits[: place + 1])
    said = batch_of(bert_name, clips_of(CAPTION, said="yes yes"), objective=objective)
    assert not torch.equal(before[0], read_by(model, said)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_which_expert_a_vector_is_of_makes_a_difference(bert_name: str, kind: str) -> None:
    model = model_of(kind)
    one, other = (
        model(**batch_of(bert_name, clips_of(CAPTION), rows=features(swapped)))["logits"]
        for swapped in (False, True)
    )
    assert (one - other).abs().max() > 1e-3
    # and so does the modality alone, with the same vectors in the same places
    nn.init.normal_(model.encoders["video"].experts["audio"].modality)
    changed = model(**batch_of(bert_name, clips_of(CAPTION)))["logits"]
    assert (one - changed).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_the_length_of_padding_changes_neither_loss_nor_text(bert_name: str, kind: str) -> None:
    model = model_of(kind)
    shown = features(steps=2)  # a step of padding
    captions = [CAPTION, CAPTION[:2]]
    tight = batch_of(
        bert_name, *(clips_of(own, room=3) for own in captions), rows=shown, max_prompt_len=2
    )
    assert tight["cmasks"].all()
    wide = batch_of(
        bert_name,
        *(clips_of(own, room=40) for own in captions),
        rows=shown,
        max_text_len=33,
        max_prompt_len=20,
    )
    assert wide["caps"].shape[1] == 60
    torch.testing.assert_close(loss_of(model, wide), loss_of(model, tight), rtol=1e-5, atol=1e-5)
    decoding = Decoding(num_beams=2, max_decode_length=8)
    made = [write(model, batch, decoding, end=END, pad=PAD) for batch in (tight, wide)]
    assert made[0].tolist() == made[1].tolist()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_ignored_label_is_looked_up_as_a_word(bert_name: str, kind: str, objective: str) -> None:
    model = model_of(kind)
    lowest: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.register_forward_pre_hook(lambda _, args: lowest.append(int(args[0].min())))
    captions = [CAPTION, CAPTION[:1]]
    batch = batch_of(bert_name, *map(clips_of, captions), objective=objective)
    assert (batch["text_label"] == -100).any(dim=1).all()
    loss_of(model, batch)
    write(model, batch, Decoding(num_beams=2, max_decode_length=4), end=END, pad=PAD)
    assert len(lowest) > 4
    assert min(lowest) >= 0


def test_words_beside_a_caption_stay_apart_from_it(bert_name: str) -> None:
    clips = clips_of(CAPTION)
    alone = batch_of(bert_name, replace(clips, experts=()))
    beside = batch_of(bert_name, clips)
    assert torch.equal(alone["text_label"], beside["text_label"])
    read = beside["caps"][beside["cmasks"]].tolist()
    assert read[-2:] == alone["caps"][alone["cmasks"]].tolist()
    assert len(read) == 5
