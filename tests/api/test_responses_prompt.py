"""From items to prompts: roles, phases, reasoning, calls, and exact turns put back."""

from __future__ import annotations

import dataclasses
import datetime
import os
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.responses.items import Item
from mlxoss.api.responses.items_to_prompt import issued_call_ids, to_conversation_items
from mlxoss.api.responses.parse_items import parse_items, read_items
from mlxoss.api.responses.prompt import (
    PromptItems,
    to_compaction_turn,
    to_conversation,
    to_turn_request,
)
from mlxoss.api.responses.request import parse_compact_request, parse_responses_request
from mlxoss.api.responses.tools import read_tools
from mlxoss.api.turn_request import TurnRequest
from mlxoss.core import KEY_BYTES, Effort
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import (
    Conversation,
    DeveloperText,
    ExactTurn,
    FinalText,
    FunctionCall,
    FunctionResult,
    PlainItem,
    Preamble,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.read_turn import read_turn
from tests.support.api.responses_runs import SEAL, TOOLS, Run, all_at_once, make_ids, play
from tests.support.harmony.turns import encode_turn

DATE = datetime.date(2026, 2, 3)
USER = {"role": "user", "content": "Hi"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
TOOL_NAMES = {"get_weather", "crm__find", "crm__query"}


@dataclasses.dataclass(frozen=True)
class Record:
    """A kept turn."""

    token_ids: tuple[int, ...]
    item_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()


def no_turns() -> ExactTurns:
    return ExactTurns((), lambda *_: pytest.fail("nothing to read"))


def parsed(values: Sequence[Any]) -> tuple[Item, ...]:
    return parse_items(values, make_id=make_ids(), find=lambda _: None)


def converse(
    values: Sequence[Any] | str,
    *,
    history: Sequence[Item] = (),
    turns: ExactTurns | None = None,
    **fields: Any,
) -> Conversation:
    return turn_request(values, history=history, turns=turns, **fields).conversation


def turn_request(
    values: Sequence[Any] | str,
    *,
    history: Sequence[Item] = (),
    turns: ExactTurns | None = None,
    **fields: Any,
) -> TurnRequest:
    request = parse_responses_request({"model": "m", "input": values, "tools": TOOLS, **fields})
    items = parsed(request.input or ())
    contents = PromptItems(history, items, turns or no_turns(), SEAL, DATE)
    return to_turn_request(request, read_tools(request.tools), contents)


CONVERTED: dict[str, tuple[list[Any], list[Any]]] = {
    "a message": ([USER], [UserText("Hi")]),
    "later instructions": (
        [USER, {"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be."}],
        [UserText("Hi"), DeveloperText("Be kind."), DeveloperText("Be.")],
    ),
    "phases": (
        [
            {"role": "assistant", "phase": "commentary", "content": "Wait."},
            {"role": "assistant", "phase": "final_answer", "content": "Done."},
            CALL,
        ],
        [Preamble("Wait."), FinalText("Done."), FunctionCall("get_weather", "{}")],
    ),
    "no phase before a call": (
        [
            {"role": "assistant", "content": "Wait."},
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            CALL,
            OUTPUT,
            {"role": "assistant", "content": "Rain."},
            USER,
        ],
        [
            Preamble("Wait."),
            Reasoning("hm"),
            FunctionCall("get_weather", "{}"),
            FunctionResult("get_weather", "rain"),
            FinalText("Rain."),
            UserText("Hi"),
        ],
    ),
    "reasoning as a summary alone": (
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}],
        [Reasoning("so")],
    ),
    "empty reasoning": ([USER, {"type": "reasoning", "summary": []}], [UserText("Hi")]),
    "a custom call in a namespace": (
        [
            {
                "type": "custom_tool_call",
                "call_id": "c",
                "name": "query",
                "input": "x",
                "namespace": "crm",
            },
            {
                "type": "custom_tool_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "y"}],
            },
        ],
        [FunctionCall("crm__query", "x", is_text=True), FunctionResult("crm__query", "y")],
    ),
    "a refusal": (
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [FinalText("No.")],
    ),
    "sealed reasoning": (
        [{"type": "reasoning", "encrypted_content": SEAL.seal_reasoning(Reasoning("so", (1, 2)))}],
        [Reasoning("", (1, 2))],
    ),
    "sealed reasoning without ids": (
        [{"type": "reasoning", "encrypted_content": SEAL.seal_reasoning(Reasoning("so\ud800"))}],
        [Reasoning("so\ud800")],
    ),
    "a compaction": (
        [{"type": "compaction", "encrypted_content": SEAL.seal_compaction("All is well.")}],
        [UserText("Summary of the conversation so far:\n\nAll is well.")],
    ),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_items_are_converted(case: str) -> None:
    values, expected = CONVERTED[case]
    assert list(converse(values).items) == expected


def test_the_leading_instructions_are_joined() -> None:
    conversation = converse(
        [{"role": "developer", "content": "Be kind."}, {"role": "system", "content": "Be."}, USER],
        instructions="Be brief.",
        text={"verbosity": "low"},
        reasoning={"effort": "high"},
    )
    assert conversation.instructions is not None
    assert conversation.instructions.startswith("Be brief.\n\nBe kind.\n\nBe.\n\n")
    assert "short" in conversation.instructions
    assert conversation.items == (UserText("Hi"),)
    assert conversation.effort is Effort.HIGH
    assert converse("Hi").instructions is None
    assert converse("Hi", text={"verbosity": "medium"}).instructions is None


def test_history_comes_first_and_leaves_its_instructions_behind() -> None:
    history = parsed([{"role": "user", "content": "One", "id": "msg_h1"}])
    conversation = converse("Two", history=history, instructions="New.")
    assert conversation.items == (UserText("One"), UserText("Two"))
    assert conversation.instructions == "New."


def test_tools_are_hidden_when_none_may_be_called() -> None:
    assert {tool.name for tool in converse("Hi").tools} == TOOL_NAMES
    assert converse("Hi", tool_choice="none").tools == ()


def test_the_turn_s_limits() -> None:
    plain = turn_request("Hi")
    assert (plain.max_tokens, plain.truncate, plain.single_call) == (None, False, False)
    assert plain.sampling.top_logprobs is None
    assert plain.prompt_param == "input"
    bound = turn_request(
        "Hi", max_output_tokens=9, truncation="auto", parallel_tool_calls=False, top_logprobs=3
    )
    assert (bound.max_tokens, bound.truncate, bound.single_call) == (9, True, True)
    assert bound.sampling.top_logprobs == 3


FOREIGN = ContentSeal(bytes(32), lambda count: bytes(count))
GOOD = SEAL.seal_reasoning(Reasoning("so", (1, 2)))
DAMAGED = {
    "another key": FOREIGN.seal_reasoning(Reasoning("so")),
    "a changed letter": GOOD[:-6] + ("A" if GOOD[-6] != "A" else "B") + GOOD[-5:],
    "a cut": GOOD[:-8],
    "another purpose": SEAL.seal_compaction("so"),
    "not ours": "gAAAAABn",
    "no base64": "mlxoss1.§",
    "nothing": "",
}


@pytest.mark.parametrize("case", DAMAGED)
def test_content_that_this_server_did_not_seal_is_left_out(case: str) -> None:
    """Where there is text beside it, that is read."""
    sealed = {"type": "reasoning", "encrypted_content": DAMAGED[case]}
    for beside, read in (
        ({"summary": []}, []),
        ({"summary": [{"type": "summary_text", "text": "so"}]}, [Reasoning("so")]),
        ({"content": [{"type": "reasoning_text", "text": "So."}]}, [Reasoning("So.")]),
    ):
        assert list(converse([USER, sealed | beside, CALL, OUTPUT]).items) == [
            UserText("Hi"),
            *read,
            FunctionCall("get_weather", "{}"),
            FunctionResult("get_weather", "rain"),
        ]


@pytest.mark.parametrize("content", [*DAMAGED.values(), GOOD])
def test_content_before_an_answer_is_not_looked_at(content: str) -> None:
    noted: list[None] = []
    seal = ContentSeal(bytes(KEY_BYTES), os.urandom, lambda: noted.append(None))
    reasoning = {"type": "reasoning", "encrypted_content": content}
    answer = {"role": "assistant", "content": "Rain."}
    items = parsed([USER, reasoning, CALL, OUTPUT, reasoning, answer, USER])
    _, found = to_conversation_items((), items, seal=seal, turns=no_turns())
    assert noted == []
    assert not any(isinstance(item, Reasoning) for item in found)


def test_a_compaction_that_this_server_did_not_seal_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        converse([{"type": "compaction", "encrypted_content": GOOD}])
    assert caught.value.param == "input[0].encrypted_content"
    assert caught.value.code == "invalid_encrypted_content"
    assert "Nothing else holds" in str(caught.value)


def test_a_compaction_turn_asks_for_a_summary_without_tools(encoding: Encoding) -> None:
    request = parse_compact_request({"model": "m", "input": "Hi", "instructions": "Be brief."})
    contents = PromptItems((), parsed(request.input or ()), no_turns(), SEAL, DATE)
    turn = to_compaction_turn(request, contents)
    first, last = turn.conversation.items
    assert first == UserText("Hi")
    assert isinstance(last, UserText)
    assert "summary" in last.text
    assert turn.conversation.tools == ()
    assert turn.conversation.instructions == "Be brief."


# Exact turns

ANALYSIS = "<|channel|>analysis<|message|>Two cities.<|end|><|start|>assistant"
PREAMBLE = "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
CALL_TEXT = (
    '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city": "Bergen"}'
)
TURN = f"{ANALYSIS}{PREAMBLE}{CALL_TEXT}<|call|>"


@dataclasses.dataclass(frozen=True)
class Answered:
    """A turn that a client got, and how it was kept."""

    ids: tuple[int, ...]
    output: list[dict[str, Any]]
    record: Record

    def outputs(self) -> list[dict[str, Any]]:
        return [
            {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": "rain"}
            for item in self.output
            if "call_id" in item
        ]


def answer(encoding: Encoding, written: str, **request: Any) -> Answered:
    _, stream = play(encoding, Run(written, request), all_at_once)
    output: list[Any] = [dict(item) for item in stream.output]
    ids = tuple(encode_turn(encoding, written))
    item_ids = tuple(item["id"] for item in output)
    return Answered(ids, output, Record(ids, item_ids, stream.call_ids))


def known(encoding: Encoding, *records: Record) -> ExactTurns:
    return ExactTurns(records, partial(read_turn, encoding))


def follows(encoding: Encoding, conversation: Conversation, before: Conversation, ids: Any) -> bool:
    start = [*render_prompt(encoding, before), *ids]
    return render_prompt(encoding, conversation)[: len(start)] == start


def test_a_kept_turn_comes_back_exactly_by_its_items(encoding: Encoding) -> None:
    answered = answer(encoding, TURN)
    record = dataclasses.replace(answered.record, call_ids=())
    user = {**USER, "id": "msg_u"}
    history = read_items([*(one.to_json() for one in parsed([user])), *answered.output])
    conversation = converse(answered.outputs(), history=history, turns=known(encoding, record))
    assert isinstance(conversation.items[1], ExactTurn)
    assert follows(encoding, conversation, converse([user]), answered.ids)


LOSSES: dict[str, Any] = {
    "everything sent": lambda output: output,
    "ids dropped": lambda output: [{**item, "id": None} for item in output],
    "reasoning dropped": lambda output: output[1:],
    "summary only": lambda output: [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": output[0]["content"][0]["text"]}],
        },
        *output[1:],
    ],
    "phase dropped": lambda output: [
        {key: value for key, value in item.items() if key not in ("phase", "status", "id")}
        for item in output
    ],
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_turn_comes_back_exactly_by_its_calls(encoding: Encoding, loss: str) -> None:
    answered = answer(encoding, TURN)
    record = dataclasses.replace(answered.record, item_ids=())
    sent = [USER, *LOSSES[loss](answered.output), *answered.outputs()]
    conversation = converse(sent, turns=known(encoding, record))
    assert follows(encoding, conversation, converse([USER]), answered.ids)
    assert issued_call_ids(parsed(sent)) == record.call_ids


CHANGES: dict[str, Any] = {
    "other arguments": lambda output: [*output[:2], {**output[2], "arguments": "{}"}],
    "another preamble": lambda output: [
        output[0],
        {**output[1], "content": "Look!"},
        output[2],
    ],
    "no preamble": lambda output: [output[0], output[2]],
    "other reasoning": lambda output: [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "No."}]},
        *output[1:],
    ],
    "another name": lambda output: [*output[:2], {**output[2], "name": "other"}],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_turn_that_the_client_changed_is_the_client_s(encoding: Encoding, change: str) -> None:
    answered = answer(encoding, TURN)
    sent = [USER, *CHANGES[change](answered.output), *answered.outputs()]
    turns = known(encoding, answered.record)
    assert converse(sent, turns=turns) == converse(sent, turns=known(encoding))


