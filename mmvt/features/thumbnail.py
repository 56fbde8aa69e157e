"""Small pictures of videos."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from mmvt.features.media import VideoFile
from mmvt.features.select import frames_at

_QUALITY = 4  # of FFmpeg's scale from 2 (best) to 31


def thumbnail(path: Path, seconds: float, width: int = 320) -> bytes:
    """Return the frame on display at a time as a JPEG file.

    Args:
        path: a video file.
        seconds: time from its start.
        width: of the picture in pixels; a narrower video stays as it is.

    Raises:
        MediaError: the video cannot be read.
    """
    with VideoFile(path) as video:
        _, frame = next(frames_at(video, video.timeline(), [seconds]))
        upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)
    return _jpeg(np.ascontiguousarray(upright), width)


def _jpeg(picture: UInt8[np.ndarray, "height width 3"], width: int) -> bytes:
    height, own_width = picture.shape[:2]
    wide = min(width, own_width)
    high = max(1, round(height * wide / own_width))
    frame = VideoFrame.from_ndarray(picture, format="rgb24")
    frame = frame.reformat(width=wide, height=high, format="yuvj420p", interpolation="AREA")
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt = wide, high, "yuvj420p"
    codec.time_base = Fraction(1)
    codec.options = {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])
