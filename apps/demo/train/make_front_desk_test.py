"""front-desk's held-out set as CSV `text,label`, so that it can be measured through the runtime too.

    python3 make_front_desk_test.py > front-desk-test.csv

Recipe: coffee = customers' turns of the held-out Taskmaster dialogues; banking = banking77_test and clinc150's banking and
credit-card intents (test); finance = sent_valid, half of it wrapped in a question, mostly without links; other = clinc150's
remaining test intents and oos_test, less the out-of-scope questions that name stocks, shares or coffee: their desk is
disputable.
"""
import csv
import sys

import corpus
from tasks import front_desk


def rows(data):
    return front_desk(data)[2]


if __name__ == "__main__":
    options = corpus.arguments(__doc__).parse_args()
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("text", "label"))
    writer.writerows(rows(options.data))
