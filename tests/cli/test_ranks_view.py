"""The rows of ``mlxoss status`` about hosts that share a model."""

from __future__ import annotations

from mlxoss.cli.status.ranks import ranks_rows

RANKS = {
    "backend": "ring",
    "communication_s_per_step": 0.00712,
    "ranks": [
        {
            "rank": 0,
            "host": "mac-a",
            "pid": 41,
            "memory": {
                "active_bytes": 33_000_000_000,
                "peak_bytes": 34_000_000_000,
                "cache_bytes": 5,
            },
            "silent_s": 0.0,
        },
        {"rank": 1, "host": "mac-b", "pid": None, "memory": {}, "silent_s": 12.4},
    ],
}


def test_a_row_for_each_rank_and_one_for_all() -> None:
    assert list(ranks_rows(RANKS)) == [
        ("rank 0", "mac-a, pid 41, active 33.0 GB, peak 34.0 GB"),
        ("rank 1", "mac-b, silent for 12 s"),
        ("ranks", "ring, 7.1 ms of each step to communicate (1 sequence)"),
    ]
    assert not list(ranks_rows(None))


def test_what_a_rank_has_wired_is_shown() -> None:
    memory = {"active_bytes": 33_000_000_000, "wired_bytes": 32_500_000_000}
    (row,) = ranks_rows({"ranks": [{"rank": 1, "host": "mac-b", "memory": memory}]})
    assert row == ("rank 1", "mac-b, active 33.0 GB, wired 32.5 GB")
