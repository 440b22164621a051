"""Calls of tools that the client runs, from their first event to their last.

The model writes the arguments as JSON; the client gets what they ask for. While they grow they are
read anew at each delta, which takes a millisecond where a patch fills the whole context.

A call that is cut holds only what is whole: a client that runs what it finds would run half a
command. Its deltas have told more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Unpack, cast

from mlxoss.api.answers import LogprobEntry
from mlxoss.api.responses.answers import EventFields, ResponseEvent
from mlxoss.api.responses.client_run.calls import (
    read_growing,
    read_json,
    to_local_shell_action,
    to_operation,
    to_shell_action,
)
from mlxoss.api.responses.item_answers import ItemStatus, ListedRecord
from mlxoss.api.responses.writers import CallWriter
from mlxoss.core import JsonObject

_IS_LOCAL = {"type": "local"}
_UNKNOWN_CHANGE = {"type": "update_file", "path": "", "diff": ""}
"""What stands in a call that was cut before it said what to do."""


class _ClientCallWriter(CallWriter):
    """A call of a tool that the client runs; only what a kind overrides has events of its own."""

    def to_item(self, status: ItemStatus) -> ListedRecord:
        """The call as it stands."""
        head = {"id": self._item_id, "type": f"{self._name.kind.value}_call"}
        item = head | {"status": status, "call_id": self.call_id} | self._own(status)
        return cast("ListedRecord", item)

    def _own(self, status: ItemStatus) -> JsonObject:
        raise NotImplementedError

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        return iter(())

    def _closing(self) -> Iterator[ResponseEvent]:
        return iter(())


class ShellCallWriter(_ClientCallWriter):
    """A call of ``shell``: its commands grow one after the other. Their events have no item_id."""

    _told: tuple[str, ...] = ()

    def _own(self, status: ItemStatus) -> JsonObject:
        return {"action": to_shell_action(self._text), "environment": _IS_LOCAL}

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        commands = read_growing(self._text).get("commands")
        if isinstance(commands, list) and all(isinstance(one, str) for one in commands):
            yield from self._grow(commands)

    def _closing(self) -> Iterator[ResponseEvent]:
        whole = to_shell_action(self._text)["commands"]
        yield from self._grow(whole)
        if self._told and len(self._told) == len(whole):
            yield self._done(len(whole) - 1)

    def _grow(self, commands: list[str]) -> Iterator[ResponseEvent]:
        for index, command in enumerate(commands):
            before = self._told[index] if index < len(self._told) else None
            if before is None:
                if index:
                    yield self._done(index - 1)
                yield self._on_command("added", index, command="")
                self._told += ("",)
            if command != self._told[index]:
                rest = command[len(self._told[index]) :]
                yield self._on_command("delta", index, delta=rest)
                self._told = (*self._told[:index], command, *self._told[index + 1 :])

    def _done(self, index: int) -> ResponseEvent:
        return self._on_command("done", index, command=self._told[index])

    def _on_command(self, kind: str, index: int, **said: Unpack[EventFields]) -> ResponseEvent:
        place: EventFields = {"output_index": self._index, "command_index": index, **said}
        return self._numbering.make(f"shell_call_command.{kind}", **place)


class LocalShellCallWriter(_ClientCallWriter):
    """A call of ``local_shell``."""

    def _own(self, status: ItemStatus) -> JsonObject:
        return {"action": to_local_shell_action(self._text, is_cut=status == "incomplete")}


class ToolSearchCallWriter(_ClientCallWriter):
    """A call of ``tool_search``."""

    def _own(self, status: ItemStatus) -> JsonObject:
        arguments = read_json(self._text)
        return {"execution": "client", "arguments": {} if arguments is None else arguments}


class PatchCallWriter(_ClientCallWriter):
    """A call of ``apply_patch``. It is not told before it is known which file changes, and how."""

    _operation: JsonObject | None = None
    _diff = ""

    def to_item(self, status: ItemStatus) -> ListedRecord:
        """The call as it stands: it is completed or not, and no other word is known for it."""
        return super().to_item("completed" if status == "completed" else "in_progress")

    def begin(self) -> list[ResponseEvent]:
        """Nothing yet."""
        return []

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """The events after the last text; the last one holds the whole item."""
        first = [] if self._has_begun else super().begin()
        return [*first, *super().end(status)]

    def _own(self, status: ItemStatus) -> JsonObject:
        operation = to_operation(self._text) or _UNKNOWN_CHANGE
        is_begun = status == "in_progress" and not self._has_begun and "diff" in operation
        return {"operation": operation | {"diff": ""} if is_begun else operation}

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        if self._operation is None:
            self._operation = to_operation(self._text)
            if self._operation is None:
                return
            yield from super().begin()
        yield from self._grow(read_growing(self._text).get("diff"))

    def _closing(self) -> Iterator[ResponseEvent]:
        self._operation = operation = to_operation(self._text)
        if operation is not None and "diff" in operation:
            yield from self._grow(operation["diff"])
            yield self._make("apply_patch_call_operation_diff.done", diff=operation["diff"])

    def _grow(self, diff: object) -> Iterator[ResponseEvent]:
        has_diff = self._operation is not None and "diff" in self._operation
        if has_diff and isinstance(diff, str) and len(diff) > len(self._diff):
            rest, self._diff = diff[len(self._diff) :], diff
            yield self._make("apply_patch_call_operation_diff.delta", delta=rest)
