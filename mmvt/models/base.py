"""The contract of model parts: encoders → trunk → head, joined by named ports.

A part is a ``torch.nn.Module`` whose ``forward`` takes tensors by keyword and returns a dict.
The names of ``forward``'s parameters are what it *consumes* (a parameter with a default is
optional); the class attribute ``produces`` names what it returns. A batch starts with the wire
keys of :mod:`mmvt.processors.base`; every part adds its outputs to them.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from mmvt.errors import ConfigError


def consumed_ports(part: type | object) -> tuple[list[str], list[str]]:
    """Return the (required, optional) port names of a part's or a loss's ``forward``."""
    parameters = inspect.signature(getattr(part, "forward")).parameters.values()  # noqa: B009
    named = [p for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
    required = [p.name for p in named if p.default is p.empty]
    return required, [p.name for p in named if p.default is not p.empty]


class Part(nn.Module):
    """A module with ports; the base of :class:`Encoder`, :class:`Trunk` and :class:`Head`."""

    produces: ClassVar[tuple[str, ...]]

    @abstractmethod
    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Return the tensors named by ``produces``; parameter names are the consumed ports."""
        raise NotImplementedError


class Encoder(Part):
    """Turns the features of one modality into token embeddings of the trunk's width."""


class Trunk(Part):
    """Turns token embeddings and masks into hidden states.

    Attributes:
        hidden_size: width of the token embeddings it takes and of the states it returns.
        encodes_apart: the states of a video do not depend on the text beside it, nor those of a
            text on the video, so that each has one vector whatever it is compared with.
        is_causal: no word sees a later one, so that text can be generated word by word.
        produces_when_causal: what it returns beside ``produces`` once it is causal.
        tells_words: its states are compared with ``word_embeddings`` as they are; others need the
            transform of a head.
        packed: whether padding is left out of the computation, in training; None = on a CPU.
    """

    hidden_size: int
    encodes_apart: bool = True
    is_causal: bool = False
    tells_words: bool = False
    packed: bool | None = False
    produces_when_causal: ClassVar[tuple[str, ...]] = ()

    def become_causal(self) -> None:
        """Show no word a later one from now on; what was learned stays.

        Raises:
            ConfigError: it cannot, or was told to show all words.
        """
        raise ConfigError(f"{type(self).__name__} cannot hide later words from earlier ones")

    def leaves_padding_out(self, tokens: Tensor) -> bool:
        """Return whether a batch of tokens is to be computed without its padding.

        States of padding are then zeros, which no loss sees; evaluation sees them as they are.
        """
        packed = tokens.device.type == "cpu" if self.packed is None else self.packed
        return self.training and packed


class Head(Part):
    """Turns hidden states into what a loss or a predictor needs.

    Attributes:
        defaults: what a project uses unless it sets it: plugin names by slot, such as
            ``{"loss": "SymmetricNCE", "layout": "VideoTextLayout"}``.
        needs_causal: it tells words from those before them, and learns nothing from a trunk that
            shows it the later ones.
    """

    defaults: ClassVar[Mapping[str, str]] = {}
    needs_causal: ClassVar[bool] = False

    def check_trunk(self, trunk: Trunk) -> None:
        """Raise unless the head goes with a trunk whose ports it takes.

        Raises:
            ConfigError: it does not.
        """
