"""What the engine's thread does: take commands, admit in order, step, hand out.

Theory of operation. ``Scheduler.run`` does the same five things over and over:

1. Carry out all commands that have come. It blocks for one only when nothing runs, waits or is
   to be warmed.
2. Admit who waits, in order, while a slot is free and ``Backend.has_room`` says yes. Where the
   next one does not fit nobody overtakes it, else it might wait for ever.
3. Make room: while the next step does not fit, the youngest sequence pauses.
4. Step: one token for each sequence that decodes, one chunk of each prompt that does not yet.
   Where nothing runs, a bit of a prompt that is likely to come is computed instead.
5. Deliver once, with all that the step brought.

Commands come first, so that who has left frees its place before somebody is admitted. Room is
made directly before the step, since only then is it known how long everybody has become.

Why sequences pause. How long an answer becomes is not known. If each request reserved what it may
take at most, one without ``max_tokens`` would run alone. So admission counts each sequence with
only a bit more than it has (``SOON_TOKENS``), and where the answers outgrow the memory somebody
goes for a while. The difference between that and the one token that ``Backend.fits`` counts is
why nobody has to pause directly after it was admitted.

How a pause goes:

1. Background responses pause first, then whoever came last; a later round is as old as its
   request. The oldest always goes on, and any one fits by itself, so some answer always ends and
   its room comes back.
2. ``Backend.pause`` hands out the token that was chosen already, if any, and puts what was
   computed into the prefix cache, where others go first. What this sequence has besides (its
   grammar's place, its random numbers) the backend keeps.
3. The request goes back to the head of its queue, its prompt now being all tokens so far. Nobody
   of its kind that came later is admitted before it.
4. ``Backend.insert`` has it go on. It is no second admission: its caller has seen a break at most,
   and is told how much of a prompt is left. If the prefix cache had to give the snapshot up it is
   computed anew.

A request that runs tools between its rounds holds a place and no slot while they run. Its next
round waits behind who is paused and before all others of its kind.

While the model is to be unloaded only paused sequences are admitted, so that this ends. A failed
step ends all that ran; what is paused can still go on.
"""

from __future__ import annotations

import logging
import math
import queue
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import (
    Backend,
    PrefixCacheStatus,
    SequenceFailed,
    SequenceOutput,
    SequencePaused,
    SequencePrefilled,
    StepOutput,
)
from mlxoss.engine.idling import FOR_EVER, Deed, Idling
from mlxoss.engine.messages import (
    Admitted,
    Cancel,
    Close,
    Command,
    Deliver,
    Delivery,
    Ended,
    Load,
    Submit,
    Unload,
    Warm,
    WarmBit,
    WentOn,
)
from mlxoss.engine.occupancy import Occupancy, RateMeter
from mlxoss.engine.waiting_queue import WaitingQueue
from mlxoss.errors import GenerationFailed, MlxossError, RanksLost

logger = logging.getLogger(__name__)


MOST_WARMED = 8
"""How many prompts may wait to be warmed; the oldest are forgotten."""


