"""How the requests that wait, or whose prompt is computed, are told of. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlxoss.cli.printing import to_estimate

MOST_SHOWN = 4


def running_rows(found: object) -> Iterator[tuple[str, str]]:
    """A row for each of the first few that have no token yet; the counts tell of the others.

    ``found`` is the list ``running`` of ``/health``.
    """
    rows = [row for each in found if (row := _to_row(each))] if isinstance(found, list) else []
    yield from rows[:MOST_SHOWN]
    if len(rows) > MOST_SHOWN:
        yield "", f"and {len(rows) - MOST_SHOWN} more"


def _to_row(each: object) -> tuple[str, str] | None:
    if not isinstance(each, Mapping):
        return None
    left_s = each.get("left_s")
    estimate = to_estimate(left_s) if isinstance(left_s, (int, float)) else ""
    match each.get("state"):
        case "prefill":
            return "prefill", _prefill(each) + (f", {estimate} left" if estimate else "")
        case "queued":
            tokens = f"{_number(each, 'prompt_tokens'):,.0f} tokens"
            begins = f", may begin in {estimate}" if estimate else ""
            return "queued", f"{tokens}, place {each.get('place')}{begins}"
    return None


def _prefill(each: Mapping[str, object]) -> str:
    done, total = _number(each, "prefilled_tokens"), _number(each, "prompt_tokens")
    text = f"{done:,.0f} of {total:,.0f} tokens ({done / max(total, 1):.0%})"
    if cached := _number(each, "cached_tokens"):
        text += f", {cached:,.0f} of them cached"
    if rate := _number(each, "prefill_tokens_per_s"):
        text += f", {rate:.0f} tok/s"
    return text


def _number(each: Mapping[str, object], key: str) -> float:
    value = each.get(key)
    return value if isinstance(value, (int, float)) else 0
