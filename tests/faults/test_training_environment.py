"""Faults of the environment: packages, programs, devices and networks that are not there."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvt_cli.__main__ import COMMANDS
from mmvt_cli.setup import GROUPS, read_needs, read_pins
from tests.corpus import write_corpus, write_project
from tests.faults.runs import ROOT

pytestmark = [pytest.mark.faults, pytest.mark.training]

HIDDEN = ("fairseq", "submitit", "ray", "wandb", "faster_whisper", "pytest")
# nothing may be looked up or reached; the check is the interpreter's own
OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise RuntimeError(f"the network was asked for: {arguments}")
sys.addaudithook(refuse)
"""
IMPORTS = """
import importlib, json, pkgutil
import mmvt, mmvt_cli
found = [pkgutil.walk_packages(p.__path__, p.__name__ + ".") for p in (mmvt, mmvt_cli)]
names = [module.name for modules in found for module in modules]
names = [n for n in names if not n.startswith("mmvt.fairseq") and n != "mmvt_cli.__main__"]
for name in names:
    importlib.import_module(name)
hidden = {n for n in HIDDEN if n in sys.modules}
print(json.dumps({"imported": len(names), "hidden": sorted(hidden)}))
"""
FEATURES = """
import contextlib, io, json, sys, torch
from pathlib import Path
from mmvt.errors import MissingPackageError
from mmvt.evaluators.metrics.meteor import meteor
from mmvt_cli.__main__ import main
said = {}
for name, words in json.loads(sys.argv[1]).items():
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    said[name] = [code, err.getvalue()]
try:
    meteor(["a"], [["a"]], Path("meteor.jar"))
except MissingPackageError as error:
    said["meteor"] = [2, str(error)]
said["gpu"] = [0, str(torch.cuda.is_available())]
print(json.dumps(said))
"""
HELP = """
import contextlib, io, sys
from mmvt_cli.__main__ import COMMANDS, main
for name in COMMANDS:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            main([*name.split(), "--help"])
        except SystemExit as end:
            assert end.code == 0, name
    assert "examples:" in printed.getvalue(), name
    heavy = {"torch", "fairseq", "transformers", "submitit", "matplotlib"} & set(sys.modules)
    assert not heavy, (name, heavy)
"""


def needed(names: tuple[str, ...]) -> Iterator[importlib.metadata.Distribution]:
    """Yield the distributions of names and all that they ask for, extras aside."""
    seen: set[str] = set()
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # for another system or Python
            continue
        yield found
        for line in found.requires or ():
            if "extra ==" not in line and (match := re.match(r"[\w.-]+", line)):
                left.append(match[0])


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of packages that holds the dependencies of mmvt and no others."""
    folder = tmp_path_factory.mktemp("packages")
    for found in needed(read_needs()[""]):
        for file in found.files or ():
            top, place = file.parts[0], folder / file.parts[0]
            if top not in ("..", "__pycache__") and not place.is_symlink():
                place.symlink_to(Path(str(found.locate_file(top))).resolve())
    return folder


def run(code: str, packages: Path, folder: Path, *words: str) -> dict[str, list[object]]:
    """Run Python with nothing but ``packages``, without programs, network and GPU."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{OFFLINE}\nHIDDEN = {HIDDEN}\n{code}", *words],
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{packages}", "PATH": "", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
    return printed


def test_t47_everything_but_training_is_imported_with_the_dependencies_alone(
    bare: Path, tmp_path: Path
):
    said = run(IMPORTS, bare, tmp_path)
    assert said["hidden"] == []
    assert said["imported"] > 100  # type: ignore[operator]


def test_t47_each_feature_says_what_is_missing(bare: Path, tmp_path: Path):
    write_project(tmp_path, write_corpus(tmp_path / "corpus", videos=6))
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    launch = ["launch", "projects/tiny.yaml", "--jobtype"]
    words = {
        "train": ["train", "projects/task/tiny.yaml"],
        "slurm": [*launch, "slurm_single"],
        "weights": ["extract", "videos", "--encoder", "EfficientNetLite0", "--out", "f"],
        "speech": ["transcribe", "videos", "--out", "t"],
        "demo": ["demo"],
    }
    said = run(FEATURES, bare, tmp_path, json.dumps(words))
    for name, (package, group) in {
        "train": ("fairseq", "train"),
        "slurm": ("submitit", "slurm"),
        "speech": ("faster_whisper", "transcribe"),
        "demo": ("fairseq", "train"),
    }.items():
        message = f"error: the package {package!r} is not installed; run: python -m mmvt_cli.setup"
        assert said[name][0] == 2, said[name]
        assert f"{message} {group}\n" in str(said[name][1])
    assert said["weights"][0] == 2
    assert "weights 'efficientnet-lite0' are not installed; run: " in str(said["weights"][1])
    assert said["meteor"] == [2, "there is no Java"]
    assert said["gpu"] == [0, "False"]


def test_t47_the_groups_that_messages_name_are_there():
    files = [path for name in ("mmvt", "mmvt_cli") for path in (ROOT / name).rglob("*.py")]
    call = re.compile(r'require_package\("\w+", "(\w+)"\)')
    named = {group for path in files for group in call.findall(path.read_text())}
    assert named
    assert named <= set(GROUPS)


def test_t48_no_help_imports_torch(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", HELP],
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(COMMANDS) > 10


def test_t48_the_least_torch_is_the_pinned_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (torch,) = [line for line in project["dependencies"] if line.startswith("torch>=")]
    assert torch == f"torch>={read_pins()['torch']}"
    assert importlib.metadata.version("torch").split("+")[0] == read_pins()["torch"]
