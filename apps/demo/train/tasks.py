"""What each classifier learns from: rows, labels and splits, as (text, label) lists.

front-desk's four labels are put together here from all data sets.
"""
import re

import corpus

TASKS = ("banking-intent", "finance-sentiment", "front-desk")
DESKS = ["coffee", "banking", "finance", "other"]


def task(name, data):
    """{name, labels, train, validation, test}"""
    maker = {"banking-intent": corpus.banking, "finance-sentiment": corpus.sentiment, "front-desk": front_desk}[name]
    train, validation, test = maker(data)
    labels = {"finance-sentiment": corpus.SENTIMENTS, "front-desk": DESKS}.get(name) or sorted({label for _, label in train})
    return {"name": name, "labels": labels, "train": train, "validation": validation, "test": test}


def coffee_turns(data, part):
    """Customers' turns that say something about coffee: a first turn, or one of four words and more that is no mere yes."""
    turns = []
    for dialogue in corpus.split_dialogues(data)[part]:
        for at, (speaker, text) in enumerate(dialogue):
            if speaker == "user" and (at == 0 or (len(text.split()) >= 4 and not ASSENT.search(text))):
                turns.append(text)
    return sorted(set(turns))


ASSENT = re.compile(r"\b(yes|yep|yeah|yup|correct|right|good|perfect|great|looks?|sure|fine|thanks|thank you|that's it)\b", re.I)
WRAPPERS = [
    "what do you make of this headline: {}", "is this good for the stock? {}", "{} good sign?", "{} - bullish or bearish?",
    "{} is that good or bad for the shares?", "how will the market take this: {}", "should i be worried about this news: {}",
    "sentiment on this please: {}", "read this for me: {}", "{}, what does that mean for investors?", "headline: {}",
    "would you buy after this? {}", "{} thoughts?", "is this bearish: {}", "what's your take on {}", "just saw this: {}",
]


def as_asked(text, rng):
    """A headline as a customer brings it: bare, or wrapped in a question, mostly without its link."""
    text = re.sub(r"\s*https?://\S+", "", text) if rng.random() < 0.7 else text
    return rng.choice(WRAPPERS).format(text) if rng.random() < 0.5 else text


DRINKS = ["latte", "oat latte", "mocha", "cappuccino", "americano", "espresso", "double espresso", "macchiato", "chai latte",
          "matcha latte", "cold brew", "flat white", "tea", "mint tea", "earl grey", "hot chocolate", "steamer", "coffee",
          "black coffee", "iced coffee", "decaf", "cup of coffee", "iced latte", "drip coffee", "cortado"]
ORDERS = ["{}", "{} please", "one {}", "two {}s", "can i get a {}", "a {} to go", "how much is a {}", "do you have {}",
          "large {} with oat milk", "small {} no sugar", "{} with extra foam", "gimme a {}", "i need a {}", "whats in a {}",
          "does the {} have milk in it", "is there caffeine in the {}", "can you make a {} with almond milk", "a {} for here",
          "make that a {}", "i'm dying for a {}", "the usual, a {}", "add whipped cream to my {}", "any vegan milk for the {}"]


FOODS = ["croissant", "muffin", "bagel", "cookie", "scone", "sandwich", "brownie", "piece of banana bread"]
FOOD_ORDERS = ["{} please", "can i get a {}", "how much is a {}", "do you have a {} too", "one {} and a coffee", "a {} to go", "add a {}"]
COMPANIES = ["apple", "tesla", "nvidia", "amazon", "microsoft", "google", "boeing", "ford", "netflix", "disney", "intel", "amd",
             "facebook", "meta", "walmart", "starbucks", "pfizer", "exxon", "chase", "goldman", "nike", "uber", "gm", "delta",
             "coca cola", "pepsi", "oracle", "ibm", "cisco", "alibaba", "shell", "bp", "target", "costco", "visa", "paypal"]
