"""Models that make calls of tools, whatever they are asked, then end their turn."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend
from tests.support.server.harness import MODEL
from tests.support.server.scripts import final, to_ids

LARGE = dataclasses.replace(MODEL, context_tokens=131_072)
THOUGHT = "<|channel|>analysis<|message|>The file is missing, so I make it.<|end|>"


def call(name: str, arguments: str | dict[str, Any]) -> str:
    """A turn that thinks and calls; text is what a custom tool takes."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    header = f"<|start|>assistant<|channel|>commentary to=functions.{name} <|constrain|>json"
    return f"{THOUGHT}{header}<|message|>{text}<|call|>"


_RESULT = "to=assistant<|channel|>commentary"


@dataclass
class Steps:
    """Writes the next of ``steps`` for each result in the prompt, at last an answer."""

    encoding: Encoding
    steps: Sequence[str]
    prompts: list[tuple[int, ...]] = field(default_factory=list)
    written: list[Sequence[int]] = field(default_factory=list)

    def __call__(self, request: GenerationRequest) -> Sequence[int]:
        self.prompts.append(request.prompt_ids)
        done = self.texts[-1].count(_RESULT)
        step = self.steps[done] if done < len(self.steps) else final("Made it.")
        self.written.append(to_ids(self.encoding, step))
        return self.written[-1]

    @property
    def texts(self) -> list[str]:
        """The prompts."""
        return [self.encoding.decode(prompt) for prompt in self.prompts]

    @property
    def are_spliced(self) -> bool:
        """Whether each prompt begins with the one before and all that was written then.

        So the reasoning came back to the token, and what was computed can be used again.
        """
        before = [[*prompt, *ids] for prompt, ids in zip(self.prompts, self.written, strict=True)]
        after = zip(before, self.prompts[1:], strict=False)
        return all(list(prompt[: len(ids)]) == ids for ids, prompt in after)

    def backend(self) -> ScriptedBackend:
        return ScriptedBackend(self)


@dataclass
class OneCall:
    """Writes ``first`` until a tool's result is in the prompt, then an answer."""

    encoding: Encoding
    first: str
    prompts: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, request: GenerationRequest) -> Sequence[int]:
        self.prompts.append(request.prompt_ids)
        has_result = _RESULT in self.last_prompt
        return to_ids(self.encoding, final("Made it.") if has_result else self.first)

    @property
    def last_prompt(self) -> str:
        return self.encoding.decode(self.prompts[-1])

    @property
    def is_spliced(self) -> bool:
        """Whether the last prompt begins with the one before and all that was written then.

        So the reasoning came back to the token, and what was computed can be used again.
        """
        before = [*self.prompts[-2], *to_ids(self.encoding, self.first)]
        return list(self.prompts[-1][: len(before)]) == before

    def backend(self) -> ScriptedBackend:
        return ScriptedBackend(self)
