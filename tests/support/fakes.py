"""Parts that stand in for slow or absent ones: a backend that replays given tokens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mlxoss.core import FinishReason, GenerationRequest, TokenLogprob, TokenOutput
from mlxoss.engine.backend import (
    PrefixCacheStatus,
    SequenceFailed,
    SequenceOutput,
    SequencePaused,
    SequencePrefilled,
    StepOutput,
)

Script = Callable[[GenerationRequest], Sequence[int]]


@dataclass
class _Replay:
    request: GenerationRequest
    ids: list[int]
    sent: int = 0
    prefilled: int = 0


@dataclass
class ScriptedBackend:
    """A ``Backend`` whose sequences replay ``script(request)``, one id per step.

    The last id sent has ``finish`` set: ``STOP`` if it is one of the request's stop ids, else
    ``LENGTH`` (``max_tokens`` reached, or the script ran out). A script may raise: that is an
    ``insert`` that fails. An empty script fails the sequence at its first step. Requests that
    want log probabilities get -0.5 for the id sent and -1.5, -2.5, ... for ids 1, 2, ... above it.

    ``gate`` holds every step until it is set (it starts set); ``step_s`` makes a step last.
    ``step_errors``, ``rebuild_errors`` and ``warm_errors`` are raised, one per call, before
    anything else happens.
    ``token_errors`` maps (first prompt id, position) to the error that fails that sequence there.
    A step prefills ``chunk_tokens`` of a prompt, of which ``cached_tokens`` were there before;
    without them the first step prefills it all. A prompt takes ``warm_steps`` to warm. The
    sequences share ``most_tokens``, each as long as the longest; with ``held_tokens`` they share
    those, each with what it holds; one that ``forgets`` prefills anew after a pause. ``inserted``,
    ``removed``, ``warmed``, ``rested``, ``let_gone``, ``ticks``, ``rebuilt`` and ``closed`` record
    what was asked. ``tick_errors`` and ``let_go_errors`` are raised, one per call of ``keep_warm``
    and ``let_go``.
    """

    script: Script
    step_s: float = 0.0
    gate: threading.Event = field(default_factory=threading.Event)
    step_errors: list[Exception] = field(default_factory=list)
    rebuild_errors: list[Exception] = field(default_factory=list)
    warm_errors: list[Exception] = field(default_factory=list)
    token_errors: dict[tuple[int, int], Exception] = field(default_factory=dict)
    inserted: list[GenerationRequest] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    warmed: list[tuple[int, ...]] = field(default_factory=list)
    warm_steps: int = 1
    chunk_tokens: int | None = None
    cached_tokens: int = 0
    most_tokens: int | None = None
    held_tokens: int | None = None
    forgets: bool = False
    rested: int = 0
    let_gone: int = 0
    ticks: int = 0
    tick_errors: list[Exception] = field(default_factory=list)
    let_go_errors: list[Exception] = field(default_factory=list)
    rebuilt: int = 0
    closed: bool = False
    most_at_once: int = 0
    threads: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.gate.set()
        self._replays: dict[int, _Replay] = {}
        self._paused: dict[int, _Replay] = {}

    @property
    def active(self) -> int:
        return len(self._replays)

    @property
    def prefix_cache(self) -> PrefixCacheStatus | None:
        return None

    def has_room(self, request: GenerationRequest) -> bool:
        if not self._replays:
            return True
        if self.held_tokens is not None:
            return self._held(1) + len(request.prompt_ids) + 1 <= self.held_tokens
        if self.most_tokens is None:
            return True
        requests = [*(replay.request for replay in self._replays.values()), request]
        lengths = [len(each.prompt_ids) + each.max_tokens for each in requests]
        return len(lengths) * max(lengths) <= self.most_tokens

    def insert(self, uid: int, request: GenerationRequest) -> int:
        self.threads.add(threading.current_thread().name)
        self.inserted.append(request)
        paused = self._paused.pop(uid, None)
        if paused is not None and self.forgets:
            paused.prefilled = 0
        replay = self._replays[uid] = paused or _Replay(request, list(self.script(request)))
        self.most_at_once = max(self.most_at_once, len(self._replays))
        return self.cached_tokens + replay.prefilled

    def remove(self, uid: int) -> None:
        self.removed.append(uid)
        self._replays.pop(uid, None)
        self._paused.pop(uid, None)

    def fits(self) -> bool:
        return self.held_tokens is None or self._held(1) <= self.held_tokens

    def pause(self, uid: int) -> Sequence[StepOutput]:
        replay = self._paused[uid] = self._replays.pop(uid)
        said = replay.ids[: replay.sent]
        request = replay.request
        longer = replace(
            request,
            prompt_ids=(*request.prompt_ids, *said),
            max_tokens=request.max_tokens - len(said),
        )
        return [SequencePaused(uid, longer)]

    def step(self) -> Sequence[StepOutput]:
        self.threads.add(threading.current_thread().name)
        self.gate.wait()
        if self.step_s:
            time.sleep(self.step_s)
        if self.step_errors:
            raise self.step_errors.pop(0)
        outputs: list[StepOutput] = []
        for uid in list(self._replays):
            outputs += self._advance(uid)
        return outputs

    def warm(self, prompt_ids: tuple[int, ...]) -> bool:
        self.gate.wait()
        if self.warm_errors:
            raise self.warm_errors.pop(0)
        self.warmed.append(prompt_ids)
        return self.warmed.count(prompt_ids) < self.warm_steps

    def rest(self) -> None:
        self.rested += 1

    def let_go(self) -> None:
        self.let_gone += 1
        if self.let_go_errors:
            raise self.let_go_errors.pop(0)

    def keep_warm(self) -> None:
        if self.tick_errors:
            raise self.tick_errors.pop(0)
        self.ticks += 1

    def rebuild(self) -> None:
        self.rebuilt += 1
        self._replays.clear()
        if self.rebuild_errors:
            raise self.rebuild_errors.pop(0)

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True
        self._replays.clear()

    def _held(self, more: int) -> int:
        return sum(
            len(replay.request.prompt_ids) + replay.sent + more for replay in self._replays.values()
        )

    def _advance(self, uid: int) -> list[StepOutput]:
        replay = self._replays[uid]
        request = replay.request
        error = self.token_errors.get((request.prompt_ids[0], replay.sent))
        if error is None and not replay.ids:
            error = ValueError("the script is empty")
        if error is not None:
            del self._replays[uid]
            return [SequenceFailed(uid, error)]
        left = len(request.prompt_ids) - self.cached_tokens - replay.prefilled
        if self.chunk_tokens is not None and left > 0:
            chunk = min(self.chunk_tokens, left)
            replay.prefilled += chunk
            return [SequencePrefilled(uid, chunk)]
        token_id = replay.ids[replay.sent]
        replay.sent += 1
        finish = self._finish(replay, token_id)
        if finish is not None:
            del self._replays[uid]
        token = TokenOutput(token_id, finish, _logprob(request, token_id))
        output = SequenceOutput(uid, token)
        if replay.sent == 1 and self.chunk_tokens is None:
            return [SequencePrefilled(uid, len(request.prompt_ids)), output]
        return [output]

    @staticmethod
    def _finish(replay: _Replay, token_id: int) -> FinishReason | None:
        if token_id in replay.request.stop_ids:
            return FinishReason.STOP
        if replay.sent >= min(replay.request.max_tokens, len(replay.ids)):
            return FinishReason.LENGTH
        return None


def _logprob(request: GenerationRequest, token_id: int) -> TokenLogprob | None:
    wanted = request.sampling.top_logprobs
    if wanted is None:
        return None
    return TokenLogprob(-0.5, tuple((token_id + i, -0.5 - i) for i in range(wanted)))
