"""Installs what mmvt needs beside itself, in the versions and the order that work together.

Only the standard library is used: this runs in an environment that has nothing yet. Versions stand
in ``constraints.txt``; what mmvt and its groups need stands in ``pyproject.toml``, which a wheel
carries as metadata; packages that are installed without what they ask for, and the sha256 of their
archives, stand in ``bare_packages.json``. torch's archive has no sha256 there: which build is
right, for CPU or GPU, differs between machines.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmvt.errors import MissingPackageError, MMVTError, did_you_mean
from mmvt.features.weights import WEIGHTS, weight_file
from mmvt_cli._cli import cli_errors

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "constraints.txt"
GROUPS = {
    "train": "fairseq, which trains",
    "demo": "small pretrained weights and sample videos",
    "deeplake": "Deeplake, which reads data sets of VPT",
    "lora": "peft, which adapts language models by few weights",
    "ray": "Ray, which extracts features on many machines",
    "slurm": "submitit, which hands jobs to Slurm",
    "transcribe": "speech recognition and a small model for it",
    "dev": "what tests and checks need",
}
BUILD_TOOLS = ("setuptools", "wheel", "cython", "numpy")
EXAMPLES = """\
groups:
{groups}

examples:
  python -m mmvt_cli.setup                   features, inference and evaluation
  python -m mmvt_cli.setup train             and training
  python -m mmvt_cli.setup --check train     what is installed and what is missing
  python -m mmvt_cli.setup train demo dev transcribe ray slurm lora deeplake    everything

Use a virtual environment of its own. A torch of the right version that is there already, such as
one built for your GPU, is kept. What is right is left alone, so running this again is quick.
"""


@dataclass(frozen=True)
class Step:
    """Packages that are installed together.

    Attributes:
        title: what they are, for people.
        names: their names, in lower case with hyphens.
        bare: install them without what they ask for, and only from archives of known sha256.
    """

    title: str
    names: tuple[str, ...]
    bare: bool = False


@cli_errors
def main(argv: list[str] | None = None) -> int:
    """Install the groups asked for; return 0, or 1 where ``--check`` finds something amiss."""
    parser = argparse.ArgumentParser(
        prog="python -m mmvt_cli.setup",
        description="Install what mmvt needs, in versions that work together.",
        epilog=EXAMPLES.format(groups="\n".join(f"  {k:<11} {v}" for k, v in GROUPS.items())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--check", action="store_true", help="install nothing, tell what is there")
    args = parser.parse_args(argv)
    for group in args.groups:
        if group not in GROUPS:
            parser.error(f"no group {group!r}{did_you_mean(group, GROUPS)}; of {', '.join(GROUPS)}")
    if args.check:
        return check(args.groups or GROUPS)
    install(args.groups)
    return 0


def install(groups: Iterable[str]) -> None:
    """Install what is missing, or of another version, of the base and of ``groups``.

    Raises:
        MissingPackageError: pip is absent or failed, or something is missing all the same.
    """
    steps = plan(groups)
    changed = False
    for number, step in enumerate(steps, start=1):
        wanted = missing(step)
        changed |= bool(wanted)
        state = f"installing {', '.join(wanted)}" if wanted else "present"
        print(f"[{number}/{len(steps)}] {step.title}: {state}", flush=True)
        if not wanted:
            continue
        _pip_install(step, wanted)
        importlib.invalidate_caches()
        if left := missing(step):
            raise MissingPackageError(f"pip succeeded, and yet these are not right: {left}")
    for line in conflicts() if changed else ():
        print(f"conflict: {line}", file=sys.stderr)


def check(groups: Iterable[str]) -> int:
    """Print what is installed and missing, and conflicts that are not expected; return 1 if any."""
    amiss = False
    for step in plan(groups):
        wanted = missing(step)
        amiss |= bool(wanted)
        state = f"missing {', '.join(wanted)}" if wanted else "present"
        print(f"{step.title}: {state}")
    for line in conflicts():
        amiss = True
        print(f"conflict: {line}")
    return int(amiss)


def plan(groups: Iterable[str]) -> list[Step]:
    """Return the steps that install the base and ``groups``, in the order that works.

    fairseq is built against torch, Cython and numpy, so these come first.
    """
    needs, bare, chosen = read_needs(), read_bare(), set(groups)
    steps = [
        Step("torch", ("torch",)),
        Step("build tools", BUILD_TOOLS),
        Step("dependencies of mmvt", needs[""]),
    ]
    for group, title in GROUPS.items():
        if group in chosen and group in needs:
            steps.append(Step(f"{group}: packages", needs[group]))
        names = tuple(name for name, package in bare.items() if package["group"] == group)
        if group in chosen and names:
            steps.append(Step(f"{group}: {title}", names, bare=True))
    return steps


def missing(step: Step) -> list[str]:
    """Return the packages of a step that are absent, of another version, or damaged."""
    pins = read_pins()
    return [name for name in step.names if _version(name) != pins[name] or _damaged(name)]


def conflicts() -> list[str]:
    """Return what ``pip check`` finds wrong, but for what we leave out on purpose."""
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    expected = {
        (name, absent) for name, package in read_bare().items() for absent in package["without"]
    }
    found = []
    for line in result.stdout.splitlines() if result.returncode else ():
        match = re.match(r"(\S+) \S+ requires ([\w.-]+), which is not installed", line)
        if match is None or (_normal(match[1]), _normal(match[2])) not in expected:
            found.append(line)
    return found


def read_pins() -> dict[str, str]:
    """Return the version of every package that ``constraints.txt`` pins."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {_normal(name): version for name, version in pairs}


