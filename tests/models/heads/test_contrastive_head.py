from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmvt.errors import ConfigError
from mmvt.losses.contrastive import SymmetricNCE
from mmvt.models.heads.contrastive import ContrastiveHead, caption_keys, gather_rows


def states(batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Return hidden states of videos of 2 frames and texts of 2 words, without padding."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "hidden_video": torch.randn(batch, 4, 3, generator=generator),
        "hidden_text": torch.randn(batch, 4, 3, generator=generator),
        "vmasks": torch.ones(batch, 2, dtype=torch.bool),
        "cmasks": torch.ones(batch, 5, dtype=torch.bool),
    }


def test_scores_are_the_products_of_video_rows_and_text_columns():
    outputs = ContrastiveHead()(**states(3))
    video, text = outputs["pooled_video"], outputs["pooled_text"]
    torch.testing.assert_close(video, states(3)["hidden_video"][:, 1:].mean(1))
    torch.testing.assert_close(text, states(3)["hidden_text"][:, 1:].mean(1))
    for i in range(3):
        for j in range(3):
            torch.testing.assert_close(outputs["scores"][i, j], (video[i] * text[j]).sum())


def test_normalized_vectors_have_length_one_and_scores_are_cosines():
    outputs = ContrastiveHead(normalize=True)(**states(3))
    for name in ("pooled_video", "pooled_text"):
        torch.testing.assert_close(outputs[name].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(
        outputs["scores"], outputs["pooled_video"] @ outputs["pooled_text"].T
    )


@pytest.mark.parametrize("learned", [False, True])
def test_the_temperature_divides_the_scores(learned: bool):
    plain = ContrastiveHead()(**states(2))["scores"]
    head = ContrastiveHead(temperature=0.5, learned_temperature=learned)
    torch.testing.assert_close(head(**states(2))["scores"], 2 * plain)
    assert len(list(head.parameters())) == learned


def test_a_learned_temperature_gets_a_gradient_and_stays_above_its_bound():
    head = ContrastiveHead(learned_temperature=True)
    SymmetricNCE()(scores=head(**states(3))["scores"]).backward()
    assert head.log_scale is not None
    assert head.log_scale.grad is not None
    assert head.log_scale.grad != 0
    plain = ContrastiveHead()(**states(2))["scores"]
    with torch.no_grad():
        head.log_scale.fill_(20.0)
        torch.testing.assert_close(head(**states(2))["scores"], 100 * plain)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_temperature_is_refused(temperature: float):
    with pytest.raises(ConfigError, match=r"temperature is .*, but must be above 0"):
        ContrastiveHead(temperature=temperature)


def test_gathering_without_other_workers_changes_nothing():
    plain = ContrastiveHead()(**states(2))["scores"]
    assert torch.equal(ContrastiveHead(gather=True)(**states(2))["scores"], plain)


CAPS = torch.tensor([[1, 2, 5, 6, 2], [1, 2, 6, 5, 2], [1, 2, 5, 6, 2], [1, 2, 5, 6, 0]])
VIDEO_KEYS = torch.tensor([3, 4, 5, 4])


def pairs(*others: tuple[int, int]) -> list[list[bool]]:
    """Return the right pairs of four: each with itself, and the ones named."""
    right = torch.eye(4, dtype=torch.bool)
    for row, column in others:
        right[row, column] = right[column, row] = True
    return right.tolist()


def test_pairs_of_the_same_video_or_caption_may_be_positives():
    head = ContrastiveHead(duplicates="positives")
    by_caption = head(**states(4), caps=CAPS)
    assert by_caption["positives"].tolist() == pairs((0, 2))
    by_video = head(**states(4), video_key=VIDEO_KEYS)
    assert by_video["positives"].tolist() == pairs((1, 3))
    both = head(**states(4), caps=CAPS, video_key=VIDEO_KEYS)
    assert both["positives"].tolist() == pairs((0, 2), (1, 3))


def test_duplicates_are_negatives_unless_asked_for():
    assert "positives" not in ContrastiveHead()(**states(4), caps=CAPS, video_key=VIDEO_KEYS)


def test_duplicates_without_anything_to_find_them_by_are_refused():
    with pytest.raises(ConfigError, match="there is nothing to find them by"):
        ContrastiveHead(duplicates="positives")(**states(4))


def test_there_may_be_several_texts_a_video():
    two = {name: states(2)[name] for name in ("hidden_video", "vmasks")}
    four = {name: states(4)[name] for name in ("hidden_text", "cmasks")}
    outputs = ContrastiveHead()(**two, **four)
    expected = outputs["pooled_video"] @ outputs["pooled_text"].T
    torch.testing.assert_close(outputs["scores"], expected)
    assert outputs["scores"].shape == (2, 4)
    with pytest.raises(ConfigError, match="there is not one text a video"):
        ContrastiveHead(duplicates="positives")(**two, **four, caps=CAPS)


def test_a_caption_has_the_same_key_however_much_padding_follows():
    caps = torch.tensor([[1, 2, 5, 2, 0, 9], [1, 2, 5, 2, 0, 0], [1, 2, 5, 2, 5, 2]])
    cmasks = torch.tensor([[True] * 4 + [False] * 2] * 2 + [[True] * 6])
    keys = caption_keys(caps, cmasks).tolist()
    assert keys[0] == keys[1] != keys[2]
    assert caption_keys(caps[:1, :4], cmasks[:1, :4]).tolist() == keys[:1]


def test_captions_of_the_same_words_in_another_order_have_other_keys():
    generator = torch.Generator().manual_seed(0)
    caps = torch.randint(30522, (2000, 61), generator=generator)
    caps = torch.cat([caps, caps.flip(1)])
    assert len(caption_keys(caps, caps >= 0).unique()) == 4000


class Projected(nn.Module):
    """A head behind two weights, as a model would have it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.video = nn.Linear(3, 3)
        self.text = nn.Linear(3, 3)
        self.head = ContrastiveHead(
            normalize=True,
            temperature=0.2,
            learned_temperature=True,
            gather=True,
            duplicates="positives",
        )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        hidden = {
            "hidden_video": self.video(batch["hidden_video"]),
            "hidden_text": self.text(batch["hidden_text"]),
        }
        return self.head(**{**batch, **hidden})


ROWS = (slice(0, 3), slice(3, 5))  # of a batch of 5: the workers' shares differ
DUPLICATES = torch.tensor([7, 8, 9, 8, 6])  # videos 1 and 3 are the same, on two workers


def work(rank: int, folder: Path) -> None:
    """Run one of two workers, and write down what it saw."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    batch = {**states(5), "video_key": DUPLICATES}
    own = {key: value[ROWS[rank]] for key, value in batch.items()}
    model = Projected()
    averaged = DistributedDataParallel(model)
    outputs = averaged(own)
    loss = SymmetricNCE()(scores=outputs["scores"], positives=outputs["positives"])
    loss.backward()
    rows = torch.arange(2.0 + rank)[:, None].requires_grad_()
    gathered = gather_rows(rows)
    (gathered.squeeze(1) * torch.tensor([1.0, 2, 3, 4, 5]) * (rank + 1)).sum().backward()
    model.eval()
    found = {
        "loss": loss.detach(),
        "scores": outputs["scores"].detach(),
        "pooled": outputs["pooled_video"].detach(),
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "gathered": gathered.detach(),
        "row_gradients": rows.grad,
        "evaluated": model(own)["scores"].detach(),
    }
    torch.save(found, folder / f"worker{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_with_gathered_negatives_are_one_process_with_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # works without a network too
    torch.multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    found = [torch.load(tmp_path / f"worker{rank}.pt", weights_only=True) for rank in (0, 1)]
    model = Projected()
    outputs = model({**states(5), "video_key": DUPLICATES})
    assert outputs["positives"].sum() == 5 + 2
    loss = SymmetricNCE()(scores=outputs["scores"], positives=outputs["positives"])
    loss.backward()
    for rank, worker in enumerate(found):
        torch.testing.assert_close(worker["loss"], loss.detach())
        torch.testing.assert_close(worker["scores"], outputs["scores"].detach())
        torch.testing.assert_close(worker["pooled"], outputs["pooled_video"][ROWS[rank]].detach())
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(worker["gradients"][name], parameter.grad)
        # evaluation scores the worker's own rows: other workers may have none left
        assert worker["evaluated"].shape == (3 - rank, 3 - rank)
        assert worker["gathered"].tolist() == [[0.0], [1.0], [0.0], [1.0], [2.0]]
    # losses that differ add up: rank 0 weighs its loss once, rank 1 twice
    assert found[0]["row_gradients"].tolist() == [[3.0], [6.0]]
    assert found[1]["row_gradients"].tolist() == [[9.0], [12.0], [15.0]]
