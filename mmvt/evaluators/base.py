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
        """Return arrays by name: the ids of what was asked, and what the model says of them.

        The arrays are of numbers or text, so that they can be saved and read without running code.

        Args:
            model: on the device to use, in float32.
            dataset: all of it is predicted; nothing is dropped.
        """


class Metric(ABC):
    """Scores predictions."""

    @abstractmethod
    def __call__(self, predictions: Predictions) -> Mapping[str, Any]:
        """Return the results, ready for JSON: figures by name, and ``protocol``, the rules behind.

        Raises:
            DataError: a prediction is missing, unexpected or not a number.
        """
