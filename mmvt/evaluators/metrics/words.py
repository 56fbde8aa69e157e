"""The words of captions, as metrics count them.

The rules are those that the code of COCO captions gets from the Penn Treebank tokenizer of
Stanford's CoreNLP 3.4.1 in small letters, of which it removes the punctuation, written anew: all
but 6 of 53,076 captions and questions of seven public data sets have the same words, and those
differ by smileys, no-break spaces and slips of the pen. Brackets stay as words there (``-lrb-``),
and so they do here.
"""

from __future__ import annotations

import re

TOKENIZER = {"name": "mmvt-ptb", "version": 1}

_ABBREVIATIONS = (
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri mr mrs ms dr "
    "drs prof sr jr st ste ave blvd rd dept gen sgt capt lt col maj rev hon gov pres inc ltd corp "
    "co cos bros vs etc al ft mt"
).replace(" ", "|")
_MARKS = "\u0300-\u036f\u0900-\u0dff\u0e00-\u0eff"  # what Python takes for no part of a word
_LETTER = rf"(?:[^\W\d_]|[{_MARKS}])"
_SIGN = rf"(?:[^\W_]|[{_MARKS}])"  # a letter or a digit
_NUMBER = r"(?:\d*(?:[.,:]\d+)+|\d+)"
_PART = rf"(?:{_NUMBER}{_SIGN}*|{_LETTER}{_SIGN}*)"
_TOKEN = re.compile(
    rf"""
    https?://[^\s"<>]*[^\s"<>.,;:!?)'\]}}]       # addresses
    | (?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*
    | [@\#]{_LETTER}\w*
    | </?[a-z][^<>]*>                            # tags
    | n't\b | '(?:s|m|d|re|ve|ll)\b              # ends of words that apostrophes shorten
    | '(?:t(?=is\b|was\b)|em\b|n\b'?|cause\b|till?\b|\d\ds?\b(?!'))
    | {_LETTER}+(?=n't\b)
    | (?:can(?=not\b)|(?:gim|lem)(?=me\b)|(?:gon|wan)(?=na\b)|got(?=ta\b))
    | (?:o|d|l)'{_LETTER}{{2,}} | ma'am\b
    | (?:{_LETTER}\.)+(?!{_SIGN}{{2}})            # abbreviations
    | (?:{_ABBREVIATIONS})\.(?!\w)
    | no\.(?=\s*\d)
    | (?:(?<!\w)[-+](?=[.,:]?\d))?{_PART}(?:[-/&._]{_PART})*  # words and numbers
    | [?!]{{2,}} | \S
    """,
    re.VERBOSE,
)
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201b\u0092", "'"),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufe0f\ufeff", None),
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "€": "$",
        "£": "#",
        "¢": " cents ",
    }
)
_BRACKETS = dict(zip("()[]{}", ["-lrb-", "-rrb-", "-lsb-", "-rsb-", "-lcb-", "-rcb-"], strict=True))
_PUNCTUATION = frozenset("'\"`.?!,:;-–—…“”„«»\u2039\u203a\u2015")


def words_of(text: str) -> list[str]:
    """Return the words of a caption, which may be none."""
    plain = text.lower().translate(_PLAIN)
    found = (_BRACKETS.get(token, token) for token in _TOKEN.findall(plain))
    return [word for word in found if not _is_left_out(word)]


def _is_left_out(word: str) -> bool:
    """Return whether a token is punctuation, or a sign that the tokenizer knows nothing of."""
    return word in _PUNCTUATION or not word.isprintable() or max(word) > "\uffff"