class Scheduler:
    """Drives a ``Backend``. ``run`` is the thread's body; the queue is the only way in.

    ``deliver`` is called at most once per step, with everything that step brought, and before it
    where somebody was admitted. ``idling`` says what is done while nothing comes, and after how
    long ``run`` returns. ``most_tokens`` is the backend's, of the last one that ran.
    """

    def __init__(
        self,
        commands: queue.SimpleQueue[Command],
        deliver: Deliver,
        occupancy: Occupancy,
        *,
        max_batch: int,
        clock: Callable[[], float],
        idling: Idling = FOR_EVER,
    ) -> None:
        self.decoded = RateMeter(clock)
        self.prefilled = RateMeter(clock)
        self.prefix_cache: PrefixCacheStatus | None = None
        self.most_tokens: int | None = None
        self._commands = commands
        self._deliver = deliver
        self._occupancy = occupancy
        self._clock = clock
        self._ran_at = -math.inf
        self._idling = idling
        self._is_closed = False
        self._is_unloading = False
        self._waiting = WaitingQueue(max_batch)
        self._running: dict[int, GenerationRequest] = {}
        self._since: dict[int, int] = {}
        self._to_warm: deque[tuple[int, ...]] = deque(maxlen=MOST_WARMED)
        self._bits: deque[WarmBit] = deque()
        self._outbox: list[Delivery] = []

    def run(self, backend: Backend) -> bool:
        """Serve until ``Close``, then return False, or until the backend should go (True).

        That is when nothing came for long, or when ``Unload`` asked for it.

        Raises only what ``backend.rebuild`` raises: nothing can run then. Open sequences are left
        as they are: their callers are told by whoever started this.
        """
        self.prefix_cache = backend.prefix_cache
        self.most_tokens = backend.most_tokens
        while self._take_commands(backend):
            self._admit(backend)
            self._send()  # a step may take a second: how much was cached is told before
            if self._running:
                self._make_room(backend)
                self._step(backend)
            elif self._to_warm:
                self._warm(backend)
            elif self._bits:
                self._warm_bit(backend)
            self.prefix_cache = backend.prefix_cache
            self._send()
        self.prefix_cache = None
        self._is_unloading = False
        return not self._is_closed

    def _send(self) -> None:
        if self._outbox:
            self._deliver(self._outbox)
            self._outbox = []

    def wait_for_request(self) -> bool:
        """Block until there is one, or ``Load``, with no backend; False for ``Close``."""
        self._to_warm.clear()
        while self._bits:
            self._bits.popleft().answer(False)
        is_wanted = False
        while not is_wanted and not self._waiting and not self._is_closed:
            command = self._commands.get()
            match command:
                case Submit():
                    self._put(command)
                case Cancel(uid):
                    self._waiting.drop(uid)
                    self._since.pop(uid, None)
                case Close():
                    self._is_closed = True
                case Load():
                    is_wanted = True
                case WarmBit(_, answer):
                    answer(False)
                case Warm() | Unload():
                    pass  # what was kept is gone, and so is the model
        return not self._is_closed

    def _take_commands(self, backend: Backend) -> bool:
        """Carry out all commands; wait for one when there is nothing else to do.

        False ends ``run``.
        """
        is_busy = self._running or self._waiting or self._to_warm or self._bits
        try:
            if not is_busy and not self._is_unloading:
                command = self._wait(backend)
                if command is None or not self._carry_out(command, backend):
                    return False
            while self._carry_out(self._commands.get_nowait(), backend):
                pass
        except queue.Empty:
            return bool(self._running or self._waiting.paused) or not self._is_unloading
        return False

    def _wait(self, backend: Backend) -> Command | None:
        """The next command; ``None`` if there is none for too long."""
        now_s = 0.0
        for at_s, deed in self._idling.deeds(self._clock() - self._ran_at):
            try:
                return self._commands.get(timeout=at_s - now_s)
            except queue.Empty:
                now_s = at_s
            self._do(deed, backend)
        try:
            end_s = self._idling.unload_s
            return self._commands.get(timeout=None if end_s is None else end_s - now_s)
        except queue.Empty:
            return None

    def _do(self, deed: Deed, backend: Backend) -> None:
        match deed:
            case Deed.REST:
                backend.rest()
            case Deed.LET_GO:
                try:
                    backend.let_go()
                except Exception as error:  # an idle service goes on
                    logger.warning("the weights could not be let go", exc_info=error)
            case Deed.KEEP_WARM if self._idling.keep_warm_s and self._idling.may_keep_warm():
                try:
                    backend.keep_warm()
                except Exception as error:  # what it is for is no reason to end
                    logger.warning("the GPU is not kept warm any more", exc_info=error)
                    self._idling = replace(self._idling, keep_warm_s=0.0)

    def _carry_out(self, command: Command, backend: Backend) -> bool:
        match command:
            case Submit():
                self._put(command)
            case Cancel(uid):
                self._cancel(uid, backend)
            case Warm(prompt_ids):
                self._to_warm.append(prompt_ids)
            case WarmBit():
                self._bits.append(command)
            case Unload(wanted):
                self._is_unloading = wanted
            case Load():
                pass
            case Close():
                self._is_closed = True
        return not self._is_closed

    def _put(self, command: Submit) -> None:
        is_next = command.since is not None
        if command.since is not None:
            self._since[command.uid] = command.since
        self._waiting.put(command.uid, command.request, is_next=is_next)

    def _cancel(self, uid: int, backend: Backend) -> None:
        is_known = uid in self._running or uid in self._waiting.paused
        self._waiting.drop(uid)
        self._since.pop(uid, None)
        if not is_known:
            return
        self._running.pop(uid, None)
        try:
            backend.remove(uid)
        except Exception as error:  # noqa: BLE001 - the batch is in an unknown state: start it over
            self._lose_batch(error, backend)

    def _admit(self, backend: Backend) -> None:
        # While unloading nobody new: where one request follows the other, it would never end.
        while following := self._waiting.first(len(self._running), only_paused=self._is_unloading):
            uid, request = following
            if not backend.has_room(request):
                return  # nobody overtakes it: else it might wait for ever
            was_paused = uid in self._waiting.paused
            self._waiting.drop(uid)
            wait_s = self._occupancy.admit(uid)
            try:
                known_tokens = backend.insert(uid, request)
            except Exception as error:  # noqa: BLE001 - any failure is this request's alone
                self._fail(uid, error)
                continue
            self._running[uid] = request
            if was_paused:
                self._occupancy.go_on(uid)
                self._outbox.append(WentOn(uid, known_tokens))
            else:
                self._outbox.append(Admitted(uid, wait_s, known_tokens))

    def _make_room(self, backend: Backend) -> None:
        """Have the youngest pause until the next step fits; the oldest always goes on."""
        try:
            while len(self._running) > 1 and not backend.fits():
                self._take(backend.pause(max(self._running, key=self._age)))
        except Exception as error:  # noqa: BLE001 - as in a step
            self._lose_batch(error, backend)

    def _age(self, uid: int) -> tuple[bool, int]:
        """Who has the most of it pauses first."""
        return self._running[uid].is_background, self._since.get(uid, uid)

    def _step(self, backend: Backend) -> None:
        self._ran_at = self._clock()
        try:
            outputs = backend.step()
        except Exception as error:  # noqa: BLE001 - whatever it was, the batch is lost
            self._lose_batch(error, backend)
            return
        self._take(outputs)

    def _take(self, outputs: Sequence[StepOutput]) -> None:
        decoded = 0
        for output in outputs:
            match output:
                case SequenceOutput(uid, token):
                    decoded += 1
                    self._outbox.append(output)
                    if token.finish is not None:
                        self._leave(uid)
                case SequenceFailed(uid, failure):
                    self._fail(uid, failure)
                case SequencePrefilled(_, tokens):
                    self.prefilled.add(tokens)
                    self._outbox.append(output)
                case SequencePaused(uid, request):
                    self._pause(uid, request)
        if decoded:
            self.decoded.add(decoded)

    def _pause(self, uid: int, request: GenerationRequest) -> None:
        logger.info(
            "request %d pauses with %d tokens: the memory is wanted by those before it",
            uid,
            len(request.prompt_ids),
        )
        del self._running[uid]
        self._waiting.put_back(uid, request)
        self._occupancy.pause(uid)

    def _warm(self, backend: Backend) -> None:
        """Do a bit of the latest prompt: its user is the likeliest to come back."""
        prompt_ids = self._to_warm.pop()
        if self._advance(prompt_ids, backend):
            self._to_warm.append(prompt_ids)

    def _warm_bit(self, backend: Backend) -> None:
        bit = self._bits.popleft()
        bit.answer(self._advance(bit.prompt_ids, backend))

    def _advance(self, prompt_ids: tuple[int, ...], backend: Backend) -> bool:
        self._ran_at = self._clock()
        try:
            return backend.warm(prompt_ids)
        except Exception as error:
            logger.warning("a prompt could not be computed ahead", exc_info=error)
            return False

    def _lose_batch(self, error: Exception, backend: Backend) -> None:
        logger.error("a step failed; %d running requests end", len(self._running), exc_info=error)
        for uid in sorted(self._running):
            self._leave(uid)
            self._outbox.append(Ended(uid, _to_failure(error)))
        self._send()
        backend.rebuild()

    def _fail(self, uid: int, error: Exception) -> None:
        if not isinstance(error, MlxossError):
            logger.error("request %d failed", uid, exc_info=error)
        self._leave(uid)
        self._outbox.append(Ended(uid, _to_failure(error)))

    def _leave(self, uid: int) -> None:
        self._running.pop(uid, None)
        self._since.pop(uid, None)
        self._occupancy.leave(uid)


def _to_failure(error: Exception) -> MlxossError:
    """An error for one caller. Each gets its own: a raised exception carries its traceback."""
    if isinstance(error, MlxossError):
        return RanksLost(str(error)) if isinstance(error, RanksLost) else error
    failure = GenerationFailed(f"The model failed on this request: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
