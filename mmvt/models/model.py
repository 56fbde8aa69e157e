"""The model: encoders → trunk → head, and the check that their ports meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from mmvt.errors import ConfigError
from mmvt.losses.base import Loss
from mmvt.models.base import Encoder, Head, Part, Trunk, consumed_ports


class MultimodalModel(nn.Module):
    """Runs encoders, trunk and head one after another, each on what the earlier ones produced.

    Args:
        encoders: an encoder a modality; the name is part of the checkpoint keys.
        trunk: joins or keeps apart the modalities.
        head: makes what a loss or a predictor needs.

    Raises:
        ConfigError: the head tells words from those before them, but the trunk cannot hide the
            later ones.
    """

    def __init__(self, encoders: Mapping[str, Encoder], trunk: Trunk, head: Head) -> None:
        super().__init__()
        if head.needs_causal and not trunk.is_causal:
            try:
                trunk.become_causal()
            except ConfigError as error:
                raise ConfigError(
                    f"{type(head).__name__} tells words from those before them, but {error}"
                ) from error
        head.check_trunk(trunk)
        self.encoders = nn.ModuleDict(encoders)
        self.trunk = trunk
        self.head = head
        self._ports = [consumed_ports(part) for part in self._parts()]

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Return the batch and the outputs of all parts, by port name; ``batch`` is not changed."""
        values = dict(batch)
        for part, (required, optional) in zip(self._parts(), self._ports, strict=True):
            ports = [*required, *(name for name in optional if name in values)]
            values |= part(**{name: values[name] for name in ports})
        return values

    def check_encodes_apart(self) -> None:
        """Raise unless videos and texts have vectors of their own.

        Raises:
            ConfigError: the trunk lets them see each other, so that what is compared would know
                what it is compared with.
        """
        if not self.trunk.encodes_apart:
            raise ConfigError(
                f"{type(self.trunk).__name__} lets video and text see each other, so that neither "
                "has a vector of its own; set trunk.num_iso_layer"
            )

    def _parts(self) -> list[nn.Module]:
        return [*self.encoders.values(), self.trunk, self.head]


def check_ports(
    batch_keys: Iterable[str],
    encoders: Mapping[str, type[Encoder]],
    trunk: type[Trunk],
    head: type[Head],
    loss: type[Loss],
) -> None:
    """Raise unless every part finds what it consumes; nothing is built.

    Args:
        batch_keys: keys of a batch.
        encoders: class of each encoder, by modality.
        trunk: class of the trunk.
        head: class of the head.
        loss: class of the loss.

    Raises:
        ConfigError: a line for every missing port: who needs it, and what is there instead.
    """
    keys = list(batch_keys)
    causal = head.needs_causal
    stages: list[tuple[list[type[Part] | type[Loss]], str]] = [
        (list(encoders.values()), f"a batch holds {', '.join(keys)}"),
        ([trunk], _told(encoders.values(), causal) or "there is no encoder"),
        ([head], _told([trunk], causal)),
        ([loss], _told([head], causal)),
    ]
    available, problems = set(keys), []
    for parts, before in stages:
        for part in parts:
            required, _ = consumed_ports(part)
            missing = [name for name in required if name not in available]
            problems += [f"{part.__name__} needs {name}, but {before}" for name in missing]
            if issubclass(part, Part):
                available.update(_produced(part, causal))
    if problems:
        raise ConfigError(problems)


def _produced(part: type[Part], causal: bool) -> tuple[str, ...]:
    further = part.produces_when_causal if causal and issubclass(part, Trunk) else ()
    return (*part.produces, *further)


def _told(parts: Iterable[type[Part]], causal: bool) -> str:
    return " and ".join(
        f"{part.__name__} produces {', '.join(_produced(part, causal))}" for part in parts
    )