STOCK_QUESTIONS = [
    "is {} stock a buy", "should i sell my {} shares", "should i buy {} stock", "what's going on with {} stock",
    "{} shares are down 5%, why?", "{} beat earnings, good sign?", "{} missed estimates, how bad is it", "is {} overvalued",
    "what do analysts say about {}", "{} got downgraded, should i worry?", "{} raised guidance, bullish?", "why is {} stock up today",
    "will {} stock go up after earnings", "{} price target cut, sell?", "is the {} dividend safe", "thoughts on {} earnings?",
    "bullish or bearish on {}?", "{} earnings tomorrow, what to expect", "{} to the moon", "should i hold {} after the downgrade?"]
MARKET_QUESTIONS = [
    "how is the stock market doing", "is the market going to crash", "fed raises rates, bad for stocks?", "are bonds a good buy now",
    "is the s&p 500 up today", "how did the dow close", "nasdaq is falling, what should i do with my stocks", "oil prices up, who gains?",
    "which stocks should i buy", "is inflation bad for my portfolio", "what's moving the market today", "good dividend stocks?",
    "is now a good time to invest in stocks", "what does the inverted yield curve mean for stocks", "any ipo worth buying"]
OFF_TOPIC = ["hi", "hello", "hey", "hi there", "yo", "good morning", "how are you", "thanks", "thank you", "bye", "ok", "cool", "lol", "yes",
             "no", "nope", "yep", "sure", "what", "help", "can you help me", "i have a question", "who are you", "asdf", "test", "?", "..."]
DISPUTED = re.compile(r"\b(stocks?|shares?|dow|nasdaq|invest\w*|coffee|latte|espresso|starbucks)\b", re.I)


def templated(rng):
    """Short ways of asking that the data sets lack; they go into training only."""
    tickers = ["$" + name for name in ("AAPL", "TSLA", "NVDA", "AMZN", "MSFT", "GOOG", "BA", "F", "NFLX", "DIS", "INTC", "AMD")]
    return ([(corpus.with_opener(order.format(drink), rng, 0.3), "coffee") for drink in DRINKS for order in ORDERS]
            + [(order.format(food), "coffee") for food in FOODS for order in FOOD_ORDERS]
            + [(question.format(name), "finance") for name in COMPANIES + tickers for question in STOCK_QUESTIONS]
            + [(question, "finance") for question in MARKET_QUESTIONS for _ in range(10)]
            + [(text, "other") for text in OFF_TOPIC for _ in range(20)])


def front_desk(data):
    """train, validation, test rows (text, desk)."""
    rows = {}
    parts = {"train": ("train", "train", "oos_train"), "validation": ("validation", "val", "oos_val"), "test": ("test", "test", "oos_test")}
    banking = dict(zip(parts, corpus.banking(data)))
    finance = dict(zip(parts, corpus.sentiment(data)))
    for part, (dialogues, clinc, oos) in parts.items():
        rng = corpus.seeded(f"front-desk/{part}")
        rows[part] = [(text, "coffee") for text in coffee_turns(data, dialogues)]
        rows[part] += [(text, "banking") for text, _ in banking[part]]
        rows[part] += [(as_asked(text, rng), "finance") for text, _ in finance[part]]
        rows[part] += [(text, "banking" if intent in corpus.BANKING_DOMAINS else "other")
                       for text, intent in corpus.clinc(data, clinc) + corpus.clinc(data, oos)
                       if intent != "oos" or not DISPUTED.search(text)]
    rows["train"] += templated(corpus.seeded("front-desk/templates"))
    held_out = rows["validation"] + rows["test"]
    return corpus.without(rows["train"], held_out), corpus.without(rows["validation"], rows["test"]), rows["test"]


def trunk_tasks(data):
    """The tasks the shared trunk is trained on, and plain coffee text for its masked words."""
    clinc = {"name": "clinc", "train": corpus.clinc(data, "train") + corpus.clinc(data, "oos_train"),
             "validation": corpus.clinc(data, "val")}
    clinc["labels"] = sorted({intent for _, intent in clinc["train"]})
    clinc["train"] = corpus.without(clinc["train"], task("front-desk", data)["test"])
    return [*(task(name, data) for name in TASKS), clinc], coffee_turns(data, "train")
