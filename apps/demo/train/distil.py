"""Lessons for the final classifiers: invented texts, labelled by an ensemble of linear models and of nets.

Invented texts are spliced from training rows (the head of one, the tail of another), cropped, or typed sloppily. Nobody knows
their labels, but the teachers have opinions, and those tell a small net where the borders lie.
"""

import numpy as np
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.svm import LinearSVC

import baseline
import corpus
import encoder

POOL = 40000
NET_SHARE = 0.6
BATCH = 64


def invented(rows, rng):
    first, second = rng.choice(rows)[0].split(" "), rng.choice(rows)[0].split(" ")
    kind = rng.random()
    if kind < 0.4:
        text = first[:rng.randint(1, len(first))] + second[rng.randrange(len(second)):]
    elif kind < 0.7:
        start = rng.randrange(len(first))
        text = first[start:start + max(2, rng.randint(len(first) // 2, len(first)))]
    else:
        text = first
    return corpus.sloppy(" ".join(text[:60]), rng, 0.8)


def linear_opinions(chosen, groups):
    """Class probabilities of logistic regression and SVM on each group of texts; classes in the order of labels."""
    x_train, *others = baseline.features([text for text, _ in chosen["train"]], groups)
    y = np.array([chosen["labels"].index(label) for _, label in chosen["train"]])
    logistic = LogisticRegression(C=20, solver="liblinear", random_state=corpus.SEED).fit(x_train, y)
    machine = LinearSVC(C=0.5, random_state=corpus.SEED).fit(x_train, y)
    return [(logistic.predict_proba(x) + softmax(4 * machine.decision_function(x), axis=1)) / 2 for x in others]


class Lessons:
    """Batches of invented texts of like length, with what the teachers say of them."""

    def __init__(self, texts, wanted, size, rng):
        self.texts, self.wanted, self.rng = texts, torch.tensor(wanted, dtype=torch.float32), rng
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        self.batches = [order[at:at + size] for at in range(0, len(order), size)]

    def batch(self):
        chosen = self.rng.choice(self.batches)
        return [self.texts[i] for i in chosen], self.wanted[chosen]


def lessons(chosen, work, members, tokenizer, rng):
    texts = [invented(chosen["train"], rng) for _ in range(POOL)]
    held = [text for text, _ in chosen["validation"]]
    on_texts, on_held = linear_opinions(chosen, [texts, held])
    truth = [chosen["labels"].index(label) for _, label in chosen["validation"]]
    show("linear teachers", on_held, truth)
    nets = [encoder.load(chosen["name"], work, member)[0] for member in members]
    for member, net in zip(members, nets):
        show(member, encoder.logits_of(net, held, tokenizer), truth)
    opinions = lambda group: sum(softmax(encoder.logits_of(net, group, tokenizer), axis=1) for net in nets) / len(nets)
    blend = lambda linear, group: (1 - NET_SHARE) * linear + NET_SHARE * opinions(group)
    show("all teachers", blend(on_held, held), truth)
    return Lessons(texts, blend(on_texts, texts), BATCH, rng)


def show(name, scores, truth):
    predicted = scores.argmax(1)
    print(f"{name}: validation {accuracy_score(truth, predicted):.4f}/{f1_score(truth, predicted, average='macro'):.4f}", flush=True)
