"""Log-mel features of sound, as Kaldi computes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from mmvt.errors import ConfigError
from mmvt.features.base import AudioEncoder

FRAME, HOP, FFT = 400, 160, 512
LOWEST_HERTZ = 20.0
_PRE_EMPHASIS = 0.97
_FLOOR = torch.finfo(torch.float32).eps
_WINDOW_ROWS = 3000


class LogMel(AudioEncoder):
    """Kaldi's log-mel filter bank, as audio spectrogram transformers take it: 100 rows a second.

    Frames of 25 ms, every 10 ms, within the sound; each without its mean, pre-emphasised (0.97) and
    under a Hann window. No weights. Sound of less than 25 ms has no row.

    Args:
        bins: triangular filters, from 20 Hz to half the sample rate.
        mean: what is taken off the logarithms; AudioSet's is -4.2677393.
        std: what they are divided by; AST and AudioMAE divide by 2 × 4.5689974.

    Raises:
        ConfigError: ``bins`` or ``std`` is out of range.

    Source: AST (arXiv 2104.01778), §2.1, with the filter bank of Kaldi's ``compute-fbank-feats``.
    """

    rows_per_second = 100.0
    hop = _WINDOW_ROWS * HOP
    window = hop + FRAME - HOP

    def __init__(self, *, bins: int = 128, mean: float = 0.0, std: float = 1.0) -> None:
        if bins < 1:
            raise ConfigError(f"bins must be at least 1, not {bins}")
        if not (math.isfinite(std) and std > 0):
            raise ConfigError(f"std must be positive, not {std}")
        self.dim = bins
        self.mean = mean
        self.std = std
        self._filters = mel_filters(bins, self.sample_rate)
        self._shape = torch.hann_window(FRAME, periodic=False)

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name and options."""
        return {
            "name": type(self).__name__,
            "bins": self.dim,
            "mean": self.mean,
            "std": self.std,
        }

    @override
    @torch.inference_mode()
    def encode(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, "rows dim"]:
        if len(samples) < FRAME:
            return torch.empty(0, self.dim)
        frames = samples.unfold(0, FRAME, HOP)
        frames = frames - frames.mean(dim=1, keepdim=True)
        before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
        shaped = (frames - _PRE_EMPHASIS * before) * self._shape
        power = torch.fft.rfft(functional.pad(shaped, (0, FFT - FRAME))).abs() ** 2
        return ((power @ self._filters).clamp(min=_FLOOR).log() - self.mean) / self.std


def mel_filters(bins: int, sample_rate: int) -> Float[Tensor, "frequencies bins"]:
    """Return the weights of filters that are triangles on the mel scale.

    Args:
        bins: number of filters.
        sample_rate: samples a second; the last filter ends at half of it.
    """
    corners = torch.linspace(
        _mel(torch.tensor(LOWEST_HERTZ, dtype=torch.float64)).item(),
        _mel(torch.tensor(sample_rate / 2, dtype=torch.float64)).item(),
        bins + 2,
        dtype=torch.float64,
    )
    left, middle, right = corners[:-2], corners[1:-1], corners[2:]
    frequencies = torch.arange(FFT // 2 + 1, dtype=torch.float64) * (sample_rate / FFT)
    mels = _mel(frequencies).unsqueeze(1)
    rising, falling = (mels - left) / (middle - left), (right - mels) / (right - middle)
    return torch.minimum(rising, falling).clamp(min=0).float()


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * torch.log1p(hertz / 700)
