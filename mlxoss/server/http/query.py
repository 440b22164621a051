"""What a URL asks behind its path."""

from __future__ import annotations

from sanic import Request

from mlxoss.api.errors import invalid


def read_query(http: Request) -> dict[str, str]:
    """The query's values by name, empty ones too: they were sent."""
    args = http.get_args(keep_blank_values=True)
    return {name: str(args.get(name)) for name in args}


def read_flag(http: Request, name: str) -> bool:
    """Whether ``name`` is true, which nothing is where it is not there. Raises InvalidRequest."""
    text = read_query(http).get(name, "false")
    if text.lower() not in ("true", "false"):
        raise invalid(name, "it should be 'true' or 'false'")
    return text.lower() == "true"


def read_list(http: Request, name: str) -> list[str]:
    """All values of ``name``, also those that it has as ``name[]``, as Anthropic's clients send."""
    args = http.get_args()
    return [str(value) for key in (name, f"{name}[]") for value in args.getlist(key) or ()]