def read_bare() -> dict[str, Mapping[str, str]]:
    """Return group, sha256 and left-out requirements of the packages installed without these."""
    packages: dict[str, Mapping[str, str]] = json.loads((HERE / "bare_packages.json").read_text())
    return packages


def read_needs() -> dict[str, tuple[str, ...]]:
    """Return the names of mmvt's dependencies (under ``""``) and of those of its extras."""
    pyproject = HERE.parent / "pyproject.toml"
    if pyproject.is_file():
        project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        needs = {"": project["dependencies"], **project["optional-dependencies"]}
        return {group: tuple(map(_name, lines)) for group, lines in needs.items()}
    found: dict[str, tuple[str, ...]] = {"": ()}
    for line in importlib.metadata.requires("mmvt") or ():
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        group = extra[1] if extra else ""
        found[group] = (*found.get(group, ()), _name(line))
    return found


def _pip_install(step: Step, names: Sequence[str]) -> None:
    if importlib.util.find_spec("pip") is None:
        raise MissingPackageError(f"{sys.executable} has no pip; run: python -m ensurepip")
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    argv.append("--no-warn-conflicts")  # until the last step there are some; they are told after it
    if not sys.stdout.isatty():
        argv.append("--quiet")
    pins = read_pins()
    lines = [f"{name}=={pins[name]}" for name in names]
    if step.bare:
        lines = [
            f"{line} --hash=sha256:{read_bare()[name]['sha256']}"
            for line, name in zip(lines, names, strict=True)
        ]
        # a damaged file has the right version: only --force-reinstall replaces it
        argv += ["--no-deps", "--no-build-isolation", "--force-reinstall", "--require-hashes"]
    else:
        argv += ["--constraint", str(CONSTRAINTS)]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(lines), encoding="utf-8")
        result = subprocess.run([*argv, "--requirement", str(requirements)], check=False)
    if result.returncode:
        hint = "; it is built with g++, which must be there" if "fairseq-fixed" in names else ""
        raise MissingPackageError(f"pip could not install {', '.join(names)} (see above){hint}")


def _version(name: str) -> str | None:
    """Return the installed version without its local part (``+cpu``), or None."""
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def _damaged(name: str) -> bool:
    for weights, where in WEIGHTS.items():
        if where.distribution == name:
            try:
                weight_file(weights)
            except MMVTError:
                return True
    return False


def _name(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return _normal(match[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    raise SystemExit(main())
