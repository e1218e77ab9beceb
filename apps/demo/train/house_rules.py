"""What a counter has to say that Taskmaster's orders do not teach: greetings, thanks, prices, what is in which drink, how an
order is put right, and that only drinks are sold here.

Written for this project; the off-topic questions are front-desk's training rows of the other desks. Taskmaster dialogues alone
taught the model to call the weather a coffee concentrate.
"""
from tasks import DRINKS, task

GREETINGS = ["hi", "hello", "hey", "good morning", "hi there", "hey how are you", "good afternoon", "morning", "yo", "hello there",
             "hi, are you open?", "hey, what's up", "hello, anyone there?", "hi how's it going", "howdy"]
WELCOMES = ["Hi! What can I get for you?", "Hello! What would you like to drink?", "Welcome! What can I get started for you?"]
THANKS = ["thanks", "thank you", "thanks a lot", "thank you so much", "cheers", "great, thanks", "awesome thank you", "bye",
          "thanks, bye", "have a good day", "you too", "see you", "goodbye", "that's all, thank you", "ok thanks"]
FAREWELLS = ["You're welcome! Enjoy your drink.", "Thank you! Have a great day.", "My pleasure. See you next time!"]
ONLY_COFFEE = ["Sorry, I can only help with coffee and tea here. What can I get for you?",
               "I'm afraid I only take drink orders. Would you like something to drink?",
               "That's beyond me, I just make coffee. Can I get you a drink?"]
UNCLEAR = ["?", "...", "asdf", "hmm", "what", "huh", "lol", "test", "ok", "i dont know", "not sure yet", "let me think", "um", "wait"]
PATIENCE = ["Take your time. What can I get for you?", "No rush! Tell me when you are ready to order."]
PRICE_QUESTIONS = ["how much is a {}", "how much is the {}?", "what does a {} cost", "price of a {}", "how much for a {}?"]
PRICES = ["The prices are on the board at the counter. Would you like one?", "Please see the board for prices. Shall I make you one?"]
FACT_QUESTIONS = ["what's in a {}", "what is a {}?", "whats in the {}", "what's in a {}?", "tell me about the {}", "what is in a {} exactly?"]
FACTS = {
    "mocha": "A mocha is espresso with chocolate sauce and steamed milk.", "latte": "A latte is espresso with steamed milk and a little foam.",
    "cappuccino": "A cappuccino is espresso with steamed milk and a thick layer of foam.", "americano": "An americano is espresso and hot water.",
    "macchiato": "A macchiato is espresso marked with a little foamed milk.", "cortado": "A cortado is espresso with an equal part of warm milk.",
    "chai latte": "A chai latte is spiced black tea with steamed milk.", "cold brew": "The cold brew is coffee steeped cold, with ice.",
    "flat white": "A flat white is espresso with steamed milk and microfoam.", "matcha latte": "A matcha latte is green tea powder with steamed milk.",
    "espresso": "An espresso is a small, strong coffee.", "steamer": "A steamer is steamed milk with syrup, without coffee.",
}
REPAIRS = ["no, make it {}", "actually make that {}", "can you change it to {}", "no i wanted {}", "wait, {} please", "not quite, i said {}"]
REPAIRED = ["Okay, I've changed that. Does it look right now?", "Sorry about that. Is it correct now?", "Sure, I've updated your order. Is that correct?"]
VARIANTS = ["soy milk", "oat milk", "almond milk", "decaf", "a large one", "a small one", "whole milk", "two of them", "it iced", "a mocha", "no sugar"]
CHANGES_OF_MIND = ["never mind", "cancel that", "actually forget it", "i changed my mind", "cancel my order please",
                   "no thanks, i don't want it anymore", "forget the order"]
CANCELLED = ["No problem, I've cancelled that. Can I get you something else?", "Okay, the order is cancelled. Anything else I can get you?"]


def off_topic_texts(data):
    return [text for text, desk in task("front-desk", data)["train"] if desk != "coffee" and "coffee" not in text.lower()]


def dialogues(off_topic, taskmaster, count, rng):
    """count dialogues: some stand alone, some come before, within or after a Taskmaster order."""
    exchanges = [(lambda: rng.choice(off_topic), ONLY_COFFEE, 8), (lambda: rng.choice(GREETINGS), WELCOMES, 4),
                 (lambda: rng.choice(UNCLEAR), PATIENCE, 1),
                 (lambda: rng.choice(PRICE_QUESTIONS).format(rng.choice(DRINKS)), PRICES, 2)]
    facts = [(lambda drink=drink: rng.choice(FACT_QUESTIONS).format(drink), [fact], 0.7) for drink, fact in FACTS.items()]
    exchanges += facts
    weights = [weight for _, _, weight in exchanges]
    for _ in range(count):
        user, answers, _ = rng.choices(exchanges, weights)[0]
        exchange = [("user", user()), ("agent", rng.choice(answers))]
        order = rng.choice(taskmaster)
        end = rng.random()
        closing = ([("user", rng.choice(THANKS)), ("agent", rng.choice(FAREWELLS))] if end < 0.4 else
                   [("user", rng.choice(CHANGES_OF_MIND)), ("agent", rng.choice(CANCELLED))] if end < 0.5 else [])
        place = rng.random()
        if place < 0.4:
            yield exchange
        elif place < 0.5 and len(order) == 4:
            repair = [("user", rng.choice(REPAIRS).format(rng.choice(VARIANTS))), ("agent", rng.choice(REPAIRED))]
            yield order[:2] + repair + order[2:] + closing
        elif place < 0.7:
            yield exchange + order + closing
        else:
            yield order + (closing or exchange)
