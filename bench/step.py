"""A training step of VideoCLIP at base size, on one thread of a CPU in fp32 (goal G9).

    python -m bench.step [--repeats 5]

The baseline is a re-statement of the original's step: clips padded to 32 seconds and 96 tokens,
and fairseq's Adam, a loop over the parameters. With dropout, torch's attention on a CPU is the
plain product of matrices that it was then. Both sides train the same weights, on clips whose
lengths are drawn as the original draws them; the losses are compared without dropout, the times
taken with it. G9 is forward and backward; the whole step comes with the optimizer's.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

import torch
from fairseq.optim.adam import Adam
from torch import Tensor, nn

from bench._timing import Goal, Times, interleaved, report, say_baseline
from bench.batch import Original, write_data
from mmvt.fairseq.fused_adam import LateEpsilonAdam
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.models.bert import SeparateTrunk
from mmvt.models.encoders import VideoTokenMLP
from mmvt.models.heads.contrastive import ContrastiveHead
from mmvt.models.model import MultimodalModel

G9 = Goal("G9", 1.4, 1.55, "within 5% of a step with no padding")
WHOLE = Goal("G9 with Adam", 1.4, 1.8, "the same")
CLIPS = 8
ORIGINAL, ORIGINAL_ADAM = 0.366, 0.92  # CPU s a clip, CPU s a step
VIDEO_LAYERS, TEXT_LAYERS = 6, 12


def main() -> int:
    """Print the goals; return 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.step")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        batch = typical(drawn(Path(folder)))
    return 0 if measure(Step(), batch, args.repeats) else 1


def drawn(folder: Path) -> dict[str, Tensor]:
    """Return 512 clips of the original's sampling."""
    write_data(folder, 32)
    random.seed(1)
    names = (folder / "train.lst").read_text().split()
    return Original(folder).batch(names, 16)


def typical(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return clips that stand evenly in the order of what they cost."""
    cost = VIDEO_LAYERS * batch["vmasks"].sum(1) + TEXT_LAYERS * batch["cmasks"].sum(1)
    stride = len(cost) // CLIPS
    chosen = cost.argsort()[stride // 2 :: stride]
    return {key: tensor[chosen] for key, tensor in batch.items()}


def even(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch of the mean lengths, which has no padding."""
    short = dict(batch)
    for mask, tensor in (("vmasks", "vfeats"), ("cmasks", "caps")):
        length = round(batch[mask].sum().item() / len(batch[mask]))
        short[tensor] = batch[tensor][:, :length]
        short[mask] = torch.ones_like(batch[mask][:, :length])
    return short


class Step:
    """A model and how it is trained, by the baseline or by ours."""

    def __init__(self) -> None:
        trunk = SeparateTrunk(
            max_video_len=32, num_hidden_video_layers=VIDEO_LAYERS, pretrained=False
        )
        encoder = VideoTokenMLP(hidden_size=trunk.hidden_size)
        self.trunk = trunk
        self.model = MultimodalModel({"video": encoder}, trunk, ContrastiveHead()).train()
        self.loss = SymmetricNCE()

    def gradients(self, batch: dict[str, Tensor], *, packed: bool) -> Tensor:
        """Compute the gradients of a batch, and return its loss."""
        self.trunk.packed = packed
        self.model.zero_grad(set_to_none=True)
        loss: Tensor = self.loss(scores=self.model(**batch)["scores"])
        torch.autograd.backward(loss)
        return loss.detach()

    def check(self, batch: dict[str, Tensor]) -> None:
        """Raise unless both give the same loss, up to 1e-5 of it."""
        rates = [(m, m.p) for m in self.model.modules() if isinstance(m, nn.Dropout)]
        for module, _ in rates:
            module.p = 0.0
        padded, packed = (self.gradients(batch, packed=packed) for packed in (False, True))
        assert (padded - packed).abs() <= 1e-5 * padded.abs(), (padded, packed)
        for module, rate in rates:
            module.p = rate


def measure(step: Step, batch: dict[str, Tensor], repeats: int) -> bool:
    """Print the baseline's cost and the goals; return whether they are met."""
    step.check(batch)
    real = VIDEO_LAYERS * batch["vmasks"].sum() + TEXT_LAYERS * batch["cmasks"].sum()
    positions = VIDEO_LAYERS * batch["vmasks"].numel() + TEXT_LAYERS * batch["cmasks"].numel()
    print(f"{1 - real.item() / positions:.0%} of the padded batch is padding")
    without = even(batch)
    times = interleaved(
        lambda: step.gradients(batch, packed=False),
        lambda: step.gradients(batch, packed=True),
        repeats=repeats,
    )
    limit = interleaved(
        lambda: step.gradients(without, packed=False),
        lambda: step.gradients(batch, packed=True),
        repeats=max(1, repeats - 2),
    )
    adam = updates(step, repeats)
    whole = Times(times.baseline + adam.baseline, times.ours + adam.ours)
    say_baseline("step", whole.baseline / CLIPS, ORIGINAL, "CPU s a clip")
    say_baseline("Adam", adam.baseline, ORIGINAL_ADAM, "CPU s a step")
    clip = f"{times.ours / CLIPS:.3f} CPU s a clip; {1 / limit.ratio:.2f} of one with no padding"
    met = report(G9, times.ratio, clip)
    detail = f"{CLIPS / whole.ours:.1f} clips/s; Adam alone {adam.ratio:.1f}"
    return report(WHOLE, whole.ratio, detail) and met


def updates(step: Step, repeats: int) -> Times:
    """Return the times of an update of all weights, by the loop and by the fused form."""
    weights = list(step.model.parameters())
    loop = Adam(weights, lr=0.0, betas=(0.9, 0.98))
    fused = LateEpsilonAdam(weights, lr=0.0, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
    return interleaved(loop.step, fused.step, repeats=repeats)


if __name__ == "__main__":
    raise SystemExit(main())
