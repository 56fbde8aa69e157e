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
from mmvt.evaluators.predictors.running import Entry, batches_of, results_of_all
entries = [Entry(f"e{n}", "v", n, None if n == 1 else n) for n in range(6)]
examples = [{"number": n} for n in range(6)]
with evaluating_together():
    own = batches_of(examples, entries, 2)
    batches = [[(e.name, x["number"]) for e, x in batch] for batch in own]
    found = results_of_all({name: x for batch in batches for name, x in batch}, entries)
    own = {f"item {n}": n * n for n in in_turn(range(3))}
    every = of_all(own, [f"item {n}" for n in (2, 0, 5, 1)])
    print(json.dumps([len(own), list(every.items()), is_first()]))
    print(json.dumps([batches, list(found.items())]))
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
    lines = [worker.communicate(timeout=200)[0].splitlines() for worker in workers]
    said, entries = ([json.loads(line) for line in part] for part in zip(*lines, strict=True))
    assert sum(done for done, _, _ in said) == 3  # a fourth process has nothing to do
    assert [first for _, _, first in said] == [True] + [False] * (processes - 1)
    for _, every, _ in said:
        assert every == [["item 2", 4], ["item 0", 0], ["item 1", 1]]
    # batches of a predictor are those of one process alone; the second entry has no features
    every_batch = [[["e0", 0], ["e2", 2]], [["e3", 3], ["e4", 4]], [["e5", 5]]]
    assert sorted(batch for batches, _ in entries for batch in batches) == every_batch
    for _, found in entries:
        assert found == [["e0", 0], ["e2", 2], ["e3", 3], ["e4", 4], ["e5", 5]]
