"""What a graph that MLX has not computed yet is made of."""

from __future__ import annotations

import io

import mlx.core as mx


def count_operations(output: mx.array) -> int:
    """Those that lead to ``output``; what a compiled function computes in one kernel is one."""
    text = io.StringIO()
    mx.export_to_dot(text, output)
    return text.getvalue().count("shape=rectangle")
