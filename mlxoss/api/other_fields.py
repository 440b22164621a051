"""Fields that mean something to another API, and what they are called here. One table for all.

Unknown fields are accepted and dropped, so that a client may send what serves its own server
alone. These would change the answer, so they are refused by name instead.

Sources: the API references of OpenAI and Anthropic; vLLM, llama.cpp's server, Ollama and
OpenRouter for the fields that they add.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mlxoss.api.errors import unsupported
from mlxoss.api.validation import StrictModel
from mlxoss.core import JsonObject

CHAT = "chat"
COMPLETIONS = "completions"
RESPONSES = "responses"
MESSAGES = "messages"
OLLAMA = "ollama"

_NOWHERE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Meaning:
    """What several words ask for, and what to do about them: by API, and ``otherwise``.

    What is null, false or empty asks for nothing, and so do the values in ``nothing``; where true
    is among those, false asks for something.
    """

    words: tuple[str, ...]
    otherwise: str = ""
    here: Mapping[str, str] = field(default_factory=lambda: _NOWHERE)
    nothing: tuple[object, ...] = ()

    def advice(self, api: str) -> str:
        """What to do about the word in a request to ``api``."""
        return self.here.get(api, self.otherwise)

    def is_asked(self, value: object) -> bool:
        """Whether ``value`` would change an answer."""
        if value is None or value in ("", [], {}):
            return False
        if value is False:
            return any(each is True for each in self.nothing)
        return not any(type(value) is type(each) and value == each for each in self.nothing)


def _named(**words: str) -> Mapping[str, str]:
    return MappingProxyType({api: f"here it is '{word}'" for api, word in words.items()})


def _everywhere(word: str) -> Mapping[str, str]:
    return _named(**dict.fromkeys((CHAT, COMPLETIONS, RESPONSES, MESSAGES), word))


_RAW = "a completion goes on from raw text: use /v1/chat/completions"
_WHOLE = "nothing is kept of earlier turns here: send the whole conversation"
_OWN_TURN = "the model begins its own answers, so a user speaks last"
_SAMPLED = "this server does not choose tokens that way"
_NO_STOPS = "the Responses API has no stop strings"
_ELSEWHERE = "only OpenAI's and Anthropic's endpoints take it"
_FORMATS = _named(
    chat="response_format",
    responses="text.format",
    messages="output_config.format",
    ollama="format",
)

_MEANINGS = (
    Meaning(
        (
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "max_new_tokens",
            "max_tokens_to_sample",
            "n_predict",
            "num_predict",
        ),
        here=_named(
            chat="max_completion_tokens",
            completions="max_tokens",
            responses="max_output_tokens",
            messages="max_tokens",
            ollama="options.num_predict",
        ),
    ),
    Meaning(
        ("messages", "input", "prompt"),
        here=_named(
            chat="messages",
            completions="prompt",
            responses="input",
            messages="messages",
            ollama="messages",
        ),
    ),
    Meaning(
        ("instructions", "system", "system_prompt"),
        "write it into 'prompt'",
        {
            **dict.fromkeys((CHAT, OLLAMA), "here it is a message of the role 'system'"),
            **_named(responses="instructions", messages="system"),
        },
    ),
    Meaning(
        ("response_format", "text", "output_format", "output_config", "format"), _RAW, _FORMATS
    ),
    Meaning(("json_schema", "guided_json"), _RAW, _FORMATS),
    Meaning(
        ("guided_regex", "guided_choice", "guided_grammar", "grammar", "structured_outputs"),
        "only /v1/chat/completions takes it",
    ),
    Meaning(("guided_whitespace_pattern", "structural_tag"), "this server has no such constraint"),
    Meaning(
        ("reasoning_effort", "reasoning", "thinking", "think"),
        _RAW,
        _named(
            chat="reasoning_effort",
            responses="reasoning.effort",
            messages="output_config.effort",
            ollama="think",
        ),
        (True,),
    ),
    Meaning(
        ("verbosity",),
        "write it into 'prompt'",
        {
            MESSAGES: "write it into 'system'",
            OLLAMA: "write it into a message of the role 'system'",
            **_named(responses="text.verbosity"),
        },
    ),
    Meaning(
        ("tools", "functions"),
        _RAW,
        _named(chat="tools", responses="tools", messages="tools", ollama="tools"),
    ),
    Meaning(
        ("tool_choice", "function_call"),
        _RAW,
        {
            OLLAMA: _ELSEWHERE,
            **_named(chat="tool_choice", responses="tool_choice", messages="tool_choice"),
        },
        ("auto", "none"),
    ),
    Meaning(
        ("parallel_tool_calls", "disable_parallel_tool_use"),
        _RAW,
        {
            OLLAMA: _ELSEWHERE,
            **_named(
                chat="parallel_tool_calls",
                responses="parallel_tool_calls",
                messages="tool_choice.disable_parallel_tool_use",
            ),
        },
        (True,),
    ),
    Meaning(("mcp_servers",), "this server connects to no others"),
    Meaning(
        ("web_search_options",),
        "the Chat Completions API takes it",
        {RESPONSES: "here it is a tool of the type 'web_search'"},
    ),
    Meaning(
        ("stop", "stop_sequences"),
        _NO_STOPS,
        _named(chat="stop", completions="stop", messages="stop_sequences", ollama="options.stop"),
    ),
    Meaning(
        ("stop_token_ids",),
        _NO_STOPS,
        {
            CHAT: "give their text as 'stop'",
            COMPLETIONS: "give their text as 'stop'",
            MESSAGES: "give their text as 'stop_sequences'",
            OLLAMA: "give their text as 'options.stop'",
        },
    ),
    Meaning(("n", "best_of"), "a request has one answer here", _named(chat="n"), (1,)),
    Meaning(
        ("logprobs", "prompt_logprobs", "n_probs"),
        "messages carry no log probabilities",
        _named(
            chat="top_logprobs",
            completions="logprobs",
            responses="top_logprobs",
            ollama="top_logprobs",
        ),
    ),
    Meaning(
        ("previous_response_id", "conversation"), _WHOLE, _named(responses="previous_response_id")
    ),
    Meaning(
        ("truncation", "truncate_prompt_tokens"),
        "a prompt that is too long is refused",
        _named(responses="truncation"),
        ("disabled",),
    ),
    Meaning(("background",), "only /v1/responses answers in the background"),
    Meaning(("modalities",), "this model answers with text only", nothing=(["text"],)),
    Meaning(("suffix",), "this model does not fill in a middle"),
    Meaning(("continue_final_message", "echo"), _OWN_TURN),
    Meaning(("add_generation_prompt",), _OWN_TURN, nothing=(True,)),
    Meaning(("chat_template", "raw"), "a prompt is always of Harmony's form"),
    Meaning(("documents", "images"), "write into the messages what the model shall read"),
    Meaning(("min_tokens", "ignore_eos"), "the model ends its answer itself", nothing=(0,)),
    Meaning(
        ("repeat_penalty", "repetition_penalty"),
        here={**_everywhere("repetition_penalty"), **_named(ollama="options.repeat_penalty")},
        nothing=(1, 1.0),
    ),
    Meaning(
        ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "seed"),
        here={OLLAMA: "write it into 'options'"},
    ),
    Meaning(("logit_bias",), here={OLLAMA: _ELSEWHERE}),
    Meaning(
        ("bad_words", "allowed_token_ids"),
        here={**_everywhere("logit_bias"), OLLAMA: _ELSEWHERE},
    ),
    Meaning(
        (
            "use_beam_search",
            "logits_processors",
            "mirostat",
            "top_a",
            "xtc_probability",
            "dry_multiplier",
            "dynatemp_range",
        ),
        _SAMPLED,
        nothing=(0, 0.0),
    ),
    Meaning(("typical_p", "tfs_z", "length_penalty"), _SAMPLED, nothing=(1, 1.0)),
    Meaning(("options",), "write its fields beside 'model'"),
    Meaning(("extra_body",), "only the Python library takes it: write its fields beside 'model'"),
)


def _by_word() -> Iterator[tuple[str, Meaning]]:
    for meaning in _MEANINGS:
        for word in meaning.words:
            yield word, meaning


_TABLE: Mapping[str, Meaning] = MappingProxyType(dict(_by_word()))


def refuse_other_fields(
    value: JsonObject, api: str, known: type[StrictModel], *, within: str = ""
) -> None:
    """Raise InvalidRequest for the first field of another API that would change the answer.

    ``known`` is the whole request of ``api``: its own fields are looked at elsewhere. A part of
    one stands ``within`` a field.
    """
    for name, asked in value.items():
        meaning = _TABLE.get(name)
        if meaning is None or name in known.model_fields or not meaning.is_asked(asked):
            continue
        if advice := meaning.advice(api):
            raise unsupported(f"{within}{name}", advice)
