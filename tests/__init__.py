"""The tests; before any of them imports numpy, how it computes."""

import os

# On several threads products of small matrices wait for each other wherever something else runs:
# 50 times as long beside a few busy loops.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
