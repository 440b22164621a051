"""Conversations whose prompts are written out in ``tests/golden/prompts``."""

from __future__ import annotations

import datetime
from typing import Any

from mlxoss.core import Effort
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Preamble,
    Reasoning,
    ResponseFormat,
    UserText,
)

DATE = datetime.date(2026, 2, 3)

WEATHER = FunctionTool(
    "get_weather",
    "Gets the weather.\nAsk for one city at a time.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city, e.g. Bergen"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
)

SEARCH = FunctionTool(
    "search",
    "Searches the archive.",
    {
        "type": "object",
        "properties": {
            "query": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "filters": {"type": "array", "items": {"$ref": "#/$defs/Filter"}},
            "mode": {"const": "fast"},
            "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        },
        "required": ["query", "mode"],
        "$defs": {
            "Filter": {
                "type": "object",
                "description": "One condition",
                "properties": {
                    "field": {"type": "string"},
                    "not": {"$ref": "#/$defs/Filter"},
                    "value": {"type": ["string", "integer", "null"]},
                },
                "required": ["field"],
            }
        },
    },
)

NOW = FunctionTool("now")

RECIPE = ResponseFormat(
    "recipe",
    {"type": "object", "properties": {"steps": {"type": "array", "items": {"type": "string"}}}},
    "A recipe in steps",
)

TOOL_LOOP = (
    UserText("Weather in Bergen and Oslo?"),
    Reasoning("Two cities, so two calls."),
    Preamble("Let me look."),
    FunctionCall("get_weather", '{"city": "Bergen"}'),
    FunctionResult("get_weather", '{"rain": true}'),
    Reasoning("Now Oslo."),
    FunctionCall("get_weather", '{"city":"Oslo"}'),
    FunctionResult("get_weather", '{"rain": false}'),
)


def conversation(*items: Any, **fields: Any) -> Conversation:
    return Conversation(items=items, date=DATE, **fields)


WITHOUT_REASONING: dict[str, Conversation] = {
    "effort_low": conversation(UserText("Hi"), effort=Effort.LOW),
    "effort_medium": conversation(UserText("Hi")),
    "effort_high": conversation(UserText("Hi"), effort=Effort.HIGH),
    "no_items": conversation(),
    "named_users": conversation(UserText("Hi", name="ada"), UserText("Ho", name="grace")),
    "instructions": conversation(UserText("Hi"), instructions="Be brief.\n\nBe kind."),
    "tools": conversation(UserText("Weather?"), tools=(WEATHER, NOW)),
    "instructions_and_tools": conversation(
        UserText("Weather?"), instructions="Be brief.", tools=(WEATHER,)
    ),
    "later_developer_text": conversation(
        UserText("Hi"),
        FinalText("Hello."),
        DeveloperText("From now on, speak French."),
        UserText("Hi again"),
        instructions="Be brief.",
    ),
    "later_tools": conversation(
        UserText("Hi"),
        FinalText("Hello."),
        DeveloperText("Be brief.", (WEATHER,)),
        UserText("Weather?"),
        FunctionCall("search", "{}"),
        FunctionResult("search", "Found it."),
        DeveloperText("", (NOW,)),
    ),
    "preamble": conversation(
        UserText("Weather?"),
        Preamble("Let me look."),
        FunctionCall("get_weather", '{"city":"Bergen"}'),
        FunctionResult("get_weather", "Rain."),
        tools=(WEATHER,),
    ),
    "custom_call": conversation(
        UserText("Fix it"),
        FunctionCall("apply_patch", "*** Begin Patch\n*** End Patch", is_text=True),
        FunctionResult("apply_patch", "Done."),
        tools=(FunctionTool("apply_patch", "Edits files.", {"type": "string"}),),
    ),
}

OTHERS: dict[str, Conversation] = {
    "rich_tools": conversation(UserText("Find it"), tools=(SEARCH, WEATHER)),
    "response_format": conversation(UserText("Waffles"), response_format=RECIPE),
    "everything_for_the_developer": conversation(
        UserText("Waffles"), instructions="Be brief.", tools=(NOW,), response_format=RECIPE
    ),
    "tool_loop_keeps_analysis": conversation(*TOOL_LOOP, tools=(WEATHER,)),
    "two_finals_drop_analysis": conversation(
        UserText("One"),
        Reasoning("first thoughts"),
        FinalText("1"),
        UserText("Two"),
        Reasoning("second thoughts"),
        FinalText("2"),
        UserText("Three"),
    ),
    "finished_tool_loop_then_another": conversation(
        *TOOL_LOOP,
        Reasoning("Done with both."),
        FinalText("Rain in Bergen."),
        UserText("And in Voss?"),
        Reasoning("One more call."),
        FunctionCall("get_weather", '{"city":"Voss"}'),
        FunctionResult("get_weather", '{"rain": true}'),
        tools=(WEATHER,),
    ),
    "turn_without_final": conversation(
        UserText("One"), FinalText("1"), UserText("Two"), Reasoning("hm"), UserText("Go on")
    ),
}

CONVERSATIONS = WITHOUT_REASONING | OTHERS
