"""The ``fairseq:`` section of a YAML as command-line arguments, checked before anything runs.

Groups (``common``, ``dataset``, ``optimization``, ``checkpoint``, …) only order the keys. True is a
flag, false and null are nothing, a list is one argument with commas. The group ``common_eval`` is
for evaluation, and holds the ``path`` of a checkpoint.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from fairseq import options

from mmvt.errors import ConfigError, did_you_mean
from mmvt.redaction import redacted

FIXED = ["--task=mmtask", "--arch=mmarch", "--criterion=mmloss", "--required-batch-size-multiple=1"]
EVALUATION = "common_eval"
# fairseq hands the text of these to eval, besides the lists that its parser knows of
_EVALUATED = {"adam_betas", "adamax_betas", "adafactor_eps", "betas", "lamb_betas"}
_OURS = {"task", "arch", "criterion", "recipe", "overrides", "trust_code"}
_NAME = re.compile(r"[a-zA-Z]\w*", re.ASCII)


def to_argv(section: Mapping[str, Any]) -> list[str]:
    """Return the arguments of a ``fairseq:`` section, one word each.

    Raises:
        ConfigError: the section does not hold groups of values.
    """
    return [word for key, value in _options_of(section) for word in _words(key, value)]


def _options_of(section: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for group, keys in section.items():
        if not isinstance(keys, Mapping):
            raise ConfigError(f"fairseq.{group} must hold keys and values, not {keys!r}")
        for key, value in keys.items():
            if (group, key) == (EVALUATION, "path"):
                continue
            if isinstance(value, Mapping):
                raise ConfigError(f"fairseq.{group}.{key} must be a value or a list, not a mapping")
            yield key, value


def _words(key: str, value: Any) -> list[str]:
    flag = "--" + key.replace("_", "-")
    if value is True:
        return [flag]
    if value is None or value is False:
        return []
    return [f"{flag}={_text(value)}"]  # one word: a value may begin with a dash


def _text(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


def parse(
    section: Mapping[str, Any], recipe: str, overrides: str = "[]", *, trust_code: bool = False
) -> argparse.Namespace:
    """Return fairseq's arguments of a task.

    Args:
        section: the ``fairseq:`` section.
        recipe: path of the task YAML.
        overrides: JSON list of command-line overrides.
        trust_code: as in :mod:`mmvt.config.compose`.

    Raises:
        ConfigError: with every unknown option; or with the value of a wrong type.
    """
    parser = _Parser.of(options.get_training_parser())
    _refuse_code(section, parser)
    argv = [*FIXED, f"--recipe={recipe}", f"--overrides={overrides}", *to_argv(section)]
    argv += ["--trust-code"] if trust_code else []
    args, unknown = options.parse_args_and_arch(parser, input_args=argv, parse_known=True)
    if unknown:
        known = {flag[2:].replace("-", "_") for a in parser._actions for flag in a.option_strings}
        raise ConfigError([_unknown(word, section, known) for word in unknown])
    args.tpu = False  # fairseq takes bf16 for a sign of a TPU
    return args


class _Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process."""

    @classmethod
    def of(cls, parser: argparse.ArgumentParser) -> _Parser:
        parser.__class__ = cls
        assert isinstance(parser, cls)
        return parser

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"fairseq: {message}")


def _unknown(word: str, section: Mapping[str, Any], known: set[str]) -> str:
    name = word.partition("=")[0].removeprefix("--").replace("-", "_")
    group = next((g for g, keys in section.items() if name in keys), "")
    hint = did_you_mean(name, known, quote="'")
    return f"fairseq.{group}.{name} is no option of fairseq's training{hint}"


def _refuse_code(section: Mapping[str, Any], parser: argparse.ArgumentParser) -> None:
    """Raise if a key imports code, or a value that fairseq evaluates is no plain number.

    A key may be no more than a name, or it would hold other options; and not one of those that say
    which recipe is trained, and whether what it includes is trusted.
    """
    evaluated = _EVALUATED | {a.dest for a in parser._actions if _is_lambda(a.type)}
    problems = []
    for key, value in _options_of(section):
        if not _NAME.fullmatch(key):
            problems.append(f"fairseq: {key!r} is no name of an option")
        elif key in _OURS:
            problems.append(f"fairseq: {key} is no option here: the task YAML itself says that")
        elif key == "user_dir":
            problems.append("fairseq: user_dir imports code; name the files under plugins:")
        elif key in evaluated and not _is_literal(_text(value)):
            problems.append(f"fairseq: {key} must be numbers, not {_text(value)!r}")
        elif redacted(_text(value)) != _text(value):
            problems.append(f"fairseq: {key} holds a secret, which checkpoints would keep")
    if problems:
        raise ConfigError(problems)


def _is_lambda(function: Any) -> bool:
    return callable(function) and "<lambda>" in str(function)


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True
