from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmvt.errors import CheckpointError
from mmvt.features.s3d.network import S3DNetwork
from mmvt.features.s3d.text import WORDS, S3DTextEncoder, read_dictionary
from tests.trap import Trap

DICTIONARY = ["fry", "the", "onion", "don't", "3"]


@pytest.fixture
def encoder(network: S3DNetwork) -> S3DTextEncoder:
    return S3DTextEncoder(network.text_module, DICTIONARY)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Fry the ONION!", [1, 2, 3]),
        ("don't fry 3", [4, 1, 5]),
        ("", []),
        ("nothing here", []),
        ("a fry b the c", [1, 2]),
        ("the_onion fry-the", [1, 2]),
        ("the " * 15, [2] * 15),
        ("the " * 16, [2] * 16),
        ("unknown " * 20 + "the " * 17, [2] * 16),
    ],
)
def test_known_words_become_numbers_padded_to_sixteen(
    encoder: S3DTextEncoder, text: str, known: list[int]
) -> None:
    assert encoder.token_ids([text]).tolist() == [known + [0] * (16 - len(known))]


def test_embeddings_are_those_of_another_implementation(network: S3DNetwork) -> None:
    """They were computed in float64 from the weights; padding takes part in the maximum."""
    ids = torch.tensor([[3, 1, 7] + [0] * 13, [0] * 16, [WORDS - 1] * 16])
    with torch.inference_mode():
        out = network.text_module(ids)
    expected = torch.tensor(
        [
            [-0.63778, -1.25681, 0.66933],
            [-0.48372, -0.04207, 0.13129],
            [-0.85389, -0.43806, 0.56776],
        ]
    )
    torch.testing.assert_close(out[:, :3], expected, atol=1e-4, rtol=0)
    expected = torch.tensor([26.829937, 16.654593, 19.187267])
    torch.testing.assert_close(out.norm(dim=1), expected, atol=0, rtol=1e-5)


def test_order_of_words_does_not_matter_but_words_do(encoder: S3DTextEncoder) -> None:
    one, two, other = encoder.encode(["fry the onion", "onion the fry", "fry"])
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert encoder.encode([]).shape == (0, 512)


def test_more_words_than_rows_are_refused(network: S3DNetwork) -> None:
    most = [str(number) for number in range(WORDS - 1)]
    assert S3DTextEncoder(network.text_module, most).token_ids([most[-1]])[0, 0] == WORDS - 1
    with pytest.raises(CheckpointError, match="embeds 66249 words"):
        S3DTextEncoder(network.text_module, [*most, "more"])


@pytest.mark.parametrize("dtype", ["U", "U20", object])
def test_dictionary_is_read_whatever_its_type(tmp_path: Path, dtype: object) -> None:
    path = tmp_path / "dict.npy"
    np.save(path, np.array(DICTIONARY, dtype=dtype))
    assert read_dictionary(path) == DICTIONARY


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_dictionary_of_objects_is_read_whoever_wrote_it(tmp_path: Path, protocol: int) -> None:
    import pickle

    array = np.array(DICTIONARY, dtype=object)
    with (tmp_path / "dict.npy").open("wb") as file:
        header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        old = pickle.dumps(array, protocol).replace(b"numpy._core", b"numpy.core")
        file.write(old if protocol < 4 else pickle.dumps(array, protocol))
    assert read_dictionary(tmp_path / "dict.npy") == DICTIONARY


def test_dictionary_that_would_run_code_is_refused(tmp_path: Path) -> None:
    words = np.array(["a", Trap(tmp_path / "sprung")], dtype=object)
    np.save(tmp_path / "dict.npy", words, allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"unsafe dictionary, not read: it asks for posix"):
        read_dictionary(tmp_path / "dict.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, 2]),
        np.array([["a"], ["b"]]),
        np.array(["a", 1], dtype=object),
        np.array(["a", ["b"]], dtype=object),
        np.array({"a": 1}, dtype=object),
        np.array([["a", "b"]], dtype=object),
    ],
    ids=["numbers", "matrix", "mixed", "nested", "dict", "matrix of objects"],
)
def test_what_is_no_list_of_words_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "dict.npy", array, allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"dict\.npy: (is no list of words|damaged)"):
        read_dictionary(tmp_path / "dict.npy")


def test_damaged_and_missing_dictionaries_are_told(tmp_path: Path) -> None:
    path = tmp_path / "dict.npy"
    with pytest.raises(CheckpointError, match=r"dict\.npy: damaged dictionary: .*No such file"):
        read_dictionary(path)
    for content in (b"", b"words", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged dictionary"):
            read_dictionary(path)
    for dtype in ("U", object):
        np.save(path, np.array(DICTIONARY, dtype=dtype), allow_pickle=True)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(CheckpointError, match="damaged dictionary"):
            read_dictionary(path)
