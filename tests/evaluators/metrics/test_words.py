from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmvt.evaluators.metrics.words import words_of

# words of the code of COCO captions, its program in Java run once over these texts
RECORDED = {
    "A man is riding a horse.": "a man is riding a horse",
    "someone's dog isn't here; he can't, I'm sure they've gone": (
        "someone 's dog is n't here he ca n't i 'm sure they 've gone"
    ),
    "He’ll say “don’t”": "he 'll say do n't",
    "I cannot, gonna gotta wanna gimme lemme": "i can not gon na got ta wan na gim me lem me",
    "'tis 'twas 'em '90s 1990's o'clock O'Neil dogs' ma'am": (
        "'t is 't was 'em '90s 1990 's o'clock o'neil dogs ma'am"
    ),
    "the (small) [red] {box}": "the -lrb- small -rrb- -lsb- red -rsb- -lcb- box -rcb-",
    'a b -- c - d ... e… f: g; "h" ? i! `j`': "a b c d e f g h i j",
    "costs $5.50, 50% off, #1 at 10:30 on 1,000.5": "costs $ 5.50 50 % off # 1 at 10:30 on 1,000.5",
    "1/2 cup and/or ½ tsp £5 €5 20°C": "1/2 cup and/or 1/2 tsp # 5 $ 5 20 ° c",
    "the t-shirt, well-done, a_b and -5 +3 5x 2nd 9x12": (
        "the t-shirt well-done a_b and -5 +3 5x 2nd 9x12"
    ),
    "Mr. Smith of the U.S. at 5 p.m. etc. No. 5": "mr. smith of the u.s. at 5 p.m. etc. no. 5",
    "mix 2 tbsp. oil. stop.": "mix 2 tbsp oil stop",
    "www.foo.com http://foo.com/a?b, a@b.com @user #tag": (
        "www.foo.com http://foo.com/a?b a@b.com @user #tag"
    ),
    "a+b a=b a~b a|b *star* R&B": "a + b a = b a ~ b a | b * star * r&b",
    "what?!?! oh!!! yes!": "what ?!?! oh !!! yes",
    "café naïve 日本語 привет हिन्दी ❤ ok": "café naïve 日本語 привет हिन्दी ❤ ok",
    "tab\there": "tab here",
}


@pytest.mark.parametrize("text", RECORDED)
def test_words_are_those_of_coco_captions(text: str):
    assert words_of(text) == RECORDED[text].split()


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", ".", "...", "?", "😀😀 👍", "“”", "\ufeff", "\x00"]
)
def test_a_caption_may_have_no_words(text: str):
    assert words_of(text) == []


@pytest.mark.parametrize(
    "text",
    ["\ufeffa man", "a\nman", "a\r\nman", "a\tman", "a\u2028man", "a \udcff man", "a 😀 man"],
)
def test_signs_that_break_lines_or_files_break_no_caption(text: str):
    assert words_of(text) == ["a", "man"]


HUNDRED_THOUSAND = {
    "word " * 20_000: 20_000,
    "a" * 100_000: 1,
    "1" * 100_000: 1,
    "a-" * 50_000: 1,
    "a." * 50_000: 1,
    "don't " * 16_667: 33_334,
    "'" * 100_000: 0,
    "." * 100_000: 0,
    "?!" * 50_000: 1,
    "+-" * 50_000: 50_000,
    "<a" * 50_000: 100_000,
    "@" * 100_000: 100_000,
    "http://" * 14_286: 1,
    "1.," * 33_334: 1,
    "_" * 100_000: 100_000,
}


@pytest.mark.parametrize(
    ("text", "count"), HUNDRED_THOUSAND.items(), ids=range(len(HUNDRED_THOUSAND))
)
def test_a_caption_of_a_hundred_thousand_signs_is_read_to_its_end(text: str, count: int):
    assert len(words_of(text)) == count


@given(st.text())
def test_words_hold_no_space_and_no_capitals(text: str):
    for word in words_of(text):
        assert word.split() == [word]
        assert word == word.lower() or len(word.lower()) != len(word)
