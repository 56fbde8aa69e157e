"""Real sound files for tests, and videos with sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16000


def tone(seconds: float, hertz: float = 440.0, rate: int = RATE) -> np.ndarray:
    """Return a tone at half of the full level, as mono samples."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype("f4")


def write_wav(
    path: Path, samples: np.ndarray, *, rate: int = RATE, codec: str = "pcm_f32le"
) -> Path:
    """Write samples, (n,) or (channels, n), so that reading gives them back; return the path."""
    return write_media(path, samples, rate=rate, codec=codec)


def write_media(
    path: Path,
    samples: np.ndarray | None = None,
    *,
    rate: int = RATE,
    codec: str = "aac",
    frames: int = 0,
    delay: float = 0.0,
    faststart: bool = False,
) -> Path:
    """Write sound that begins after ``delay`` seconds, and ``frames`` grey frames, 10 a second."""
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        picture = container.add_stream("libx264", rate=10) if frames else None
        sound = None
        if samples is not None:
            stereo = samples.ndim == 2
            sound = container.add_stream(codec, rate=rate, layout="stereo" if stereo else "mono")
        if picture is not None:
            picture.width = picture.height = 48
            picture.pix_fmt = "yuv420p"
            for number in range(frames):
                black = np.full((48, 48, 3), number % 256, np.uint8)
                frame = av.VideoFrame.from_ndarray(black, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(picture.encode(frame))
            container.mux(picture.encode(None))
        if sound is not None and samples is not None:
            form = sound.codec_context.format.name
            planes = np.atleast_2d(samples)
            planes = planes if form.endswith("p") else planes.T.reshape(1, -1)
            layout = sound.layout.name
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(planes), form, layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(delay * rate)
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path
