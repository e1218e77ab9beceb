"""Trains the classifiers: one small shared trunk on all data at once, then each task's own net.

    python3 train_encoder.py --stage trunk                      # labels of all tasks, and masked words
    python3 train_encoder.py --stage front-desk                 # the trunk's classifier, its biases settled
    python3 train_encoder.py --stage banking-intent --member 0  # a teacher (finance-sentiment likewise)
    python3 train_encoder.py --stage banking-intent --distil trunk member0  # the final model
"""
import copy
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

import corpus
import distil
from encoder import CLS, MASK, Classifier, Trunk, batch_of, load, logits_of, measure
from tasks import DESKS, TASKS, task, trunk_tasks
from tokenizer import Tokenizer


TRAINED_LENGTH = 48  # longer texts are cut while training; hardly any is


def hide_words(ids, mask, share):
    """Replaces a share of the real tokens (never <|cls|>) by <|mask|>."""
    hidden = (torch.rand(ids.shape) < share) & (mask == 1) & (ids != CLS)
    return torch.where(hidden, torch.full_like(ids, MASK), ids), hidden


class Average:
    """Exponential moving average of a model's weights, which is what gets shipped."""

    def __init__(self, model, decay):
        self.model, self.decay, self.steps = copy.deepcopy(model).eval(), decay, 0

    def update(self, model):
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 10))
        with torch.no_grad():
            for mine, theirs in zip(self.model.parameters(), model.parameters()):
                mine.lerp_(theirs, 1 - decay)


def scheduled(optimizer, rate, progress):
    for group in optimizer.param_groups:
        group["lr"] = rate * min(1.0, progress * 20) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))


def sharpened(vectors):
    return F.normalize(vectors, dim=-1)


def step_with(optimizer, model, loss, average):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    average.update(model)


def figures_on(model, chosen, part, tokenizer):
    texts, labels = zip(*chosen[part])
    return measure(logits_of(model, list(texts), tokenizer), [chosen["labels"].index(label) for label in labels])


class Heads(torch.nn.Module):
    """One trunk under a classifier per task, and per task a prototype of each class in the space of the mean: those keep
    `sentence_embedding` meaningful (texts of one intent lie together)."""

    def __init__(self, tasks, dropout):
        super().__init__()
        trunk = Trunk(dropout=dropout)
        self.classifiers = torch.nn.ModuleList(Classifier(trunk, len(each["labels"])) for each in tasks)
        self.prototypes = torch.nn.ParameterList(
            torch.nn.Parameter(torch.randn(len(each["labels"]), trunk.shape["width"])) for each in tasks)

    def loss(self, i, pooled, target):
        width = self.prototypes[i].shape[1]
        near = 16 * sharpened(pooled[:, :width]) @ sharpened(self.prototypes[i]).T
        return (F.cross_entropy(self.classifiers[i].classify(pooled), target, label_smoothing=0.05)
                + 0.5 * F.cross_entropy(near, target))


def train_trunk(options, tokenizer):
    """Banking intents, clinc intents, sentiment, desks and masked words, one batch of each per step."""
    tasks, plain = trunk_tasks(options.data)
    rng, heads = corpus.seeded("trunk"), Heads(tasks, options.dropout)
    trunk = heads.classifiers[0].trunk
    streams = [Stream(each["train"], 32, rng, DESKS if each["name"] == "front-desk" else None) for each in tasks]
    streams.append(Stream([(text, None) for text in plain], 16, rng))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=options.rate, weight_decay=0.05)
    average, steps, began = Average(heads, 0.998), int(options.epochs * len(tasks[0]["train"]) / 32), time.time()
    for step in range(steps):
        scheduled(optimizer, options.rate, step / steps)
        rows = [stream.batch() for stream in streams]
        loss, guessing = 0.0, rng.randrange(len(rows))  # masked words of one batch per step: that softmax is dear
        for i, part in enumerate(rows):
            ids, mask = batch_of([corpus.sloppy(text, rng, 0.7) for text, _ in part], tokenizer, TRAINED_LENGTH)
            hidden_ids, hidden = hide_words(ids, mask, 0.15)
            features, pooled = trunk(hidden_ids, mask)
            if i == guessing and hidden.any():
                loss = loss + 0.3 * F.cross_entropy(F.linear(features[hidden], trunk.embedding.weight), ids[hidden])
            if i < len(tasks):
                loss = loss + heads.loss(i, pooled, torch.tensor([tasks[i]["labels"].index(label) for _, label in part]))
        step_with(optimizer, heads, loss, average)
        if (step + 1) % 300 == 0 or step + 1 == steps:
            figures = [figures_on(head, each, "validation", tokenizer)
                       for each, head in zip(tasks, average.model.classifiers)]
            print(f"step {step + 1}/{steps}: loss {float(loss):.3f}, " + ", ".join(
                f"{each['name']} {accuracy:.4f}/{f1:.4f}" for each, (accuracy, f1) in zip(tasks, figures))
                + f", {time.time() - began:.0f} s", flush=True)
            for each, head in zip(tasks, average.model.classifiers):
                torch.save(head.state_dict(), os.path.join(options.work, f"{each['name']}.trunk.pt"))
                torch.save(each["labels"], os.path.join(options.work, f"{each['name']}.labels.pt"))


