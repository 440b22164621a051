"""Stop strings in a stream of text."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class StopMatcher:
    """Finds the first of several stop strings, whatever chunks the text comes in.

    The occurrence that is complete first wins; of several that end at the same
    character, the longest. So the result never depends on the chunks, and nothing
    is held back but the tail that may still become a stop string. An empty stop
    string stops nothing.

    ``hit`` is the stop string that was found.

    Time is linear in the text (an Aho-Corasick automaton), whatever the stop
    strings look like.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._prefix: list[str] = [""]
        self._length: list[int] = [0]
        self._stop_length: list[int] = [0]
        for stop in stops:
            self._add(stop)
        self._fallback = self._link()
        self._node = 0
        self.hit: str | None = None

    def push(self, text: str) -> tuple[str, bool]:
        """Take more text; return what is safe to emit and whether a stop string was hit.

        The stop string and everything after it is never returned. After a hit
        the answer is always ``("", True)``.
        """
        if self.hit is not None:
            return "", True
        held_node, held = self._node, self._length[self._node]
        for position, char in enumerate(text, 1):
            self._node = self._next(self._node, char)
            if stop := self._stop_length[self._node]:
                self.hit = self._stop_of(self._node, stop)
                return self._take(held_node, text, held + position - stop), True
        return self._take(held_node, text, held + len(text) - self._length[self._node]), False

    def flush(self) -> str:
        """Return the text held back, once no more follows; empty after a hit."""
        if self.hit is not None:
            return ""
        node, self._node = self._node, 0
        return self._take(node, "", self._length[node])

    def _stop_of(self, node: int, length: int) -> str:
        """The stop string of ``length`` characters that ``node`` ends with."""
        while self._length[node] != length:
            node = self._fallback[node]
        return self._prefix[node][:length]

    def _take(self, node: int, text: str, count: int) -> str:
        """The first ``count`` characters of what ``node`` held back, then ``text``."""
        held = self._length[node]
        if count <= held:
            return self._prefix[node][:count]
        return self._prefix[node][:held] + text[: count - held]

    def _next(self, node: int, char: str) -> int:
        while char not in self._children[node]:
            if node == 0:
                return 0
            node = self._fallback[node]
        return self._children[node][char]

    def _add(self, stop: str) -> None:
        node = 0
        for length, char in enumerate(stop, 1):
            child = self._children[node].get(char)
            if child is None:
                child = len(self._children)
                self._children[node][char] = child
                self._children.append({})
                # Held-back text is a prefix of some stop string: its length and
                # that string stand for it, so nothing is copied while it grows.
                self._prefix.append(stop)
                self._length.append(length)
                self._stop_length.append(0)
            node = child
        self._stop_length[node] = self._length[node]

    def _link(self) -> list[int]:
        """For each node the longest proper suffix of its text that is a node too."""
        fallback = [0] * len(self._children)
        self._fallback = fallback
        queue = deque(self._children[0].values())
        while queue:
            node = queue.popleft()
            for char, child in self._children[node].items():
                fallback[child] = self._next(fallback[node], char)
                if not self._stop_length[child]:
                    self._stop_length[child] = self._stop_length[fallback[child]]
                queue.append(child)
        return fallback
