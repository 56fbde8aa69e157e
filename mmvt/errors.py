"""Every error that mmvt raises on purpose.

MMVTError
├── ConfigError          one message for all that is wrong in a configuration
├── PluginError          a plugin is unknown, or breaks the contract of its kind
├── MissingPackageError  an optional package is absent; the message names the command that adds it
├── MissingWeightsError  weights are absent; the message says where to put what
├── StoreError           a feature store or shard is missing, damaged or does not fit
├── DataError            annotations, captions or ids are wrong or missing
├── MediaError           a video file cannot be read
├── CheckpointError      a checkpoint is unsafe, torn, or does not fit the model
├── TrainingError        a training cannot go on
└── LaunchError          a job cannot be started
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable


class MMVTError(Exception):
    """The base of all errors of mmvt; commands print it without a traceback and exit 2."""


class ConfigError(MMVTError):
    """All problems of one configuration.

    Args:
        problems: one line each, naming file and key.
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class PluginError(MMVTError):
    """A plugin is unknown or breaks the contract of its kind."""


class MissingPackageError(MMVTError):
    """An optional package is absent."""


class MissingWeightsError(MMVTError):
    """Weights are absent."""


class StoreError(MMVTError):
    """A feature store or shard is missing, damaged or does not fit."""


class DataError(MMVTError):
    """Annotations, captions or ids are wrong or missing."""


class MediaError(MMVTError):
    """A video file cannot be read."""


class CheckpointError(MMVTError):
    """A checkpoint is unsafe, torn, or does not fit the model."""


class TrainingError(MMVTError):
    """A training cannot go on: a loss is no number, or a worker is gone."""


class LaunchError(MMVTError):
    """A job cannot be started."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the one of ``choices`` that ``word`` is most likely a slip of, or None."""
    lowered = {name.lower(): name for name in choices}
    near = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.75)
    return lowered[near[0]] if near else None


def did_you_mean(word: str, choices: Iterable[str], quote: str = "") -> str:
    """Return ``"; did you mean X?"`` for the nearest of ``choices``, or an empty string."""
    near = nearest(word, choices)
    return f"; did you mean {quote}{near}{quote}?" if near else ""


def require_package(module: str, setup: str = "") -> None:
    """Raise unless ``module`` can be imported.

    Args:
        module: import name, such as ``fairseq``.
        setup: the group of ``python -m mmvt_cli.setup`` that installs it; none if all need it.

    Raises:
        MissingPackageError: naming the command that installs the module.
    """
    if importlib.util.find_spec(module) is None:
        command = f"python -m mmvt_cli.setup {setup}".rstrip()
        raise MissingPackageError(f"the package {module!r} is not installed; run: {command}")


def position(problem: str) -> tuple[str, int]:
    """Return (file, line) of a problem, by which a report reads from top to bottom."""
    match = re.match(r"(.*?):(\d+): ", problem)
    return (match[1], int(match[2])) if match else (problem.partition(": ")[0], 0)
