"""Translates configurations of the original MMPT toolkit into ours.

A YAML is translated when it is composed, stage by stage (template, project, command line), so that
a stage in either language can be laid over one in the other. ``original: true`` marks what was
translated: there, a key of the original that no chosen part takes is reported and left out.
Everywhere else it is an error, as any unknown key is.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from mmvt.config.merge import Keys, Layer, kept, value_at
from mmvt.config.original import BUILT_IN, IGNORED, LOSSES, MODELS, MOVED, PLUGINS, TOLERANT
from mmvt.errors import did_you_mean

MARK = "original"
RESETS = ("reset_optimizer", "reset_dataloader", "reset_meters")
UPDATES = 1_000_000  # over which the rate fell where nothing was said
_ABSENT = object()


def translated(layer: Layer) -> Layer:
    """Return a composed layer with the names and keys of the original replaced by ours.

    A project is translated group by group. A layer without a word of the original is returned as
    it is. What has no meaning here is left out, and told in ``notes``.
    """
    groups = layer.data.get("task_group")
    if not isinstance(groups, Mapping):
        return _Translation(layer).result()
    result = _Translation(layer.without("task_group")).result()
    data, origins = result.data | {"task_group": dict(groups)}, layer.origins | result.origins
    notes, problems = list(result.notes), list(result.problems)
    for name in [name for name, group in groups.items() if isinstance(group, Mapping)]:
        keys = ("task_group", name)
        group = _Translation(replace(layer.under(*keys), notes=[], problems=[])).result()
        data["task_group"][name] = group.data
        if MARK in group.data:
            data[MARK] = True
        origins |= {(*keys, *path): where for path, where in group.origins.items()}
        notes += group.notes
        problems += group.problems
    return replace(layer, data=data, origins=kept(origins, data), notes=notes, problems=problems)


class _Translation:
    """One stage on its way from the original's language to ours.

    Args:
        layer: it is not changed.
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.data: dict[str, Any] = copy.deepcopy(layer.data)
        self.origins = dict(layer.origins)
        self.notes, self.problems = list(layer.notes), list(layer.problems)
        self.changed = False

    def result(self) -> Layer:
        """Return the translated layer; the layer itself if there was nothing to translate."""
        self._plugins()
        self._model()
        self._without_meaning()
        for old, new in MOVED.items():
            self._move(old, new)
        for key in list(value_at(self.data, ("gen_param",)) or ()):
            self._move(("gen_param", key), ("predictor", key))
        self._folders()
        self._batches()
        self._training()
        meta = value_at(self.layer.data, ("dataset", "meta_processor"))
        if self.changed and meta in TOLERANT:
            where = self.layer.where(("dataset", "meta_processor"))
            self._put(("dataset", "allow_missing"), True, where)
        self._leftovers()
        if not self.changed:
            return self.layer
        self.data[MARK] = True
        return replace(
            self.layer,
            data=self.data,
            origins=kept(self.origins, self.data),
            notes=self.notes,
            problems=self.problems,
        )

    def _plugins(self) -> None:
        """Give plugins our names, in short and in long form."""
        for keys, names in PLUGINS.items():
            value, where = value_at(self.data, keys), self.layer.where(keys)
            given = dict(value) if isinstance(value, Mapping) else {"name": value}
            name = given.pop("name", None)
            if not isinstance(name, str) or names.get(name, name) == name:
                continue
            named = names[name]
            new = {"name": named} if isinstance(named, str) else named
            self._put(keys, {**new, **given} if given else copy.copy(named), where)
        where = self.layer.where(("loss", "loss_cls"))
        if name := self._take_name(("loss", "loss_cls"), LOSSES):
            loss = self.data.get("loss")
            self._put(("loss", "name") if loss else ("loss",), LOSSES[name], where)

    def _model(self) -> None:
        where = self.layer.where(("model", "model_cls"))
        name = self._take_name(("model", "model_cls"), MODELS)
        if name is None:
            return
        trunk, head = MODELS[name]
        self._put(("encoders", "video"), "VideoTokenMLP", where)
        self._put(("trunk",), copy.copy(trunk), where)
        self._put(("head",), copy.copy(head), where)
        if "features" not in self.data:
            self._put(("features",), {"encoder": "S3D"}, where)
        if name == "MMFusionNLG" and "predictor" not in self.data:
            self._put(("predictor",), "CaptionPredictor", where)

    def _without_meaning(self) -> None:
        for keys, (names, reason) in BUILT_IN.items():
            where = self.layer.where(keys)
            if self._take_name(keys, names):
                self._note(where, keys, reason)
        for keys, reason in IGNORED.items():
            where = self.layer.where(keys)
            if self._take(keys) is not _ABSENT:
                self._note(where, keys, reason)

    def _folders(self) -> None:
        """Bring results to ``eval`` in the folder of the run, and TensorBoard's files into it."""
        results, run = ("eval", "save_path"), ("fairseq", "checkpoint", "save_dir")
        where, path = self.layer.where(results), self._take(results)
        if isinstance(path, str) and value_at(self.data, run) is None:
            folder = PurePosixPath(path)
            self._put(run, str(folder.parent if folder.name == "eval" else folder), where)
        board = ("fairseq", "common", "tensorboard_logdir")
        name, at = value_at(self.data, board), value_at(self.data, run)
        if self.changed and isinstance(name, str) and isinstance(at, str) and "/" not in name:
            self._put(board, f"{at}/{name}", self.layer.where(board))

    def _batches(self) -> None:
        """Count batches in videos: the original counts their clips, or groups of videos."""
        size, per_video = ("fairseq", "dataset", "batch_size"), ("dataset", "clip_per_video")
        batch, where = value_at(self.data, size), self.layer.where(per_video)
        clips, factor = value_at(self.data, ("dataset", "subsampling")), 1
        if (in_group := self._take(per_video)) is not _ABSENT:
            self._put(("dataset", "subsampling"), in_group, where)
            factor, clips = value_at(self.data, ("dataset", "num_video_per_batch")), 1
        if self.changed and type(batch) is type(factor) is int:
            share = clips if type(clips) is int and clips > 1 else 1
            self._put(size, max(1, batch // share) * factor, self.layer.where(size))

    def _training(self) -> None:
        """Say to the fairseq of today what was said to that of the original's time.

        There the learning rate fell over :data:`UPDATES` unless told otherwise. And fine-tuning was
        to restore a file but none of its state: a run that was stopped began anew, and one without
        that file began with BERT.
        """
        rates = ("fairseq", "optimization", "lr_scheduler")
        length = (*rates[:-1], "total_num_update")
        if not self.changed:
            return
        if value_at(self.data, rates) == "polynomial_decay" and not value_at(self.data, length):
            self._put(length, UPDATES, self.layer.where(rates))
        options = value_at(self.data, ("fairseq", "checkpoint"))
        if isinstance(options, dict) and all(options.get(key) is True for key in RESETS):
            for key in RESETS:
                self._take(("fairseq", "checkpoint", key))
            old = ("fairseq", "checkpoint", "restore_file")
            self._move(old, (*old[:-1], "finetune_from_model"))

    def _leftovers(self) -> None:
        """Remove sections that the original alone has; what is still there is a problem."""
        for section in ("model", "eval", "gen_param"):
            known = [keys[1] for keys in _KNOWN if keys[0] == section and len(keys) > 1]
            value = self.data.get(section)
            if not (self.changed and isinstance(value, Mapping)):
                continue
            for key in value:
                hint = did_you_mean(key, known, quote="'") or f" (it has {', '.join(known)})"
                self.problems.append(
                    f"{self.layer.where((section, key))}: the original has no {section}.{key}{hint}"
                )
            del self.data[section]

    def _take_name(self, keys: Keys, names: Collection[str]) -> str | None:
        """Take the name at a key; one that the original does not have is a problem."""
        where, name = self.layer.where(keys), self._take(keys)
        if name is _ABSENT or name is None:
            return None
        if isinstance(name, str) and name in names:
            return name
        hint = did_you_mean(str(name), names) or f" (it has {', '.join(names)})"
        self.problems.append(f"{where}: {'.'.join(keys)}: the original has no {name!r}{hint}")
        return None

    def _take(self, keys: Keys) -> Any:
        """Return what stands at a path of keys, and remove it."""
        section = value_at(self.data, keys[:-1])
        if not isinstance(section, dict) or keys[-1] not in section:
            return _ABSENT
        self.changed = True
        return section.pop(keys[-1])

    def _move(self, old: Keys, new: Keys) -> None:
        where, value = self.layer.where(old), self._take(old)
        if value is not _ABSENT:
            self._put(new, value, where)

    def _put(self, keys: Keys, value: Any, where: str) -> None:
        """Set the value at a path of keys; a plugin on the way gets the long form."""
        section = self.data
        for length, key in enumerate(keys[:-1], start=1):
            child = section.get(key)
            if not isinstance(child, dict):
                child = section[key] = {"name": child} if isinstance(child, str) else {}
            self.origins.setdefault(keys[:length], where)
            section = child
        section[keys[-1]] = value
        self.origins[keys] = where
        self.changed = True

    def _note(self, where: str, keys: Keys, reason: str) -> None:
        self.notes.append(f"{where}: {'.'.join(keys)} has no meaning here: {reason}")


_KNOWN: tuple[Keys, ...] = (
    ("model", "model_cls"),
    ("eval", "save_path"),
    *BUILT_IN,
    *MOVED,
)
