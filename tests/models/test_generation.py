from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from mmvt.errors import ConfigError
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.generation import Decoding, generate, next_token_of, search
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.heads.language import LanguageHead
from mmvt.models.joint import JointTrunk
from mmvt.models.model import MultimodalModel

Rule = Literal["transformers", "original"]
RULES: tuple[Rule, ...] = ("transformers", "original")

END, PAD = 2, 0


class Table:
    """A next token that depends on the example and on the last token alone."""

    def __init__(self, chances: Tensor) -> None:
        self.log_chances = chances.log()  # (examples, last token, next token)

    def __call__(self, ids: Tensor) -> Tensor:
        example = torch.arange(len(ids)) // (len(ids) // len(self.log_chances))
        return self.log_chances[example, ids[:, -1]]


def random_table(examples: int, words: int) -> Table:
    generator = torch.Generator().manual_seed(0)
    return Table((2 * torch.randn(examples, words, words, generator=generator)).softmax(-1))


def best_text(
    log_chances: Tensor, prompt: list[int], new: int, penalty: float, rule: Rule
) -> list[int]:
    """Return the best of all texts, each looked at."""
    scored = []
    others = [token for token in range(len(log_chances)) if token != END]
    for count in range(new + 1):
        for middle in itertools.product(others, repeat=count):
            text = [*prompt, *middle, *([END] if count < new else [])]
            steps = itertools.pairwise(text[len(prompt) - 1 :])
            total = sum(float(log_chances[last, following]) for last, following in steps)
            length = len(prompt) + count if rule == "original" else len(text) - len(prompt)
            scored.append((total / length**penalty, text))
    return max(scored)[1]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0, 3.0])
def test_enough_beams_find_the_best_of_all_texts(rule: Rule, penalty: float):
    table = random_table(3, 4)
    decoding = Decoding(num_beams=48, length_penalty=penalty, rule=rule)
    prompt = torch.tensor([[1, 1]] * 3)
    ids = search(table, prompt, 5, decoding, end=END, pad=PAD)
    expected = [best_text(chances, [1, 1], 3, penalty, rule) for chances in table.log_chances]
    longest = max(map(len, expected))
    assert ids.tolist() == [text + [PAD] * (longest - len(text)) for text in expected]


def test_the_rules_count_the_length_of_a_text_differently():
    # an end at once with log p -1, or a word and an end with -1.5; all else is unlikely
    first, second = torch.full((50,), 0.0007), torch.full((50,), 0.013)
    first[END], first[3], second[END] = 0.368, 0.6, 0.372
    table = Table(torch.stack([first, first, second, second, *[second] * 46])[None])
    prompt = torch.ones(1, 5, dtype=torch.long)
    text = {
        rule: search(table, prompt, 8, Decoding(num_beams=3, rule=rule), end=END, pad=PAD)
        for rule in RULES
    }
    # -1 / 1 against -1.5 / 2 without the prompt, -1 / 5 against -1.5 / 6 with it, without ends
    assert text["transformers"][0, 5:].tolist() == [3, END]
    assert text["original"][0, 5:].tolist() == [END]


@pytest.mark.parametrize("rule", RULES)
def test_an_end_that_is_not_among_the_first_beams_does_not_count(rule: Rule):
    # the end comes third of two beams, though no longer text is as likely
    first = [0.0, 0.0, 0.25, 0.4, 0.35]
    later = [0.0, 0.0, 0.0, 0.5, 0.5]
    table = Table(torch.tensor([[later, first, later, later, later]]))
    decoding = Decoding(num_beams=2, length_penalty=0.0, rule=rule)
    ids = search(table, torch.tensor([[1]]), 3, decoding, end=END, pad=PAD)
    assert ids.shape == (1, 3)
    assert ids[0, 1] == 3
    assert END not in ids


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("beams", [1, 3])
def test_bans_hold(rule: Rule, beams: int):
    chances = torch.full((1, 5, 5), 0.01)
    chances[0, :, 3], chances[0, :, 4], chances[0, :, END] = 0.5, 0.3, 0.18
    prompt = torch.tensor([[1]])

    def text(**options: Any) -> list[int]:
        decoding = Decoding(num_beams=beams, rule=rule, **options)
        ids = search(Table(chances), prompt, 6, decoding, end=END, pad=PAD)
        return ids[0].tolist()

    assert text() == [1, 3, 3, 3, 3, 3]
    twice = text(no_repeat_ngram_size=2)
    assert len(set(itertools.pairwise(twice))) == len(twice) - 1
    chances[0, :, END] = 10.0
    assert text() == [1, END]
    # the prompt counts
    assert text(min_length=3).index(END) == 3