def test_sealed_reasoning_alone_comes_back_bit_for_bit(encoding: Encoding) -> None:
    """As Codex sends it: nothing is stored, and only the sealed content is sent back."""
    answered = answer(encoding, TURN, store=False, include=["reasoning.encrypted_content"])
    reasoning = {**answered.output[0], "id": None, "content": None}
    conversation = converse([USER, reasoning, *answered.output[1:], *answered.outputs()])
    written = encode_turn(encoding, ANALYSIS + PREAMBLE)
    assert follows(encoding, conversation, converse([USER]), written)


def test_after_a_final_nothing_is_spliced(encoding: Encoding) -> None:
    first = answer(encoding, TURN)
    final = answer(encoding, f"{ANALYSIS}<|channel|>final<|message|>Rain.<|return|>")
    sent = [USER, *first.output, *first.outputs()]
    sent += [{**item, "id": f"{item['id']}_b"} for item in final.output] + [USER]
    turns = known(encoding, first.record, final.record)
    assert converse(sent, turns=turns) == converse(sent)
    official: tuple[PlainItem, ...] = (
        UserText("Hi"),
        Preamble("Let me look."),
        FunctionCall("get_weather", '{"city": "Bergen"}'),
        FunctionResult("get_weather", "rain"),
        FinalText("Rain."),
        UserText("Hi"),
    )
    bare = dataclasses.replace(converse(sent), items=official)
    assert render_prompt(encoding, converse(sent)) == render_prompt(encoding, bare)


