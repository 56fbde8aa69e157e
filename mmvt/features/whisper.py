"""What Whisper hears: its log-mel features, and the states of its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import WhisperFeatureExtractor
from typing_extensions import override

from mmvt.errors import CheckpointError, ConfigError
from mmvt.features.base import AudioEncoder
from mmvt.features.hf.loading import load_network, state_sha256

_HOP = 160
_ROW = 2 * _HOP  # its encoder halves the rate
_SECONDS = 30


class WhisperLogMel(AudioEncoder):
    """Whisper's log-mel features, 100 rows a second, in windows of 30 seconds.

    Each window is normalised by its own loudest moment, as Whisper does. No weights.

    Args:
        bins: filters; 80, or 128 for Whisper large-v3.

    Raises:
        ConfigError: ``bins`` is below 1.

    Source: Whisper (arXiv 2212.04356), §2.2.
    """

    rows_per_second = 100.0
    window = hop = _SECONDS * AudioEncoder.sample_rate

    def __init__(self, *, bins: int = 80) -> None:
        if bins < 1:
            raise ConfigError(f"bins must be at least 1, not {bins}")
        self.dim = bins
        self._extractor = WhisperFeatureExtractor(feature_size=bins)

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name and options."""
        return {"name": type(self).__name__, "bins": self.dim}

    @override
    def encode(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, "rows dim"]:
        rows = -(-len(samples) // _HOP)
        return _log_mel(self._extractor, samples).squeeze(0).T[:rows].contiguous()


class WhisperEncoder(AudioEncoder):
    """States of Whisper's encoder, in windows of 30 seconds.

    ``model`` is a folder, a folder in ``pretrained_models/``, or a name on the hub (from the cache
    where there is no network). The rows of the silence that fills the last window are left out.

    Args:
        model: folder or name, such as ``openai/whisper-tiny``.
        layer: hidden state: 0 is what goes into the first layer, -1 what the last one gives; null
            is the final output of the encoder.
        rows_per_second: 50, or a number that divides it: so many states are averaged to a row.
        dtype: number format in which the model runs.
        device: where it runs, such as ``cpu`` or ``cuda``.

    Raises:
        ConfigError: ``rows_per_second`` does not divide 50, or there is no such layer.
        MissingWeightsError: there is no such model here, or files of it are missing.
        CheckpointError: it is no Whisper, or lacks weights of the encoder.

    Source: Whisper (arXiv 2212.04356), §2.2.
    """

    def __init__(
        self,
        *,
        model: str,
        layer: int | None = None,
        rows_per_second: int = 50,
        dtype: Literal["float32", "float16", "bfloat16"] = "float32",
        device: str = "cpu",
    ) -> None:
        if rows_per_second < 1 or 50 % rows_per_second:
            raise ConfigError(f"rows_per_second must divide 50, which {rows_per_second} does not")
        network, _ = load_network(
            model, dtype=dtype, unused=lambda key: key.startswith(("decoder.", "proj_out."))
        )
        config = network.config
        if config.model_type != "whisper":
            raise CheckpointError(f"{model} ({type(network).__name__}) is no Whisper")
        if layer is not None and not -config.encoder_layers - 1 <= layer <= config.encoder_layers:
            raise ConfigError(
                f"{model} has hidden states 0 to {config.encoder_layers}; there is no layer {layer}"
            )
        self.model_name = model
        self.layer = layer
        self.device = torch.device(device)
        self.network = network.get_encoder().to(self.device)
        self._sha256 = state_sha256(self.network)
        self._dtype_name = dtype
        self.dim = config.d_model
        self._states_a_row = 50 // rows_per_second
        self.rows_per_second = float(rows_per_second)
        self.window = self.hop = config.max_source_positions * _ROW
        self._extractor = WhisperFeatureExtractor(
            feature_size=config.num_mel_bins, chunk_length=self.window // self.sample_rate
        )

    @property
    @override
    def fingerprint(self) -> Mapping[str, Any]:
        """Name, options and sha256 of the weights of the encoder."""
        return {
            "name": type(self).__name__,
            "model": self.model_name,
            "layer": self.layer,
            "rows_per_second": self.rows_per_second,
            "dtype": self._dtype_name,
            "weights_sha256": self._sha256,
        }

    @override
    @torch.inference_mode()
    def encode(self, samples: Float[Tensor, " samples"]) -> Float[Tensor, "rows dim"]:
        log_mel = _log_mel(self._extractor, samples).to(self.device, self.network.dtype)
        result = self.network(log_mel, output_hidden_states=self.layer is not None)
        states = result[0] if self.layer is None else result.hidden_states[self.layer]
        heard = states[0, : -(-len(samples) // _ROW)].float()
        # the last row is the mean of the states that there are
        rows = functional.avg_pool1d(heard.T, self._states_a_row, ceil_mode=True).T
        return rows.contiguous().cpu()


def _log_mel(
    extractor: WhisperFeatureExtractor, samples: Float[Tensor, " samples"]
) -> Float[Tensor, "1 bins frames"]:
    features: Tensor = extractor(
        samples.numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt"
    )["input_features"]
    return features
