"""Which program asks, as a short name.

There are as many names as in the table, and as API keys: no client can invent more.
"""

from __future__ import annotations

OTHER = "other"
_MOST_CHARS = 512

_NAMES: tuple[tuple[str, str], ...] = (
    ("codex", "codex"),
    ("claude-cli/", "claude-code"),
    ("claude-code/", "claude-code"),
    ("opencode/", "opencode"),
    ("mlxoss/", "mlxoss"),
    ("open-webui", "open-webui"),
    ("litellm/", "litellm"),
    ("zed/", "zed"),
    ("goose/", "goose"),
    ("jan/", "jan"),
    ("ai-sdk/", "ai-sdk"),
    ("openai/python", "openai-python"),
    ("openai/js", "openai-node"),
    ("anthropic/python", "anthropic-python"),
    ("anthropic/js", "anthropic-node"),
    ("curl/", "curl"),
    ("python-requests/", "python"),
    ("python-httpx/", "python"),
    ("python-urllib/", "python"),
    ("aiohttp/", "python"),
    ("undici", "node"),
    ("node", "node"),
    ("axios/", "node"),
    ("bun/", "node"),
    ("go-http-client/", "go"),
    ("okhttp/", "java"),
    ("mozilla/", "browser"),
    ("cfnetwork/", "cfnetwork"),
)
"""What stands in a User-Agent, in small letters, and who that is; the first counts."""


def name_client(user_agent: str, key_name: str | None) -> str:
    """The name of the key, if one was used, else what the User-Agent header tells."""
    if key_name is not None:
        return key_name
    told = user_agent[:_MOST_CHARS].lower()
    return next((name for part, name in _NAMES if part in told), OTHER)