PATCH = {
    "type": "custom_tool_call",
    "call_id": "c",
    "name": "apply_patch",
    "input": "*** Begin Patch\n*** End Patch",
}
PATCHED = {"type": "custom_tool_call_output", "call_id": "c", "output": "Done."}


@pytest.mark.parametrize("tools", [[{"type": "custom", "name": "apply_patch"}], TOOLS, []])
def test_a_custom_call_that_no_turn_is_known_of_is_text(
    encoding: Encoding, tools: list[Any]
) -> None:
    """No JSON is spoken of, whether the tool is still declared or not."""
    text = encoding.decode(render_prompt(encoding, converse([USER, PATCH, PATCHED], tools=tools)))
    assert (
        "<|start|>assistant to=functions.apply_patch<|channel|>commentary code<|message|>"
        "*** Begin Patch\n*** End Patch<|call|>"
        "<|start|>functions.apply_patch to=assistant<|channel|>commentary<|message|>Done.<|end|>"
    ) in text


def test_a_custom_call_comes_back_exactly(encoding: Encoding) -> None:
    answered = answer(
        encoding, "<|channel|>commentary to=functions.crm__query code<|message|>x = 1<|call|>"
    )
    assert answered.output[0]["type"] == "custom_tool_call"
    sent = [USER, *answered.output, *answered.outputs()]
    conversation = converse(sent, turns=known(encoding, answered.record))
    assert follows(encoding, conversation, converse([USER]), answered.ids)
    turn = conversation.items[1]
    assert isinstance(turn, ExactTurn)
    assert turn.items == (FunctionCall("crm__query", "x = 1", is_text=True),)


