"""Video files to measure decoders with."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

RATE = 30


def width_of(height: int) -> int:
    """Return the width of a frame at 16:9, which must be even."""
    return height * 16 // 9 // 2 * 2


def write_video(path: Path, height: int, seconds: int) -> Path:
    """Write H.264 at 16:9 and 30 frames a second: a scene that pans, with some noise.

    It costs a decoder about what real clips of 1 Mbit/s cost it.
    """
    width = width_of(height)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 16 + 1, width // 8 + 1, 3), np.uint8)
    scene = coarse.repeat(16, 0).repeat(16, 1)[:height, : 2 * width].astype(np.int16)
    noise = rng.integers(-7, 8, (16, height, width, 1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * RATE):
            shift = 3 * number % width
            pixels = (scene[:, shift : shift + width] + noise[rng.integers(16)]).clip(0, 255)
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def repeat_video(source: Path, path: Path, times: int) -> Path:
    """Write a video that shows another one several times; nothing is decoded."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        packets = [packet for packet in given.demux(video=0) if packet.dts is not None]
        length = sum(packet.duration or 0 for packet in packets)
        for _ in range(times):
            for packet in packets:
                packet.stream = stream
                container.mux(packet)
                packet.pts = (packet.pts or 0) + length
                packet.dts = (packet.dts or 0) + length
    return path
