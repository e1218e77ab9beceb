"""The coffee counter's decoders: a small llama, its training loop, and its held-out perplexity.

    python3 decoder.py --model barista                     # from scratch; --resume goes on after an interruption
    python3 decoder.py --model barista-mini --teacher barista

README.md has the options each shipped model was trained with.
"""
import math
import os
import time

import torch
import torch.nn.functional as F

import corpus
import house_rules
from tokenizer import Tokenizer

SHAPES = {
    "barista": {"vocab": 2048, "width": 256, "layers": 3, "heads": 4, "inner": 512, "positions": 512},
    "barista-mini": {"vocab": 2048, "width": 96, "layers": 2, "heads": 4, "inner": 256, "positions": 512},
}
BEGIN, USER, AGENT, END, PAD = range(5)
EPS, ROPE_BASE = 1e-5, 10000.0
USER_WEIGHT = 0.3  # customers' turns are noisy; the model has to speak the agent's
BATCH_TOKENS = 2048


class RmsNorm(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def rope_tables(shape):
    half = shape["width"] // shape["heads"] // 2
    angles = torch.outer(torch.arange(shape["positions"]).float(), ROPE_BASE ** (-torch.arange(half).float() / half))
    return angles.cos(), angles.sin()


class Block(torch.nn.Module):
    def __init__(self, shape, dropout):
        super().__init__()
        width, inner = shape["width"], shape["inner"]
        self.heads, self.dropout = shape["heads"], dropout
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)
        self.gate_up = torch.nn.Linear(width, 2 * inner, bias=False)
        self.down = torch.nn.Linear(inner, width, bias=False)

    def forward(self, x, cos, sin, bias):
        batch, length, width = x.shape
        q, k, v = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        scores = rotate(q, cos, sin) @ rotate(k, cos, sin).transpose(2, 3) / math.sqrt(width / self.heads) + bias
        mixed = (F.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, length, width)
        x = x + F.dropout(self.out(mixed), self.dropout, self.training)
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + F.dropout(self.down(F.silu(gate) * up), self.dropout, self.training)


def rotate(x, cos, sin):
    first, second = x.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class Decoder(torch.nn.Module):
    def __init__(self, shape, dropout=0.0):
        super().__init__()
        self.shape, self.dropout = shape, dropout
        self.embedding = torch.nn.Embedding(shape["vocab"], shape["width"])
        self.blocks = torch.nn.ModuleList(Block(shape, dropout) for _ in range(shape["layers"]))
        self.norm = RmsNorm(shape["width"])
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                deep = math.sqrt(2 * shape["layers"]) if name.endswith(("out.weight", "down.weight")) else 1
                torch.nn.init.normal_(weight, std=0.02 / deep)
        self.cos, self.sin = rope_tables(shape)

    def forward(self, ids):
        """Right-padded rows: the causal mask alone keeps padding out of what is read."""
        length = ids.shape[1]
        bias = torch.full((length, length), -1e9).triu(1)
        x = F.dropout(self.embedding(ids), self.dropout, self.training)
        for block in self.blocks:
            x = block(x, self.cos[:length], self.sin[:length], bias)
        return F.linear(self.norm(x), self.embedding.weight)


def encode_dialogue(dialogue, tokenizer, user_weight=1.0):
    """Token ids without <|begin|>, and the weight of predicting each."""
    ids, weights = [], []
    for speaker, text in dialogue:
        turn = [*tokenizer.encode(text), END]
        ids += [AGENT if speaker == "agent" else USER, *turn]
        weights += [0.0] + [1.0 if speaker == "agent" else user_weight] * len(turn)
    return ids, weights


def typed_sloppily(dialogue, rng):
    return [(speaker, corpus.with_opener(corpus.sloppy(text, rng), rng, 0.08) if speaker == "user" else text)
            for speaker, text in dialogue]


def epoch_batches(dialogues, tokenizer, rng):
    """One pass in random order; half of the sequences are several dialogues on end, so that later positions and repeat
    orders are learnt too. Batches hold sequences of like length."""
    order, sequences = rng.sample(dialogues, len(dialogues)), []
    while order:
        wanted = rng.choice((1, 1, 1, 2, 3, 8))
        ids, weights = [BEGIN], [0.0]
        while order and wanted:
            more, more_weights = encode_dialogue(typed_sloppily(order[-1], rng), tokenizer, USER_WEIGHT)
            if len(ids) + len(more) > 512:
                break
            order.pop()
            ids, weights, wanted = ids + more, weights + more_weights, wanted - 1
        sequences.append((ids, weights))
    sequences.sort(key=lambda sequence: len(sequence[0]) + rng.random())
    batches, batch = [], []
    for sequence in sequences:
        if batch and len(sequence[0]) * (len(batch) + 1) > BATCH_TOKENS:
            batches.append(batch)
            batch = []
        batch.append(sequence)
    batches.append(batch)
    rng.shuffle(batches)
    return [padded(batch) for batch in batches]


