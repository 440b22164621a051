"""From a validated chat request to Harmony's conversation and the engine's parameters."""

from __future__ import annotations

import datetime

from mlxoss.api.chat.answer_form import read_answer_form
from mlxoss.api.chat.items import to_items
from mlxoss.api.chat.request import ChatRequest
from mlxoss.api.chat.tools import to_call_rules, to_tools
from mlxoss.api.errors import unsupported
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.hosted.declared import (
    DeclaredBrowser,
    DeclaredPython,
    HostedDeclared,
    HostedOffer,
)
from mlxoss.api.params import to_effort, to_verbosity_line
from mlxoss.api.sampling import to_sampling
from mlxoss.api.tool_choice import OtherTools, read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.api.turn_rules import needs_grammar, to_turn_rules
from mlxoss.core import Effort
from mlxoss.harmony.conversation import Conversation

_SEPARATOR = "\n\n"
_NOTHING = HostedOffer()


def read_hosted(request: ChatRequest, offer: HostedOffer) -> HostedDeclared:
    """The tools of this server that ``request`` asks for.

    Raises InvalidRequest, naming the field, for one that ``offer`` has not.
    """
    template = request.chat_template_kwargs
    builtins = template.builtin_tools if template and template.builtin_tools else []
    named = dict.fromkeys(builtins, "chat_template_kwargs.builtin_tools")
    if request.web_search_options is not None:
        named["browser"] = "web_search_options"
    for name, is_here in (("browser", offer.browser), ("python", offer.python)):
        if name in named and not is_here:
            does_not = "search the web" if name == "browser" else "run code"
            command = f"'mlxoss tools enable {name}'"
            raise unsupported(named[name], f"this server does not {does_not}: see {command}")
    if named and request.n not in (None, 1):
        raise unsupported("n", "an answer that uses this server's tools is one")
    return HostedDeclared(
        python=DeclaredPython() if "python" in named else None,
        browser=DeclaredBrowser() if "browser" in named else None,
    )


def to_turn_request(
    request: ChatRequest,
    *,
    date: datetime.date,
    turns: ExactTurns | None = None,
    offer: HostedOffer = _NOTHING,
) -> TurnRequest:
    """Convert; raises InvalidRequest, naming the field, for what only the content shows.

    ``turns`` are the exact turns known for ``issued_call_ids(request.messages)``, ``offer`` is what
    this server runs itself.
    """
    hosted = read_hosted(request, offer)
    leading, items = to_items(request.messages, turns)
    instructions = [text for text in (leading, to_verbosity_line(request.verbosity)) if text]
    form = read_answer_form(request)
    declared = to_call_rules(request.tools or [])
    others = OtherTools(builtins={one.name: one.name for one in hosted.builtins})
    choice = read_tool_choice(request.tool_choice, declared, others)
    is_without = request.tool_choice == "none"
    conversation = Conversation(
        items=items,
        date=date,
        instructions=_SEPARATOR.join(instructions) or None,
        tools=() if is_without else to_tools(request.tools or []),
        builtins=() if is_without else hosted.builtins,
        response_format=form.shown,
        effort=_to_effort(request),
    )
    return TurnRequest(
        conversation=conversation,
        sampling=to_sampling(request, logprobs=bool(request.logprobs)),
        prompt_param="messages",
        max_tokens=request.max_completion_tokens or request.max_tokens,
        choices=request.n or 1,
        stops=tuple(request.stop or ()),
        single_call=request.parallel_tool_calls is False,
        rules=to_turn_rules(
            choice,
            form.body,
            parallel_calls=request.parallel_tool_calls,
            final_param=form.param,
            builtins=hosted.builtins,
        ),
        needs_grammar=needs_grammar(choice, declared, form.grammar_param, others),
        cache_key=request.prompt_cache_key,
    )


def _to_effort(request: ChatRequest) -> Effort:
    reasoning, template = request.reasoning, request.chat_template_kwargs
    word = (
        request.reasoning_effort
        or (reasoning and reasoning.effort)
        or (template and template.reasoning_effort)
    )
    return to_effort(word or None)
