from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mmvt.errors import ConfigError
from mmvt.models.heads.segmentation import SegmentationHead


@pytest.fixture
def head() -> SegmentationHead:
    """Return a head of three classes whose scores are x, y and x + y + 1."""
    head = SegmentationHead(hidden_size=2, num_classes=3).eval()
    with torch.no_grad():
        head.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        head.classifier.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    return head


# [CLS], two frames, [SEP]
VIDEO = torch.tensor([[[9.0, 9.0], [2.0, 3.0], [0.0, 5.0], [8.0, 8.0]]])
VMASKS = torch.tensor([[True, False]])


def test_every_frame_has_a_score_a_class_also_where_it_is_padding(head: SegmentationHead):
    logits = head(hidden_video=VIDEO, vmasks=VMASKS)["logits"]
    assert logits.tolist() == [[[2.0, 3.0, 6.0], [0.0, 5.0, 6.0]]]


def test_the_last_layer_is_read_where_there_is_a_joint_sequence(head: SegmentationHead):
    hidden = torch.cat([VIDEO + 1, torch.zeros(1, 3, 2)], dim=1)
    logits = head(hidden_video=VIDEO, vmasks=VMASKS, hidden=hidden)["logits"]
    assert logits.tolist() == [[[3.0, 4.0, 8.0], [1.0, 6.0, 8.0]]]


def test_weights_start_small_and_dropout_is_active_in_training_only():
    torch.manual_seed(0)
    head = SegmentationHead(hidden_size=64, num_classes=64, dropout=0.5)
    assert head.classifier.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not head.classifier.bias.any()
    states: dict[str, Tensor] = {"hidden_video": torch.ones(1, 4, 64), "vmasks": VMASKS}
    assert not torch.equal(head(**states)["logits"], head(**states)["logits"])
    head.eval()
    assert torch.equal(head(**states)["logits"], head(**states)["logits"])


def test_no_class_is_refused():
    with pytest.raises(ConfigError, match="num_classes is 0, but must be at least 1"):
        SegmentationHead(hidden_size=2, num_classes=0)
