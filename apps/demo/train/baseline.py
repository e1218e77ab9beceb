"""Linear models on word and character n-grams: the bar that every classifier has to clear, and its teachers.

    python3 baseline.py            # prints validation and test figures of each linear model
"""
import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.svm import LinearSVC

import corpus
from tokenizer import normalise


def features(train, others):
    """TF-IDF of words (1-2) and of characters within words (2-5), side by side; fitted on train."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"[^\s]+|[?!$]")
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2)
    clean = [[normalise(text, "encoder") for text in texts] for texts in (train, *others)]
    fitted = hstack([words.fit_transform(clean[0]), letters.fit_transform(clean[0])]).tocsr()
    return [fitted] + [hstack([words.transform(texts), letters.transform(texts)]).tocsr() for texts in clean[1:]]


def scores(truth, predicted):
    return f"accuracy {accuracy_score(truth, predicted):.4f}, macro F1 {f1_score(truth, predicted, average='macro'):.4f}"


def report(name, train, parts):
    x_train, *x_parts = features([text for text, _ in train], [[text for text, _ in rows] for rows in parts.values()])
    y_train = np.array([label for _, label in train])
    for title, model in (("linear SVM C=0.5", LinearSVC(C=0.5, random_state=corpus.SEED)),
                         ("logistic regression C=20", LogisticRegression(C=20, solver="liblinear", random_state=corpus.SEED))):
        model.fit(x_train, y_train)
        for (part, rows), x in zip(parts.items(), x_parts):
            print(f"{name}: {title}, {part}: {scores([label for _, label in rows], model.predict(x))}", flush=True)


if __name__ == "__main__":
    options = corpus.arguments(__doc__).parse_args()
    for name, (train, validation, test) in (("banking-intent", corpus.banking(options.data)),
                                            ("finance-sentiment", corpus.sentiment(options.data))):
        report(name, train, {"validation": validation, "test": test})
        report(f"{name}, validation rows learnt too", train + validation, {"test": test})