def padded(batch):
    length = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [PAD] * (length - len(row)) for row, _ in batch])
    weights = torch.tensor([row + [0.0] * (length - len(row)) for _, row in batch])
    return ids, weights


def evaluate(model, dialogues, tokenizer):
    """Mean loss per token over agents' turns of clean dialogues (nats)."""
    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for at in range(0, len(dialogues), 32):
            rows = [encode_dialogue(dialogue, tokenizer, 0.0) for dialogue in dialogues[at:at + 32]]
            ids, weights = padded([([BEGIN, *ids], [0.0, *weights]) for ids, weights in rows])
            losses = F.cross_entropy(model(ids[:, :-1]).transpose(1, 2), ids[:, 1:], reduction="none")
            total += float((losses * weights[:, 1:]).sum())
            count += float(weights[:, 1:].sum())
    model.train()
    return total / count


def loss_of(logits, ids, weights, teacher):
    target, weights = ids[:, 1:], weights[:, 1:]
    losses = F.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    if teacher is not None:
        with torch.no_grad():
            wanted = F.softmax(teacher(ids[:, :-1]), -1)
        losses = 0.3 * losses - 0.7 * (wanted * F.log_softmax(logits, -1)).sum(-1)
    return (losses * weights).sum() / weights.sum()


def load(name, work):
    model = Decoder(SHAPES[name])
    model.load_state_dict(torch.load(os.path.join(work, f"{name}.best.pt")))
    return model.eval()


def train(options):
    torch.manual_seed(corpus.SEED)
    torch.set_num_threads(options.threads)
    tokenizer = Tokenizer(os.path.join(corpus.MODELS_DIR, options.model, "tokenizer.json"), "decoder")
    parts = corpus.split_dialogues(options.data)
    off_topic = house_rules.off_topic_texts(options.data)
    model = Decoder(SHAPES[options.model], options.dropout)
    teacher = load(options.teacher, options.work) if options.teacher else None
    if options.start:
        model.load_state_dict(torch.load(os.path.join(options.work, options.start)))
    matrices = [weight for weight in model.parameters() if weight.dim() == 2]
    vectors = [weight for weight in model.parameters() if weight.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=options.rate, betas=(0.9, 0.95))
    state = {"epoch": 0, "best": math.inf, "seconds": 0.0}
    latest = os.path.join(options.work, f"{options.model}.latest.pt")
    if options.resume and os.path.exists(latest):
        saved = torch.load(latest)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        state = saved["state"]
    print(f"{options.model}: {sum(weight.numel() for weight in model.parameters())} parameters", flush=True)
    saved_at = time.time()
    for epoch in range(state["epoch"], options.epochs):
        began = time.time()
        rng = corpus.seeded(f"{options.model}/{epoch}")
        manners = list(house_rules.dialogues(off_topic, parts["train"], options.house, rng))
        orders = rng.sample(parts["train"], min(options.orders, len(parts["train"])))
        batches = epoch_batches(orders + manners, tokenizer, rng)
        for index, (ids, weights) in enumerate(batches):
            progress = (epoch + index / len(batches)) / options.epochs
            scale = min(1.0, progress * options.epochs) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            for group in optimizer.param_groups:
                group["lr"] = options.rate * scale
            loss = loss_of(model(ids[:, :-1]), ids, weights, teacher)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        validation = evaluate(model, parts["validation"], tokenizer)
        state.update(epoch=epoch + 1, seconds=state["seconds"] + time.time() - began)
        print(f"epoch {epoch + 1}: train {loss.item():.3f}, validation ppl {math.exp(validation):.3f}, "
              f"{state['seconds']:.0f} s", flush=True)
        if validation < state["best"]:
            state["best"] = validation
            torch.save(model.state_dict(), os.path.join(options.work, f"{options.model}.best.pt"))
        if time.time() - saved_at > 240 or epoch + 1 == options.epochs:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "state": state}, latest)
            saved_at = time.time()


if __name__ == "__main__":
    parser = corpus.arguments(__doc__)
    parser.add_argument("--model", choices=sorted(SHAPES), default="barista")
    parser.add_argument("--teacher", choices=sorted(SHAPES), help="distil from this trained model")
    parser.add_argument("--start", help="begin from the weights in this file of --work instead of at random")
    parser.add_argument("--house", type=int, default=500, help="dialogues of house_rules.py in an epoch")
    parser.add_argument("--orders", type=int, default=10**6, help="Taskmaster dialogues in an epoch, all 3,364 by default")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--dropout", type=float, default=0.15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    chosen = parser.parse_args()
    os.makedirs(chosen.work, exist_ok=True)
    train(chosen)
