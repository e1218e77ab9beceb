"""The classifiers' net, and how texts go through it.

Sub-word embeddings -> gated convolution -> attention -> pooled, beside a bag of hashed token pairs. No absolute positions, so
no length limit; padding is masked everywhere, so it never changes a result.
"""
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score

from tokenizer import KINDS

PAD, CLS, MASK = range(3)
SHAPE = {"vocab": KINDS["encoder"]["size"], "width": 160, "inner": 320, "heads": 5, "pairs": 16384, "pair_width": 64}
HASH_FIRST, HASH_SECOND = 10007, 31
EPS = 1e-5
MAX_LENGTH = 128


class Norm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def shifted(x, by):
    """x moved along the sequence with zeros coming in: [B, L, D] -> [B, L, D]."""
    return F.pad(x, (0, 0, by, 0))[:, :x.shape[1]] if by > 0 else F.pad(x, (0, 0, 0, -by))[:, -by:]


class Trunk(torch.nn.Module):
    """ids, mask -> token features [B, L, D] and the pooled text [B, 2 D + pair_width]."""

    def __init__(self, shape=SHAPE, dropout=0.1):
        super().__init__()
        width, inner = shape["width"], shape["inner"]
        self.shape, self.dropout = shape, dropout
        self.embedding = torch.nn.Embedding(shape["vocab"], width)
        self.pairs = torch.nn.Embedding(shape["pairs"], shape["pair_width"])
        self.norm1, self.norm2, self.norm3, self.norm4 = (Norm(width) for _ in range(4))
        self.mix = torch.nn.Linear(3 * width, 2 * inner)
        self.mix_out = torch.nn.Linear(inner, width)
        self.qkv = torch.nn.Linear(width, 3 * width)
        self.attended = torch.nn.Linear(width, width)
        self.up = torch.nn.Linear(width, 2 * inner)
        self.down = torch.nn.Linear(inner, width)
        self.gaze = torch.nn.Linear(width, 1)
        torch.nn.init.normal_(self.embedding.weight, std=0.1)
        torch.nn.init.normal_(self.pairs.weight, std=0.1)
        self.width = 2 * width + shape["pair_width"]

    def forward(self, ids, mask):
        drop = lambda x: F.dropout(x, self.dropout, self.training)
        batch, length = ids.shape
        width, heads = self.shape["width"], self.shape["heads"]
        keep = mask.unsqueeze(-1).float()
        x = drop(self.embedding(ids)) * keep
        y = self.norm1(x) * keep
        left, right = self.mix(torch.cat((shifted(y, 1), y, shifted(y, -1)), -1)).chunk(2, -1)
        x = x + drop(self.mix_out(F.silu(left) * right))
        q, k, v = (part.view(batch, length, heads, -1).transpose(1, 2) for part in self.qkv(self.norm2(x)).chunk(3, -1))
        scores = q @ k.transpose(2, 3) / math.sqrt(width / heads) + (1 - mask[:, None, None, :].float()) * -1e9
        x = x + drop(self.attended((F.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, width)))
        left, right = self.up(self.norm3(x)).chunk(2, -1)
        x = self.norm4(x + drop(self.down(F.silu(left) * right)))
        count = keep.sum(1)
        mean = (x * keep).sum(1) / count
        weight = F.softmax(self.gaze(x) + (1 - keep) * -1e9, 1)
        looked_at = (x * weight).sum(1)
        both = keep[:, 1:] * keep[:, :-1]
        hashes = torch.remainder(ids[:, :-1] * HASH_FIRST + ids[:, 1:] * HASH_SECOND, self.shape["pairs"])
        bag = (drop(self.pairs(hashes)) * both).sum(1) / torch.sqrt(count)
        return x, torch.cat((mean, looked_at, bag), -1)


class Classifier(torch.nn.Module):
    def __init__(self, trunk, classes):
        super().__init__()
        self.trunk = trunk
        self.hidden = torch.nn.Linear(trunk.width, trunk.shape["width"])
        self.head = torch.nn.Linear(trunk.width + trunk.shape["width"], classes)

    def forward(self, ids, mask):
        _, pooled = self.trunk(ids, mask)
        return self.classify(pooled)

    def classify(self, pooled):
        pooled = F.dropout(pooled, 3 * self.trunk.dropout, self.training)
        return self.head(torch.cat((pooled, F.silu(self.hidden(pooled))), -1))


def batch_of(texts, tokenizer, max_length=MAX_LENGTH):
    """Texts -> ids and mask, padded right."""
    rows = [[CLS, *tokenizer.encode(text)][:max_length] for text in texts]
    length = max(2, max(map(len, rows)))
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    return ids, mask


def load(name, work, suffix="final"):
    """A trained classifier and its labels, in order."""
    state = torch.load(os.path.join(work, f"{name}.{suffix}.pt"))
    labels = torch.load(os.path.join(work, f"{name}.labels.pt"))
    model = Classifier(Trunk(), len(labels))
    model.load_state_dict(state)
    return model.eval(), labels


def logits_of(model, texts, tokenizer):
    """Logits of many texts, batched by length."""
    model.eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    out = [None] * len(texts)
    with torch.no_grad():
        for at in range(0, len(order), 128):
            part = order[at:at + 128]
            for i, row in zip(part, model(*batch_of([texts[i] for i in part], tokenizer))):
                out[i] = row.numpy()
    model.train()
    return np.stack(out)


def measure(logits, labels):
    predicted = logits.argmax(1)
    return accuracy_score(labels, predicted), f1_score(labels, predicted, average="macro")