class Stream:
    """Endless batches of rows in random order, each of texts of like length, so that little is spent on padding. Desks are
    drawn evenly, because coffee is rare there."""

    def __init__(self, rows, size, rng, evenly_by=None):
        self.groups = [[row for row in rows if row[1] == label] for label in evenly_by] if evenly_by else [rows]
        self.size, self.rng, self.ready = size, rng, []

    def batch(self):
        if not self.ready:
            drawn = [row for group in self.groups for row in self.rng.sample(group, 16 * self.size // len(self.groups))]
            drawn.sort(key=lambda row: len(row[0]) + self.rng.random())
            self.ready = [drawn[at:at + self.size] for at in range(0, len(drawn), self.size)]
            self.rng.shuffle(self.ready)
        return self.ready.pop()


def tune(options, tokenizer):
    """From the trunk's classifier to the task's own. With --distil, half of each step is on invented texts that the teachers
    (linear models and the members tuned before) have labelled."""
    chosen = task(options.stage, options.data)
    if options.all:
        chosen["train"] = chosen["train"] + chosen["validation"]
    labels, rng = chosen["labels"], corpus.seeded(f"{options.stage}/{options.member}")
    torch.manual_seed(corpus.SEED + options.member)
    model, _ = load(options.stage, options.work, "trunk")
    model.trunk.dropout = options.dropout
    model.train()
    lessons = distil.lessons(chosen, options.work, options.distil, tokenizer, rng) if options.distil else None
    stream = Stream(chosen["train"], 64, rng)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.rate, weight_decay=0.05)
    average, steps, began = Average(model, 0.998), int(options.epochs * len(chosen["train"]) / 64), time.time()
    suffix = "final" if options.distil else f"member{options.member}"
    for step in range(steps):
        scheduled(optimizer, options.rate, step / steps)
        rows = stream.batch()
        ids, mask = batch_of([corpus.sloppy(text, rng, 0.5) for text, _ in rows], tokenizer, TRAINED_LENGTH)
        target = torch.tensor([labels.index(label) for _, label in rows])
        loss = F.cross_entropy(model(hide_words(ids, mask, 0.1)[0], mask), target, label_smoothing=0.1)
        if lessons:
            texts, wanted = lessons.batch()
            said = F.log_softmax(model(*batch_of(texts, tokenizer, TRAINED_LENGTH)), -1)
            loss = loss - 2.0 * (wanted * said).sum(-1).mean()
        step_with(optimizer, model, loss, average)
        if (step + 1) % 300 == 0 or step + 1 == steps:
            accuracy, f1 = figures_on(average.model, chosen, "validation", tokenizer)
            print(f"{suffix} step {step + 1}/{steps}: loss {float(loss):.3f}, validation {accuracy:.4f}/{f1:.4f}, "
                  f"{time.time() - began:.0f} s", flush=True)
            torch.save(average.model.state_dict(), os.path.join(options.work, f"{options.stage}.{suffix}.pt"))


def settle_front_desk(options, tokenizer):
    """The trunk's own classifier is good already, but it saw the desks evenly and so claims too much for coffee and finance.
    Lowers their biases by what is best on validation."""
    chosen = task("front-desk", options.data)
    model, labels = load("front-desk", options.work, "trunk")
    texts, truth = [text for text, _ in chosen["validation"]], [labels.index(label) for _, label in chosen["validation"]]
    logits, claimed = logits_of(model, texts, tokenizer), [float(label in ("coffee", "finance")) for label in labels]
    figures = {offset: measure(logits - offset * np.array(claimed), truth) for offset in (0.0, 0.5, 1.0, 1.5, 2.0)}
    for offset, (accuracy, f1) in figures.items():
        print(f"coffee and finance lowered by {offset}: validation {accuracy:.4f}/{f1:.4f}", flush=True)
    best = max(figures, key=lambda offset: sum(figures[offset]))
    with torch.no_grad():
        model.head.bias -= best * torch.tensor(claimed)
    torch.save(model.state_dict(), os.path.join(options.work, "front-desk.final.pt"))


if __name__ == "__main__":
    parser = corpus.arguments(__doc__)
    parser.add_argument("--stage", required=True, choices=["trunk", *TASKS])
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--member", type=int, default=0, help="which member of the ensemble of teachers (a seed)")
    parser.add_argument("--distil", nargs="*", default=[], help="train the final model, taught by linear models and these "
                        "checkpoints (trunk, member0, ...)")
    parser.add_argument("--all", action="store_true", help="learn from the validation rows too: once the recipe is settled")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.manual_seed(corpus.SEED)
    torch.set_num_threads(given.threads)
    os.makedirs(given.work, exist_ok=True)
    served = Tokenizer(os.path.join(corpus.MODELS_DIR, "front-desk", "tokenizer.json"), "encoder")
    {"trunk": train_trunk, "front-desk": settle_front_desk}.get(given.stage, tune)(given, served)
