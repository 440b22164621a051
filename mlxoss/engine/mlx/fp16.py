"""A bfloat16 model recast to float16, where that does it no harm.

The GPUs of M1 and M2 have no bfloat16 arithmetic and emulate it; in float16 they prefill a fifth
to a third faster. But float16 ends at 65504, so whether a model fits is tried, not assumed.
"""

from __future__ import annotations

import mlx.core as mx

from mlxoss.engine.mlx.model import Network

HARMONY_IDS = (
    *(200006, 17360, 200008, 3575, 553, 17554, 162016, 11, 261, 4410, 6439, 2359, 22203, 656, 7788),
    *(17527, 558, 87447, 100594, 25, 220, 1323, 19, 12, 3218, 198, 6576, 3521, 25, 220, 1323, 20),
    *(12, 2290, 12, 2290, 279, 30377, 289, 25, 14093, 279, 2, 13888, 18403, 25, 8450, 11, 49159),
    *(11, 1721, 13, 21030, 2804, 413, 7360, 395, 1753, 3176, 13, 200007, 200006, 1428, 200008),
    *(5299, 1991, 9197, 8663, 553, 1354, 4895, 220, 1130, 30, 115474, 306, 1920, 40536, 13, 200007),
    *(200006, 173781),
)
"""A question in Harmony, as ids: the vocabulary may not be loaded yet."""

TRIAL_IDS = (*HARMONY_IDS, *range(7, 199_998, 3000))
"""What the two are compared on: it begins as every prompt does, and has words from everywhere."""

MOST_DEVIATION = 0.5
"""Of the logits, as a share of their spread. Rounding makes a few hundredths."""


def recast(model: Network) -> str | None:
    """Recast all bfloat16 parameters of an mlx-lm model to float16, in place.

    Those are the weights that are not quantised, and the scales and biases of affine groups,
    whose type is the one that the quantised products are computed in. Integers (packed weights,
    the scales of MXFP4) stay. Returns ``None``, or why the model is of no use now: a logit of
    ``TRIAL_IDS`` is not finite, the logits are not those of before, or not in float16.
    """
    before = _logits(model).astype(mx.float32)
    for module in model.modules():
        own = {name: value for name, value in module.items() if _is_bfloat16(value)}
        if own:
            # One module at a time, so that the memory never holds the model twice.
            module.update({name: value.astype(mx.float16) for name, value in own.items()})
            del own
            mx.eval([module[name] for name in module if isinstance(module[name], mx.array)])
    after = _logits(model)
    if after.dtype != mx.float16:
        # Some part has a type of its own, as an embedding in MXFP4, and the sum is a wider one.
        return f"some of it would be computed in {str(after.dtype).rpartition('.')[2]}"
    return compare(before, after.astype(mx.float32))


def has_bfloat16(model: Network) -> bool:
    """Whether there is anything to recast."""
    return any(_is_bfloat16(value) for module in model.modules() for value in module.values())


def compare(before: mx.array, after: mx.array) -> str | None:
    """What is wrong with the logits ``after``, both (positions, vocabulary) in float32."""
    if not mx.all(mx.isfinite(after)).item():
        return "values beyond 65504 come up"
    spread = mx.sqrt(mx.mean(mx.square(before - mx.mean(before, axis=-1, keepdims=True))))
    deviation = float(mx.sqrt(mx.mean(mx.square(after - before))) / spread)
    if deviation > MOST_DEVIATION:
        return f"the logits deviate by {deviation:.0%} of their spread"
    return None


def _is_bfloat16(value: object) -> bool:
    return isinstance(value, mx.array) and value.dtype == mx.bfloat16


def _logits(model: Network) -> mx.array:
    # MLX does not check indices: one beyond a smaller vocabulary reads other memory.
    ids = mx.array([TRIAL_IDS]) % model.args.vocab_size
    logits: mx.array = model(ids)[0]
    mx.eval(logits)
    return logits