def test_an_ended_example_waits_for_the_others_as_padding():
    table = Table(torch.full((2, 4, 4), 0.1))
    table.log_chances[0, :, END] = 5
    table.log_chances[1, :, 3] = 5
    for decoding in (Decoding(num_beams=1), Decoding(num_beams=2), Decoding(rule="original")):
        ids = search(table, torch.tensor([[1, END], [1, END]]), 5, decoding, end=END, pad=PAD)
        # an end within the prompt ends nothing
        assert ids.tolist() == [[1, END, END, PAD, PAD], [1, END, 3, 3, 3]]


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"min_length": 6}, {"no_repeat_ngram_size": 2}, {"length_penalty": 0.3}],
    ids=lambda options: next(iter(options), "plain"),
)
def test_a_language_model_writes_what_its_own_generate_writes(beams: int, options: dict[str, Any]):
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=12, n_positions=16, n_embd=8, n_layer=2, n_head=2, initializer_range=1.0
    )
    model = GPT2LMHeadModel(config).eval()
    prompt = torch.randint(3, 12, (4, 3))
    own = dict(options) if beams > 1 else {k: v for k, v in options.items() if "penalty" not in k}
    theirs = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_length=12,
        num_beams=beams,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=PAD,
        **own,
    )
    with torch.no_grad():
        ours = search(
            lambda ids: model(ids).logits[:, -1],
            prompt,
            12,
            Decoding(num_beams=beams, **options),
            end=END,
            pad=PAD,
        )
    for mine, reference in zip(ours.tolist(), theirs.tolist(), strict=True):
        assert spoken(mine) == spoken(reference)


def spoken(ids: list[int], prompt: int = 3) -> list[int]:
    rest = ids[prompt:]
    return rest[: rest.index(END)] if END in rest else [token for token in rest if token != PAD]


VIDEO_LEN, MAX_LEN = 4, 15
CONFIG = {
    "vocab_size": 20,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 24,
    "initializer_range": 0.5,  # far from zero, so that nothing is hidden by smallness
}


@pytest.fixture
def writer() -> MultimodalModel:
    torch.manual_seed(0)
    trunk = JointTrunk(
        max_video_len=VIDEO_LEN, text_attention="causal", pretrained=False, bert_config=CONFIG
    )
    head = LanguageHead(hidden_size=8, vocab_size=20, pretrained=False)
    torch.nn.init.normal_(head.bias)
    encoder = VideoTokenMLP(hidden_size=8, input_dim=6)
    return MultimodalModel({"video": encoder}, trunk, head).eval()


@pytest.fixture
def prompts() -> dict[str, Tensor]:
    """Return eight videos of 1 to 4 frames, with [CLS] [SEP] [CLS] for a text."""
    generator = torch.Generator().manual_seed(2)
    frames = torch.arange(8) % VIDEO_LEN + 1
    return {
        "vfeats": torch.randn(8, VIDEO_LEN, 6, generator=generator),
        "vmasks": torch.arange(VIDEO_LEN) < frames[:, None],
        "caps": torch.tensor([[1, 2, 1]]).repeat(8, 1),
        "cmasks": torch.ones(8, MAX_LEN - VIDEO_LEN, dtype=torch.bool),
        "text_label": torch.zeros(8, MAX_LEN - VIDEO_LEN, dtype=torch.long),
    }


