"""A dictionary in the form of WordNet 3, small enough to be worked out by hand."""

from __future__ import annotations

from pathlib import Path

# offset, words, what it is a kind (@) or an instance (@i) of
SENSES = [
    ("00000100", ["entity"], []),
    ("00000200", ["animal"], ["@ 00000100"]),
    ("00000300", ["dog", "hound"], ["@ 00000200"]),
    ("00000400", ["cat"], ["@ 00000200"]),
    ("00000500", ["puppy"], ["@ 00000300"]),
    ("00000600", ["table"], ["@ 00000100"]),
    ("00000700", ["bat"], ["@ 00000200"]),
    ("00000800", ["bat"], ["@ 00000100"]),
    ("00000900", ["mouse"], ["@ 00000200", "@ 00001000"]),
    ("00001000", ["pet"], ["@ 00000200"]),
]
LICENCE = "  1 This file is a stand-in.  \n"


def write_wordnet(folder: Path) -> Path:
    """Write the dictionary files of nouns; return their folder."""
    data, index = [LICENCE], [LICENCE]
    senses: dict[str, list[str]] = {}
    for offset, words, above in SENSES:
        named = " ".join(f"{word} 0" for word in words)
        pointers = [f"{pointer} n 0000" for pointer in (*above, "~ 00009999")]
        data.append(
            f"{offset} 03 n {len(words):02x} {named} {len(pointers):03d} {' '.join(pointers)} | x\n"
        )
        for word in words:
            senses.setdefault(word, []).append(offset)
    for word, own in sorted(senses.items()):
        index.append(f"{word} n {len(own)} 2 @ ~ {len(own)} 0 {' '.join(own)}  \n")
    (folder / "data.noun").write_text("".join(data))
    (folder / "index.noun").write_text("".join(index))
    (folder / "noun.exc").write_text("mice mouse\n")
    return folder
