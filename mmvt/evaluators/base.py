"""The contract of evaluation: a predictor runs the model, a metric scores what it wrote down.

The two meet in :data:`Predictions` only, which are saved; scoring a saved file again gives the
same results.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from mmvt.datasets.multimodal import MultimodalDataset
from mmvt.models.model import MultimodalModel

Predictions = dict[str, np.ndarray]


class Predictor(ABC):
    """Runs a model over a dataset."""

    @abstractmethod
    def __call__(self, model: MultimodalModel, dataset: MultimodalDataset) -> Predictions:
        """Return arrays by name, one row a query or a candidate, with the ids of both.

        Args:
            model: in evaluation mode, on the device to use.
            dataset: all of it is predicted; nothing is dropped.
        """


class Metric(ABC):
    """Scores predictions."""

    @abstractmethod
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        """Return the results, ready for JSON: figures by name, and the protocol behind them.

        Raises:
            DataError: a prediction is missing, unexpected or not a number.
        """
