"""Byte-level BPE: learns merges, encodes exactly as the served tokenizer.json does, and writes that file.

Training tokens must be serving tokens: check_tokenizers.mjs compares this encoder with @huggingface/tokenizers on all data.
Two vocabularies: `decoder` (barista, barista-mini: case kept) and `encoder` (the three classifiers: lower-cased, links
collapsed, inside tokenizer.json so that callers pass raw text).
"""
import collections
import heapq
import json
import os
import re

import corpus

PRETOKEN = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
LINK = "https?://\\S+"
QUOTES = [("\u2019", "'"), ("\u2018", "'"), ("\u201c", '"'), ("\u201d", '"')]
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] | trim + '<|end|>' }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|agent|>' + message['content'] | trim + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|agent|>' }}{% endif %}")
LEAD_TOKEN = {  # classifiers see <|cls|> first: a mark of the beginning, and no input is ever empty
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|cls|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": "<|cls|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<|cls|>": {"id": "<|cls|>", "ids": [1], "tokens": ["<|cls|>"]}},
}
KINDS = {
    "decoder": {"size": 2048, "specials": ["<|begin|>", "<|user|>", "<|agent|>", "<|end|>", "<|pad|>"], "lower": False},
    "encoder": {"size": 6144, "specials": ["<|pad|>", "<|cls|>", "<|mask|>"], "lower": True},
}


def byte_alphabet():
    """GPT-2's printable stand-in for every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


ALPHABET = byte_alphabet()


def normalise(text, kind):
    """What normalizer (and, for encoders, add_prefix_space) in tokenizer.json do."""
    for curly, straight in QUOTES:
        text = text.replace(curly, straight)
    if not KINDS[kind]["lower"]:
        return text
    text = re.sub(LINK, "link", text).lower()
    return text if text[:1].isspace() or not text else " " + text


def words_of(text, kind):
    """Pre-tokens, in the byte alphabet."""
    return ["".join(ALPHABET[byte] for byte in word.encode()) for word in PRETOKEN.findall(normalise(text, kind))]


def learn_merges(texts, kind):
    """The classic: merge the most frequent pair until the vocabulary is full. Ties go to the smaller pair."""
    counts = collections.Counter(word for text in texts for word in words_of(text, kind))
    words = [(list(word), count) for word, count in sorted(counts.items())]
    pairs, where = collections.Counter(), collections.defaultdict(set)
    for index, (symbols, count) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += count
            where[pair].add(index)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    wanted = KINDS[kind]["size"] - len(KINDS[kind]["specials"]) - 256
    merges = []
    while len(merges) < wanted and heap:
        count, pair = heapq.heappop(heap)
        if -count != pairs[pair] or count == 0:
            continue
        merges.append(pair)
        touched = set()
        for index in sorted(where.pop(pair)):
            symbols, weight = words[index]
            for old in zip(symbols, symbols[1:]):
                pairs[old] -= weight
                touched.add(old)
            merged = merge(symbols, pair)
            words[index] = (merged, weight)
            for new in zip(merged, merged[1:]):
                pairs[new] += weight
                where[new].add(index)
                touched.add(new)
        for changed in touched:
            if pairs[changed] > 0:
                heapq.heappush(heap, (-pairs[changed], changed))
    return merges


def merge(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] == pair[0] and symbols[i + 1] == pair[1]:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


class Tokenizer:
    """Encodes plain text (special tokens are added by the caller, by id)."""

    def __init__(self, path, kind):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)["model"]
        self.kind, self.ids = kind, model["vocab"]
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
        self.cache = {}

    def encode(self, text):
        return [token for word in words_of(text, self.kind) for token in self.encode_word(word)]

    def encode_word(self, word):
        if word not in self.cache:
            symbols = list(word)
            while len(symbols) > 1:
                best = min(zip(symbols, symbols[1:]), key=lambda pair: self.ranks.get(pair, 1 << 30))
                if best not in self.ranks:
                    break
                symbols = merge(symbols, best)
            self.cache[word] = [self.ids[symbol] for symbol in symbols]
        return self.cache[word]


def write_files(folder, kind, merges, max_length):
    """tokenizer.json and tokenizer_config.json in Hugging Face's format."""
    specials = KINDS[kind]["specials"]
    vocabulary = specials + [ALPHABET[byte] for byte in range(256)] + [a + b for a, b in merges]
    replaces = [{"type": "Replace", "pattern": {"String": curly}, "content": straight} for curly, straight in QUOTES]
    if KINDS[kind]["lower"]:
        replaces += [{"type": "Replace", "pattern": {"Regex": LINK}, "content": "link"}, {"type": "Lowercase"}]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, token in enumerate(specials)],
        "normalizer": {"type": "Sequence", "normalizers": replaces},
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": KINDS[kind]["lower"], "trim_offsets": True, "use_regex": True},
        "post_processor": LEAD_TOKEN if kind == "encoder" else None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(vocabulary)}, "merges": [list(pair) for pair in merges]},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length, "pad_token": "<|pad|>",
              "clean_up_tokenization_spaces": False, "padding_side": "right"}
    if kind == "decoder":
        config.update(bos_token="<|begin|>", eos_token="<|end|>", add_bos_token=False, add_eos_token=False,
                      padding_side="left", chat_template=CHAT_TEMPLATE)
    else:
        config.update(cls_token="<|cls|>", mask_token="<|mask|>")
    os.makedirs(folder, exist_ok=True)
    for name, content, indent in (("tokenizer.json", tokenizer, None), ("tokenizer_config.json", config, 2)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=indent)
            file.write("\n")


def decoder_texts(data):
    """Training dialogues only, each user turn also as it is typed sloppily."""
    rng = corpus.seeded("tokenizer")
    for dialogue in corpus.split_dialogues(data)["train"]:
        for speaker, text in dialogue:
            yield text
            if speaker == "user":
                yield corpus.sloppy(text, rng)


def encoder_texts(data):
    """Training text of all classifiers, pooled."""
    for dialogue in corpus.split_dialogues(data)["train"]:
        yield from (text for speaker, text in dialogue if speaker == "user")
    rows = corpus.banking(data)[0] + corpus.sentiment(data)[0] + corpus.clinc(data, "train") + corpus.clinc(data, "oos_train")
    yield from (text for text, _ in rows)


if __name__ == "__main__":
    options = corpus.arguments(__doc__).parse_args()
    decoder_merges = learn_merges(list(decoder_texts(options.data)), "decoder")
    for name in ("barista", "barista-mini"):
        write_files(os.path.join(corpus.MODELS_DIR, name), "decoder", decoder_merges, 512)
    encoder_merges = learn_merges(list(encoder_texts(options.data)), "encoder")
    for name in ("banking-intent", "finance-sentiment", "front-desk"):
        write_files(os.path.join(corpus.MODELS_DIR, name), "encoder", encoder_merges, 128)
    print(f"decoder merges {len(decoder_merges)}, encoder merges {len(encoder_merges)}")
