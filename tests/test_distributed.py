"""Processes that evaluate together: what each does, and what all get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmvt.distributed import evaluating_together, in_turn, is_first, of_all

ROOT = Path(__file__).resolve().parents[1]
WORKER = """
import json
from mmvt.distributed import evaluating_together, in_turn, is_first, of_all
with evaluating_together():
    own = {f"item {n}": n * n for n in in_turn(range(3))}
    every = of_all(own, [f"item {n}" for n in (2, 0, 5, 1)])
    print(json.dumps([len(own), list(every.items()), is_first()]))
"""


def test_one_process_alone_does_all_of_it():
    with evaluating_together():
        assert list(in_turn("abc")) == ["a", "b", "c"]
        assert list(of_all({"b": 1, "a": 2}, "abc").items()) == [("a", 2), ("b", 1)]
        assert is_first()


@pytest.mark.parametrize("processes", [2, 4])
def test_several_do_each_a_part_and_all_get_all_in_the_order_of_one(tmp_path: Path, processes: int):
    meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(20_000 + os.getpid() % 10_000)}
    environment = {**os.environ, **meeting, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env={**environment, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [json.loads(worker.communicate(timeout=200)[0]) for worker in workers]
    assert sum(done for done, _, _ in said) == 3  # a fourth process has nothing to do
    assert [first for _, _, first in said] == [True] + [False] * (processes - 1)
    for _, every, _ in said:
        assert every == [["item 2", 4], ["item 0", 0], ["item 1", 1]]
