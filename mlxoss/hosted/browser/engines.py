"""The search engines: what each is asked, and what its answer says.

Sources: docs.searxng.org/dev/search_api; api-dashboard.search.brave.com (web search);
exa.ai/docs/reference/search; docs.tavily.com/api-reference/endpoint/search;
you.com/docs/api-reference/search/v1-search-post.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlencode

from mlxoss.hosted.browser.pages import MOST_HITS, Hit

_MOST_DOMAINS = 10
"""That a query names by ``site:``; hits of others are dropped anyway."""

_MOST_CHARS = 2_000
_SNIPPETS_CHARS = 500
_ASK_AGAIN = "it has had too many requests, or the account's are used up"


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What is sent: a GET, or with a ``body`` a POST of JSON. ``headers`` hold the key."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = None


class SearchEngine(ABC):
    """One that may be asked. ``is_own`` says that its address is the user's, public or not."""

    name: ClassVar[str]
    is_own: ClassVar[bool] = False

    @abstractmethod
    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """What to ask for ``query``, in ``domains`` alone (bare names) if there are any."""

    @abstractmethod
    def rows(self, answer: Any) -> Any:
        """Where the answer, JSON, has its list of hits. Raises KeyError or TypeError."""

    @abstractmethod
    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """A hit's text."""

    def hits(self, answer: Any) -> Iterator[Hit]:
        """The hits, of whatever quality. Raises KeyError or TypeError for what is no answer."""
        for row in self.rows(answer)[: 5 * MOST_HITS]:
            if isinstance(url := row.get("url"), str):
                yield Hit(url, _to_str(row.get("title")), _to_str(self.to_snippet(row)))

    def advise(self, status: int) -> str:
        """What an HTTP status means, as half a sentence."""
        if status in (401, 403):
            return f"it refuses the key; mlxoss tools enable browser --{self.name} takes another"
        if status in (402, 429, 432, 433):
            return _ASK_AGAIN
        return f"it answers with the status {status}"


@dataclass(frozen=True, slots=True)
class SearxngEngine(SearchEngine):
    """A SearXNG of the user's own, by its address."""

    url: str
    name = "searxng"
    is_own = True

    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """Of SearchEngine; ``site:`` is for the engines that it asks in its turn."""
        fields = {"q": _with_sites(query, domains), "format": "json"}
        return SearchRequest(f"{self.url.rstrip('/')}/search?{urlencode(fields)}")

    def rows(self, answer: Any) -> Any:
        """Of SearchEngine."""
        return answer["results"]

    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """Of SearchEngine."""
        return row.get("content")

    def advise(self, status: int) -> str:
        """Of SearchEngine. It answers 403 for each format that its settings do not list."""
        if status == 403:
            return "it gives no JSON: its settings.yml needs json in the list search.formats"
        if status in (301, 302, 303, 307, 308):
            return "it is elsewhere: the setting searxng_url has to name where it leads to"
        if status == 429:
            return "its limiter refuses this machine (server.limiter in its settings.yml)"
        return f"it answers with the status {status}"


@dataclass(frozen=True, slots=True)
class _Keyed(SearchEngine):
    """One that wants a key."""

    key: str = field(repr=False)

    def _post(self, url: str, fields: Mapping[str, Any], **headers: str) -> SearchRequest:
        headers = {"Content-Type": "application/json", **headers}
        return SearchRequest(url, headers, json.dumps(fields).encode())


class BraveEngine(_Keyed):
    """Brave Search."""

    name = "brave"

    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """Of SearchEngine."""
        fields = {"q": _with_sites(query, domains, 400), "count": MOST_HITS}
        url = f"https://api.search.brave.com/res/v1/web/search?{urlencode(fields)}"
        return SearchRequest(url, {"X-Subscription-Token": self.key})

    def rows(self, answer: Any) -> Any:
        """Of SearchEngine; without hits there is no ``web``."""
        return answer.get("web", {}).get("results", [])

    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """Of SearchEngine."""
        return row.get("description")


class ExaEngine(_Keyed):
    """Exa."""

    name = "exa"

    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """Of SearchEngine."""
        fields: dict[str, Any] = {"query": query, "numResults": MOST_HITS}
        fields["contents"] = {"highlights": {"maxCharacters": _SNIPPETS_CHARS}}
        if domains:
            fields["includeDomains"] = list(domains)
        return self._post("https://api.exa.ai/search", fields, **{"x-api-key": self.key})

    def rows(self, answer: Any) -> Any:
        """Of SearchEngine."""
        return answer["results"]

    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """Of SearchEngine."""
        return row.get("highlights")


class TavilyEngine(_Keyed):
    """Tavily."""

    name = "tavily"

    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """Of SearchEngine."""
        fields: dict[str, Any] = {"query": query[:400], "max_results": MOST_HITS}
        if domains:
            fields["include_domains"] = list(domains)
        url = "https://api.tavily.com/search"
        return self._post(url, fields, Authorization=f"Bearer {self.key}")

    def rows(self, answer: Any) -> Any:
        """Of SearchEngine."""
        return answer["results"]

    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """Of SearchEngine."""
        return row.get("content")


class YouEngine(_Keyed):
    """You.com."""

    name = "you"

    def to_request(self, query: str, domains: Sequence[str]) -> SearchRequest:
        """Of SearchEngine."""
        fields: dict[str, Any] = {"query": query, "count": MOST_HITS}
        if domains:
            fields["include_domains"] = list(domains)
        return self._post("https://ydc-index.io/v1/search", fields, **{"X-API-Key": self.key})

    def rows(self, answer: Any) -> Any:
        """Of SearchEngine; without hits there is no ``web``."""
        return answer["results"].get("web", [])

    def to_snippet(self, row: Mapping[str, Any]) -> Any:
        """Of SearchEngine."""
        return row.get("snippets") or row.get("description")


KEYED: Mapping[str, type[_Keyed]] = {
    engine.name: engine for engine in (BraveEngine, ExaEngine, TavilyEngine, YouEngine)
}
"""Those that want a key, by the words of the setting ``tool_browser``."""


def _with_sites(query: str, domains: Sequence[str], most_chars: int = _MOST_CHARS) -> str:
    sites = " OR ".join(f"site:{domain}" for domain in domains[:_MOST_DOMAINS])
    behind = f" ({sites})" if 0 < len(sites) < most_chars // 2 else ""
    return query[: most_chars - len(behind)] + behind


def _to_str(value: Any) -> str:
    if isinstance(value, list):
        return " … ".join(map(_to_str, value[:5]))
    return value if isinstance(value, str) else ""
