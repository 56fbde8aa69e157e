"""METEOR, by the program of its authors, which is in Java and no part of mmvt."""

from __future__ import annotations

import itertools
import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mmvt.errors import MissingPackageError

TIME_LIMIT = 3600.0  # seconds; thousands of captions take one minute
MEMORY = "-Xmx2G"  # what the authors give it


def meteor(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    jar: Path,
    time_limit: float = TIME_LIMIT,
) -> float:
    """Return METEOR of a corpus.

    Source: Denkowski and Lavie, Meteor Universal (WMT 2014), for English, normalised.

    Args:
        hypotheses: one a clip, words with spaces between.
        references: those of each clip, at least one.
        jar: ``meteor-1.5.jar``; the folder ``data`` with its paraphrases is beside it.
        time_limit: seconds after which it is ended.

    Raises:
        MissingPackageError: Java or the file is absent, or the program fails; the message says why.
    """
    return _said(hypotheses, references, jar, time_limit)[1]


def meteor_of_each(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    jar: Path,
    time_limit: float = TIME_LIMIT,
) -> list[float]:
    """Return METEOR of each caption by itself; see :func:`meteor`.

    Raises:
        MissingPackageError: Java or the file is absent, or the program fails; the message says why.
    """
    return _said(hypotheses, references, jar, time_limit)[0] if hypotheses else []


def _said(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], jar: Path, time_limit: float
) -> tuple[list[float], float]:
    """Return what the program says of each caption, and of all."""
    java = shutil.which("java")
    if java is None:
        raise MissingPackageError("there is no Java")
    if not jar.is_file():
        raise MissingPackageError(f"there is no file {jar}")
    most = max(map(len, references))
    # it takes the same number for each; the best counts, so that one may stand there again
    padded = [[*own, *[own[-1]] * (most - len(own))] for own in references]
    with tempfile.TemporaryDirectory(prefix="mmvt_meteor_") as folder:
        paths = [Path(folder, name) for name in ("hypotheses", "references")]
        for path, lines in zip(paths, (hypotheses, itertools.chain(*padded)), strict=True):
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        command = [java, MEMORY, "-Dfile.encoding=UTF-8", "-jar", str(jar.resolve())]
        options = ["-l", "en", "-norm", "-r", str(most), "-q"]
        return _run([*command, *map(str, paths), *options], len(hypotheses), time_limit)


def _run(command: Sequence[str], captions: int, time_limit: float) -> tuple[list[float], float]:
    """Return what the program says of each caption, and of all.

    Raises:
        MissingPackageError: it fails, or says something of more or fewer captions.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=time_limit)
    except subprocess.TimeoutExpired as error:
        raise MissingPackageError(f"METEOR took longer than {time_limit:g} s") from error
    said = done.stderr.splitlines() or [""]
    told = [float(line) for line in said if _is_share(line)]  # one a caption; Java may say more
    if done.returncode or len(told) != captions or not _is_share(done.stdout):
        failed = next((line for line in said if "Exception" in line or "Error" in line), said[0])
        raise MissingPackageError(f"METEOR failed: {failed}")
    return told, float(done.stdout)


def _is_share(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