def test_two_hundred_random_loops(encoding: Encoding) -> None:
    """Each prompt begins with the prompt before it and what the model wrote then."""
    for seed in range(200):
        rng = random.Random(seed)
        make_id = make_ids()
        sent: list[dict[str, Any]] = [{**USER, "id": make_id("u_")}]
        records: list[Record] = []
        for _ in range(rng.randint(1, 4)):
            before = converse(sent, turns=known(encoding, *records))
            answered = renamed(answer(encoding, random_turn(rng)), make_id)
            keeps_items = rng.random() < 0.5
            records.append(
                answered.record
                if keeps_items
                else dataclasses.replace(answered.record, item_ids=())
            )
            kept = answered.output if keeps_items else without_ids(answered.output, rng)
            sent += [*kept, *answered.outputs()]
            after = converse(sent, turns=known(encoding, *records))
            assert follows(encoding, after, before, answered.ids), f"seed {seed}"


def random_turn(rng: random.Random) -> str:
    parts = []
    if rng.random() < 0.8:
        parts.append(f"<|channel|>analysis<|message|>{rng.choice(['Hm.', '👋 so', '{}'])}")
    if rng.random() < 0.4:
        parts.append("<|channel|>commentary<|message|>Let me look.")
    for _ in range(rng.randint(1, 3)):
        header = rng.choice(
            [
                "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>",
                " to=functions.crm__find<|channel|>commentary <|constrain|>json<|message|>",
                "<|channel|>analysis to=functions.crm__query code<|message|>",
            ]
        )
        parts.append(header + rng.choice(["{}", '{"city": "Zürich"}', ""]))
    return "<|end|><|start|>assistant".join(parts) + "<|call|>"


def renamed(answered: Answered, make_id: Any) -> Answered:
    """With ids that no other turn of the conversation has."""
    output = [
        {
            key: make_id(f"{value}_") if key in ("id", "call_id") else value
            for key, value in item.items()
        }
        for item in answered.output
    ]
    calls = tuple(item["call_id"] for item in output if "call_id" in item)
    return Answered(
        answered.ids, output, Record(answered.ids, tuple(item["id"] for item in output), calls)
    )


def without_ids(output: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    drops_reasoning = rng.random() < 0.5
    return [
        {key: value for key, value in item.items() if key != "id"}
        for item in output
        if not (drops_reasoning and item["type"] == "reasoning")
    ]


def test_counting_takes_the_same_way(encoding: Encoding) -> None:
    request = parse_responses_request({"model": "m", "input": "Hi", "tools": TOOLS})
    contents = PromptItems((), parsed(request.input or ()), no_turns(), SEAL, DATE)
    counted = to_conversation(request, read_tools(request.tools), contents)
    assert counted == converse("Hi")