def test_a_greedy_caption_takes_the_likeliest_token_of_the_whole_model_each_time(
    writer: MultimodalModel, prompts: dict[str, Tensor]
):
    ids = generate(writer, prompts, Decoding(num_beams=1), end=2, pad=0)
    for row in range(8):
        example = {name: prompts[name][row : row + 1] for name in ("vfeats", "vmasks")}
        text = [1, 2, 1]
        while len(text) < 8 and text[3:].count(2) == 0:
            label = torch.full((1, len(text)), -100)
            label[0, -1] = 0
            with torch.no_grad():
                logits = writer(
                    **example,
                    caps=torch.tensor([text]),
                    cmasks=torch.ones(1, len(text), dtype=torch.bool),
                    text_label=label,
                )["logits"]
            text.append(int(logits.argmax()))
        assert ids[row].tolist() == text + [0] * (ids.shape[1] - len(text))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_of_one_and_a_batch_of_eight_give_the_same_captions(
    writer: MultimodalModel, prompts: dict[str, Tensor], beams: int, rule: Rule
):
    decoding = Decoding(num_beams=beams, rule=rule)
    together = generate(writer, prompts, decoding, end=2, pad=0)
    assert len({tuple(row) for row in together.tolist()}) > 1, "no video made a difference"
    for row in range(8):
        alone = generate(
            writer, {k: v[row : row + 1] for k, v in prompts.items()}, decoding, end=2, pad=0
        )
        padded = alone[0].tolist() + [0] * (together.shape[1] - alone.shape[1])
        assert together[row].tolist() == padded


def test_padding_frames_do_not_change_a_caption(
    writer: MultimodalModel, prompts: dict[str, Tensor]
):
    before = generate(writer, prompts, Decoding(), end=2, pad=0)
    prompts["vfeats"][~prompts["vmasks"]] = 100
    assert torch.equal(generate(writer, prompts, Decoding(), end=2, pad=0), before)


def test_the_room_for_text_and_the_longest_text_both_bound_a_caption(
    writer: MultimodalModel, prompts: dict[str, Tensor]
):
    with torch.no_grad():
        writer.head.bias[2] = -1e9  # never an end
    room = MAX_LEN - VIDEO_LEN - 3
    for longest, length in ((4, 4), (room, room), (room + 1, room), (24, room)):
        decoding = Decoding(max_decode_length=longest, num_beams=2)
        assert generate(writer, prompts, decoding, end=2, pad=0).shape == (8, length)
    with pytest.raises(ConfigError, match="at most 3 tokens has no room behind a prompt of 3"):
        generate(writer, prompts, Decoding(max_decode_length=3), end=2, pad=0)
    prompts["cmasks"] = prompts["cmasks"][:, :6]
    with pytest.raises(ConfigError, match="see max_decode_length, max_len and max_video_len"):
        generate(writer, prompts, Decoding(), end=2, pad=0)


def test_encoders_run_once_a_batch(writer: MultimodalModel, prompts: dict[str, Tensor]):
    calls = []
    writer.encoders["video"].register_forward_hook(lambda *_: calls.append(1))
    generate(writer, prompts, Decoding(), end=2, pad=0)
    assert len(calls) == 1


def test_another_head_writes_no_text(writer: MultimodalModel, prompts: dict[str, Tensor]):
    writer.head = ContrastiveHead()
    with pytest.raises(ConfigError, match="by a LanguageHead, but not by ContrastiveHead"):
        next_token_of(writer, prompts)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("num_beams", 0, 1),
        ("max_decode_length", 0, 1),
        ("min_length", -1, 0),
        ("no_repeat_ngram_size", -1, 0),
    ],
)
def test_impossible_options_are_refused(name: str, value: int, least: int):
    with pytest.raises(ConfigError, match=f"{name} is {value}, but must be at least {least}"):
        Decoding(**{name: value})
