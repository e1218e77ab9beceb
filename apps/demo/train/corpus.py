"""Reads the public data sets, splits them with a fixed seed, and imitates sloppy typing.

The boundary between files on disk (never committed, see SOURCE.md beside the data) and everything that trains.
Splits are by content: rows that differ only in case or punctuation always fall on the same side.
"""
import argparse
import csv
import hashlib
import json
import os
import random
import re

SEED = 20241
TRAIN_DIR = os.path.dirname(os.path.abspath(__file__))
REPO_ROOT = os.path.normpath(os.path.join(TRAIN_DIR, "..", "..", ".."))
MODELS_DIR = os.path.normpath(os.path.join(TRAIN_DIR, "..", "models"))

BANKING_DOMAINS = {  # the intents of clinc150's domains "banking" and "credit_cards"
    "freeze_account", "routing", "pin_change", "bill_due", "pay_bill", "account_blocked", "interest_rate", "min_payment",
    "bill_balance", "transfer", "order_checks", "balance", "spending_history", "transactions", "report_fraud",
    "replacement_card_duration", "expiration_date", "damaged_card", "improve_credit_score", "report_lost_card",
    "card_declined", "credit_limit_change", "apr", "redeem_rewards", "credit_limit", "rewards_balance",
    "application_status", "credit_score", "new_card", "international_fees",
}


