"""Video features in one ``.npy`` file a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from typing_extensions import override

from mmvt.errors import StoreError
from mmvt.ids import check_id
from mmvt.processors.base import VideoProcessor


class NpyVideoProcessor(VideoProcessor):
    """Reads ``<video id>.npy`` of shape (steps, dim) or (steps, grid, dim) from a folder.

    Args:
        vfeat_dir: folder of the feature files.
        fps: feature steps a second.
    """

    def __init__(self, *, vfeat_dir: Path, fps: float = 1.0) -> None:
        if not vfeat_dir.is_dir():
            raise StoreError(f"{vfeat_dir} is no folder of features")
        self.vfeat_dir = vfeat_dir
        self.fps = fps

    def __contains__(self, video_id: str) -> bool:
        try:
            return self._path(video_id).is_file()
        except OSError:  # such as a name longer than the file system takes
            return False

    @override
    def __call__(self, video_id: str) -> Float[np.ndarray, "steps *grid dim"]:
        path = self._path(video_id)
        try:
            features: np.ndarray = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"{path}: cannot be read as features: {error}") from error
        if not isinstance(features, np.ndarray) or features.ndim not in (2, 3):
            raise StoreError(f"{path}: is not (steps, dim) or (steps, grid, dim)")
        if not np.issubdtype(features.dtype, np.floating):
            raise StoreError(f"{path}: holds {features.dtype}, not floating point numbers")
        if features.size == 0:
            raise StoreError(f"{path}: is empty, of shape {features.shape}")
        if not np.isfinite(features).all():
            raise StoreError(f"{path}: holds NaN or infinite values")
        return features

    def _path(self, video_id: str) -> Path:
        path = self.vfeat_dir / f"{check_id(video_id)}.npy"
        if not path.resolve().is_relative_to(self.vfeat_dir.resolve()):
            raise StoreError(f"{path}: leads out of {self.vfeat_dir}")
        return path
