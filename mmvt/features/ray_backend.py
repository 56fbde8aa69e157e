"""Decoding and encoding on the nodes of a Ray cluster; the store is written by one process.

Ray is an extra: this module can be imported, but not used, without it.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from mmvt.errors import LaunchError, MMVTError, StoreError, require_package
from mmvt.features.backend import Backend, Features, LocalBackend
from mmvt.features.base import AudioEncoder, FeatureEncoder
from mmvt.features.decode_pool import TIME_LIMIT
from mmvt.features.extract import build_encoder
from mmvt.features.find import Video
from mmvt.features.steps import Encoding, FrameOptions, encoding_of

if TYPE_CHECKING:
    from ray import ObjectRef

logger = logging.getLogger(__name__)

_VIDEOS_A_DECODER = 4
# what Ray reads from the environment when it is imported or joins a cluster
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # stay on the loopback interface
_IMPATIENT = {"RAY_gcs_server_port_wait_time_s": "1", "RAY_py_gcs_connect_timeout_s": "10"}
_POLL_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
# a switch to another head node takes a moment; nobody waits for a dead one for half a minute
_PATIENCE_SECONDS = 15.0


@dataclass(frozen=True)
class EncodingRecipe:
    """How each node makes what it encodes with; weights do not travel.

    Attributes:
        make: makes the encoder; a function or class that every node can import.
        arguments: what it is called with.
        options: which frames.
        dtype: type of the numbers in the store.
        batch: frames that are encoded at a time.
        half: run the encoder in half precision.
    """

    make: Callable[..., FeatureEncoder | AudioEncoder]
    arguments: tuple[Hashable, ...]
    options: FrameOptions
    dtype: str = "float16"
    batch: int = 4
    half: bool = False


class RayBackend(Backend):
    """Decodes and encodes in tasks on a Ray cluster, a few videos each.

    The files must have the same paths on all nodes, and mmvt and the weights be installed there;
    relative paths are of the folder of this process, where a node has it. A task that is lost with
    its node is run again elsewhere.

    Args:
        recipe: how the nodes make the encoder of the run.
        address: ``host:port`` of the head of a cluster, or ``auto`` for the one that this machine
            is of; by default a cluster of this machine alone is started, and ended with the run.
        decoders: videos that a task decodes at the same time; it takes as many CPU cores.
        gpus: GPUs that a task needs.
        retries: how often a task may be lost before the run ends.
        time_limit: seconds that a decoder may be silent before its video fails.

    Raises:
        MissingPackageError: Ray is not installed.
    """

    def __init__(
        self,
        recipe: EncodingRecipe,
        *,
        address: str | None = None,
        decoders: int = 1,
        gpus: float = 0.0,
        retries: int = 3,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        require_package("ray", "ray")
        self.recipe = recipe
        self.address = address
        self.decoders = decoders
        self.gpus = gpus
        self.retries = retries
        self.time_limit = time_limit

    @override
    def features(
        self, videos: Sequence[Video], encoding: Encoding
    ) -> Generator[Features, None, None]:
        """Yield the features of each video, in order.

        Raises:
            LaunchError: the cluster cannot be joined, does not answer, or loses tasks.
            StoreError: a node has another encoder than this process.
        """
        if not videos:
            return
        order = Order(
            self.recipe, encoding.made_by, str(Path.cwd()), self.decoders, self.time_limit
        )
        with _joined(self.address):
            import ray

            task = ray.remote(num_cpus=self.decoders, num_gpus=self.gpus, max_retries=self.retries)(
                encoded
            )
            watch = _Watch(self.decoders, self.gpus)
            left = iter(videos)
            flying: deque[ObjectRef[list[Features]]] = deque()
            while True:
                group = _VIDEOS_A_DECODER * self.decoders
                while len(flying) < watch.room() and (some := list(itertools.islice(left, group))):
                    flying.append(task.remote(some, order))
                if not flying:
                    return
                yield from watch.answer(flying.popleft())


class _Watch:
    """Waits for answers of a cluster, but not for ever.

    Args:
        cores: CPU cores that a task needs.
        gpus: GPUs that it needs.
    """

    def __init__(self, cores: int, gpus: float) -> None:
        import ray

        self._address: str = ray.get_runtime_context().gcs_address
        self._needs = {"CPU": float(cores), "GPU": gpus}
        self._well = time.monotonic()

    def room(self) -> int:
        """Return how many tasks may be under way: those that run, and as many that wait."""
        return 2 * max(1, sum(self._tasks(node) for node in self._nodes()))

    def answer(self, task: ObjectRef[list[Features]]) -> list[Features]:
        """Return what a task found.

        Raises:
            LaunchError: the cluster does not answer, or has lost the task too often.
            MMVTError: which ended the task.
        """
        import ray

        try:
            while not ray.wait([task], timeout=_POLL_SECONDS)[0]:
                self._check()
            return ray.get(task)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, MMVTError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as error:
            raise LaunchError(f"the Ray cluster {self._address} lost a task: {error}") from error

    def _check(self) -> None:
        """Raise where the cluster has been unable to go on for some time."""
        problem = self._problem()
        if problem is None:
            self._well = time.monotonic()
        elif time.monotonic() - self._well > _PATIENCE_SECONDS:
            raise LaunchError(
                f"the Ray cluster {self._address} {problem}; what was stored is kept, and the "
                "same command goes on from there"
            )

    def _problem(self) -> str | None:
        if not _answers(self._address):
            return "does not answer"
        if not any(map(self._tasks, self._nodes())):
            needs = " and ".join(f"{count:g} {name}" for name, count in self._needs.items())
            return f"has no node that could run a task, which needs {needs}"
        return None

    def _nodes(self) -> list[Mapping[str, float]]:
        """Return what each node has that is alive."""
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]

    def _tasks(self, node: Mapping[str, float]) -> int:
        """Return how many tasks a node can run at a time."""
        return int(min(node.get(name, 0) // need for name, need in self._needs.items() if need))


@dataclass(frozen=True)
class Order:
    """What a task is told beside its videos.

    Attributes:
        recipe: how the encoder is made.
        made_by: of the run; the encoder of the node must be the same.
        folder: that relative paths are of.
        decoders: videos that are decoded at the same time.
        time_limit: seconds that a decoder may be silent before its video fails.
    """

    recipe: EncodingRecipe
    made_by: Mapping[str, Any]
    folder: str
    decoders: int
    time_limit: float


def encoded(videos: list[Video], order: Order) -> list[Features]:
    """Return the features of a few videos, made on this node.

    Raises:
        StoreError: the encoder of this node is another, such as one of other weights.
    """
    node = socket.gethostname()
    with chdir(order.folder) if Path(order.folder).is_dir() else nullcontext():
        encoding = _built(order.recipe)
        if encoding.made_by != order.made_by:
            raise StoreError(
                f"the node {node} encodes with {dict(encoding.made_by)}, the run with "
                f"{dict(order.made_by)}"
            )
        backend = LocalBackend(decoders=order.decoders, time_limit=order.time_limit)
        return [
            found
            if found.reason is None or found.video.path.exists()
            else replace(found, reason=f"is not there on the node {node}")
            for found in backend.features(videos, encoding)
        ]


def named_encoder(name: str, options: str) -> FeatureEncoder | AudioEncoder:
    """Return an encoder by its name, with options as JSON: what a recipe can hold."""
    return build_encoder(name, json.loads(options))


@functools.lru_cache(maxsize=1)
def _built(recipe: EncodingRecipe) -> Encoding:
    """Return the encoding of a recipe, made once a process."""
    encoder = recipe.make(*recipe.arguments)
    return encoding_of(encoder, recipe.options, recipe.dtype, recipe.batch, half=recipe.half)


@contextmanager
def _joined(address: str | None) -> Iterator[None]:
    """Be part of a cluster; one that was started for it ends with the block."""
    if address is not None and ":" in address and not _answers(address):
        raise LaunchError(f"no Ray cluster answers at {address}")
    settings, options = dict(_QUIET), dict[str, Any]()
    if address is None:
        options = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        settings |= _IMPATIENT
    if address is None or address.startswith(("127.", "localhost:")):
        settings |= _LOOPBACK
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    import ray

    try:
        ray.init(
            address=address or "local",
            configure_logging=False,
            logging_level=logging.WARNING,
            log_to_driver=False,
            **options,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        hint = "" if address is None else "; RAY_AUTH_MODE and its token must be as they are there"
        name = address or "of this machine"
        raise LaunchError(f"the Ray cluster {name}: {error}{hint}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str) -> bool:
    """Return whether something listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False