def arguments(description):
    """The options every script shares: where the data lies and where scratch files go."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", default=os.path.join(REPO_ROOT, "..", "shared", "data"), help="folder of the data sets")
    parser.add_argument("--work", default=os.path.join(TRAIN_DIR, ".scratch"), help="folder of checkpoints, not committed")
    return parser


def content_key(text):
    """What makes two texts 'the same' for splitting: their letters and digits."""
    return re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()


def fraction_of(text, salt):
    """A stable pseudo-random number in [0, 1) for a text's content: the split does not depend on row order."""
    digest = hashlib.sha256(f"{SEED}/{salt}/{content_key(text)}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def straighten(text):
    """Curly quotes to straight ones, runs of spaces to one."""
    for curly, straight in (("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2026", "...")):
        text = text.replace(curly, straight)
    return re.sub(r"\s+", " ", text).strip()


def read_dialogues(data):
    """Every coffee dialogue as a list of (speaker, text), speaker 'user' or 'agent'; duplicates removed."""
    with open(os.path.join(data, "dialogue", "taskmaster4_coffee.txt"), encoding="utf-8") as file:
        blocks = file.read().strip().split("\n\n")
    seen, dialogues = set(), []
    for block in blocks:
        turns = [tuple(line.split(": ", 1)) for line in block.strip().split("\n")]
        key = content_key(block)
        if key not in seen:
            seen.add(key)
            dialogues.append([(speaker.strip().lower(), straighten(text)) for speaker, text in turns])
    return dialogues


def split_dialogues(data):
    """train, validation (for early stopping) and test (5 %, for the card) dialogues."""
    parts = {"train": [], "validation": [], "test": []}
    for dialogue in read_dialogues(data):
        where = fraction_of(" ".join(text for _, text in dialogue), "coffee")
        parts["test" if where < 0.05 else "validation" if where < 0.09 else "train"].append(dialogue)
    return parts


def read_csv(path, text_column, label_column):
    with open(path, encoding="utf-8", newline="") as file:
        return [(straighten(row[text_column]), row[label_column]) for row in csv.DictReader(file)]


def hold_out(rows, salt, share=0.1):
    """Splits labelled rows of a training file into (train, validation) by content."""
    train = [row for row in rows if fraction_of(row[0], salt) >= share]
    return train, [row for row in rows if fraction_of(row[0], salt) < share]


def without(rows, others):
    """rows whose content does not occur in others."""
    known = {content_key(text) for text, _ in others}
    return [row for row in rows if content_key(row[0]) not in known]


def banking(data):
    """train, validation, test rows (text, intent)."""
    folder = os.path.join(data, "intent")
    train, validation = hold_out(read_csv(os.path.join(folder, "banking77_train.csv"), "text", "category"), "banking")
    return train, validation, read_csv(os.path.join(folder, "banking77_test.csv"), "text", "category")


SENTIMENTS = ["bearish", "bullish", "neutral"]


def sentiment(data):
    """train, validation, test rows (text, sentiment)."""
    folder = os.path.join(data, "finance")
    named = lambda rows: [(text, SENTIMENTS[int(label)]) for text, label in rows]
    train, validation = hold_out(named(read_csv(os.path.join(folder, "sent_train.csv"), "text", "label")), "finance")
    return train, validation, named(read_csv(os.path.join(folder, "sent_valid.csv"), "text", "label"))


def clinc(data, part):
    """Rows (text, intent) of one part: train, val, test, oos_train, oos_val, oos_test."""
    with open(os.path.join(data, "intent", "clinc150_full.json"), encoding="utf-8") as file:
        return [(straighten(text), intent) for text, intent in json.load(file)[part]]


NEIGHBOURS = {"a": "sq", "b": "vn", "c": "xv", "d": "sf", "e": "wr", "f": "dg", "g": "fh", "h": "gj", "i": "uo", "j": "hk",
              "k": "jl", "l": "k", "m": "n", "n": "bm", "o": "ip", "p": "o", "q": "w", "r": "et", "s": "ad", "t": "ry",
              "u": "yi", "v": "cb", "w": "qe", "x": "zc", "y": "tu", "z": "x"}
SHORT_FORMS = [(r"\bplease\b", ("pls", "plz")), (r"\byou\b", ("u",)), (r"\bare\b", ("r",)), (r"\bthanks\b", ("thx", "ty")),
               (r"\bthank you\b", ("thx", "ty", "thank u")), (r"\bwant to\b", ("wanna",)), (r"\bgoing to\b", ("gonna",)),
               (r"\bi would like\b", ("id like", "i'd like")), (r"\bbecause\b", ("cuz", "bc")), (r"\bwith\b", ("w/", "w")),
               (r"\band\b", ("n", "&")), (r"\bokay\b", ("ok", "k")), (r"\bwhat's\b", ("whats", "wats")), (r"\btwo\b", ("2",)),
               (r"\bone\b", ("1",)), (r"\bto\b", ("2",)), (r"\bfor\b", ("4",)), (r"\bdo not\b", ("dont",)), (r"\byour\b", ("ur",))]
OPENERS = ["hey ", "hi ", "hello ", "yo ", "hey there ", "um ", "hiya ", "ok so ", "so ", "good morning, ", "excuse me "]


def typo(word, rng):
    """One slip of the fingers: swap, drop, double or hit the key beside."""
    at = rng.randrange(len(word) - 1)
    kind = rng.random()
    if kind < 0.3:
        return word[:at] + word[at + 1] + word[at] + word[at + 2:]
    if kind < 0.6:
        return word[:at + 1] + word[at + 2:]
    if kind < 0.8:
        return word[:at] + word[at] + word[at:]
    return word[:at] + rng.choice(NEIGHBOURS.get(word[at].lower(), word[at].lower())) + word[at + 1:]


def sloppy(text, rng, amount=1.0):
    """The text as a hurried customer types it; amount 0 leaves it alone."""
    if rng.random() > 0.75 * amount:
        return text
    if rng.random() < 0.75:
        text = text.lower()
    if rng.random() < 0.6:
        text = re.sub(r"[.,!?;:]+(?=\s|$)", "", text)
    if rng.random() < 0.4:
        text = text.replace("'", "")
    for pattern, forms in SHORT_FORMS:
        if rng.random() < 0.25:
            text = re.sub(pattern, rng.choice(forms), text, flags=re.I)
    words = text.split(" ")
    rate = rng.choice((0, 0, 0.03, 0.08)) * amount
    return " ".join(typo(word, rng) if len(word) > 3 and rng.random() < rate else word for word in words)


def with_opener(text, rng, share=0.12):
    """Now and then a greeting in front, which the coffee data rarely have."""
    return rng.choice(OPENERS) + text[:1].lower() + text[1:] if rng.random() < share else text


def seeded(salt):
    return random.Random(f"{SEED}/{salt}")
