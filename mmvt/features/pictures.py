"""Upright RGB pictures of a wanted size from decoded frames, byte for byte as ffmpeg makes them.

FFmpeg's filters convert straight from the stored colours to RGB in plain C, for all of a scaled
frame. The same bytes come in half the time by way of YUV of the wanted size, cropped: the scaler's
exact vector code, then its table of colours. The ways differ where a colour leaves the range of a
byte between the two, and where the scaler itself has other rules; there it is the straight way.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.filter import Graph
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from mmvt.errors import MediaError

__all__ = ["Pictures", "linked", "pulled"]

Step = tuple[str, str | None]

# filters that turn a stored frame upright, by its rotation in degrees counter-clockwise
_TURNS: dict[int, list[Step]] = {
    90: [("transpose", "cclock")],
    180: [("hflip", None), ("vflip", None)],
    270: [("transpose", "clock")],
}
_RGB: Step = ("format", "rgb24")
# sides from which on, and ratios up to which, the scaler takes the same filter both ways
_MIN_SIDE, _MAX_RATIO = 32, 16
_NO_MATRIX, _NO_RANGE = 2, 0  # FFmpeg's numbers of what a frame does not say


class Pictures:
    """Turns, scales, crops and converts frames of one size.

    Args:
        frame: one of the frames.
        short_side: pixels to which the shorter side is scaled (bicubic); None keeps the size.
        crop: side in pixels of the square cut from the centre; None keeps the whole frame.

    Raises:
        MediaError: the frame is too small for the crop; the message does not name the file.
    """

    def __init__(self, frame: VideoFrame, short_side: int | None, crop: int | None) -> None:
        turn = round(frame.rotation) % 360
        turns = _TURNS.get(turn, [])
        stored = (frame.height, frame.width) if turn in (90, 270) else (frame.width, frame.height)
        size = stored if short_side is None else _scaled(*stored, short_side)
        if crop is not None and crop > min(size):
            raise MediaError(
                f"{size[0]} x {size[1]} pixels are too few for a crop of {crop}; set short_side"
            )
        cut = size if crop is None else (crop, crop)
        scale = f"{size[0]}:{size[1]}:flags=bicubic"
        scales: list[Step] = [] if short_side is None else [("scale", scale)]
        cuts: list[Step] = [] if crop is None else [("crop", f"{crop}:{crop}")]
        self._straight = linked(frame, [*turns, *scales, *cuts, _RGB])
        self._to_yuv: Graph | None = None
        self._to_rgb: Graph | None = None
        if frame.format.name == "yuv420p" and _same_both_ways(stored, size):
            # colours are stored in pairs: what is cut off begins and ends between pairs
            left, top = _corner(cut, size)
            odd = left % 2
            paired = (cut[0] + odd + 1) // 2 * 2
            self._inner = f"{cut[0]}:{cut[1]}:{odd}:0"
            self._to_yuv = linked(
                frame,
                [
                    *turns,
                    ("scale", f"{scale}+accurate_rnd"),
                    ("format", "yuv422p"),
                    ("crop", f"{paired}:{cut[1]}:{left - odd}:{top}"),
                ],
            )

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        """Return the picture of a frame."""
        if self._to_yuv is None:
            return _through(self._straight, frame)
        matrix, said_range = frame.colorspace, frame.color_range
        # else the scaler would convert to the colours that it takes for its own
        frame.colorspace, frame.color_range = _NO_MATRIX, _NO_RANGE
        yuv = _through(self._to_yuv, frame)
        for each in (frame, yuv):
            each.colorspace, each.color_range = matrix, said_range
        if any(_reaches_an_end(plane) for plane in _planes(yuv)):
            return _through(self._straight, frame)
        if self._to_rgb is None:
            steps = [("scale", "flags=accurate_rnd"), _RGB, ("crop", self._inner)]
            self._to_rgb = linked(yuv, steps)
        return _through(self._to_rgb, yuv)


def linked(frame: VideoFrame, steps: list[Step]) -> Graph:
    """Return a graph of filters, one after another, for frames like ``frame``."""
    graph = Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    nodes = [graph.add(name, arguments) for name, arguments in [*steps, ("buffersink", None)]]
    graph.link_nodes(source, *nodes).configure()
    return graph


def pulled(graph: Graph) -> Iterator[VideoFrame]:
    """Yield the frames that are ready at the end of a graph."""
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _through(graph: Graph, frame: VideoFrame) -> VideoFrame:
    graph.vpush(frame)
    (picture,) = pulled(graph)
    return picture


def _scaled(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the size whose shorter side is ``short_side``, rounded half up."""
    short, long = min(width, height), max(width, height)
    other = max(1, (2 * long * short_side + short) // (2 * short))
    return (short_side, other) if width <= height else (other, short_side)


def _same_both_ways(stored: tuple[int, int], size: tuple[int, int]) -> bool:
    """Return whether the scaler takes the same steps to YUV as to RGB.

    For odd widths it interpolates colours otherwise, and where it enlarges it rounds otherwise.
    """
    smaller = size[0] < stored[0] <= _MAX_RATIO * size[0]
    lower = size[1] < stored[1] <= _MAX_RATIO * size[1]
    return smaller and lower and size[0] % 2 == 0 and min(size) >= _MIN_SIDE


def _corner(cut: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return the left and upper edge of what is cut from the centre; FFmpeg rounds half to even."""
    return round((size[0] - cut[0]) / 2), round((size[1] - cut[1]) / 2)


def _planes(frame: VideoFrame) -> Iterator[NDArray[np.uint8]]:
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        yield rows[:, : plane.width]


def _reaches_an_end(plane: NDArray[np.uint8]) -> bool:
    """Return whether a value may have been cut to the range of a byte."""
    return bool(plane.min() == 0 or plane.max() == 255)
