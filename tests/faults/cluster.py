"""A Ray cluster of two nodes on the loopback interface, and encoders that are in its way.

    python -m tests.faults.cluster

prints the address of its head, obeys ``add`` (a node whose encoders stall) and ``kill`` (that node)
a line each, and ends with its input.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from typing_extensions import override

from tests.faults.runs import ROOT, ColourEncoder

STALLS = "MMVT_TEST_STALLS"
NODE = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "include_dashboard": False,
    "object_store_memory": 100 << 20,
}


class WaitingEncoder(ColourEncoder):
    """Waits until a node of those that stall has come as far; they go no further.

    Args:
        folder: where they leave word.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.word = folder / "stalled"

    @override
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        if STALLS in os.environ:
            self.word.touch()
        while STALLS in os.environ or not self.word.exists():
            time.sleep(0.05)
        return super().encode(frames)


class DyingEncoder(ColourEncoder):
    """Kills its process, a number of times.

    Args:
        folder: where each death is noted.
        deaths: how many there are.
    """

    def __init__(self, folder: Path, deaths: int) -> None:
        super().__init__()
        self.folder, self.deaths = folder, deaths

    @override
    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        died = len(list(self.folder.glob("death *")))
        if died < self.deaths:
            (self.folder / f"death {died}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(frames)


class Cluster:
    """A cluster that runs.

    Args:
        process: which holds it.
        environment: of that process, and of all that join the cluster.
    """

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        self.process = process
        self.environment = environment
        self.address = self.tell("address")

    def tell(self, word: str) -> str:
        """Send an order; return the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def environment_of(folder: str) -> dict[str, str]:
    """Return the environment of a cluster whose files are in a folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RAY_TMPDIR": folder,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Yield a cluster; afterwards nothing of it is left."""
    # names of sockets are short: pytest's folders are too deep
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    environment = environment_of(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.cluster"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Cluster(process, environment)
    finally:
        process.communicate()
        for left in processes_of(folder):
            os.kill(left, signal.SIGKILL)
        shutil.rmtree(folder)


def processes_of(folder: str) -> list[int]:
    """Return the processes that have a folder among their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if folder.encode() in words:
            found.append(int(process.name))
    return found


def main() -> None:
    from ray.cluster_utils import Cluster as RayCluster

    cluster = RayCluster(initialize_head=True, head_node_args=NODE)
    cluster.add_node(**NODE)
    node = None
    try:
        for line in sys.stdin:
            if line == "add\n":
                node = cluster.add_node(**NODE, env_vars={STALLS: "1"})
            elif line == "kill\n":
                cluster.remove_node(node, allow_graceful=False)
            elif line == "end\n":
                break
            print(cluster.address, flush=True)
    finally:
        cluster.shutdown()
    print("ended", flush=True)


if __name__ == "__main__":
    main()
