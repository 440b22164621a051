"""The engine as the event loop sees it: start, submit, status, close."""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import explain_load_failure
from mlxoss.engine.generation import MOST_UNREAD, Callers, Generation
from mlxoss.engine.held_place import HeldPlace
from mlxoss.engine.idling import FOR_EVER, Idling
from mlxoss.engine.messages import (
    Cancel,
    Close,
    Command,
    Delivery,
    Load,
    Submit,
    Unload,
    Warm,
    WarmBit,
)
from mlxoss.engine.occupancy import Occupancy, QueuePlace
from mlxoss.engine.progress import PromptProgress
from mlxoss.engine.scheduler import Scheduler
from mlxoss.engine.status import EnginePhase, EngineState, EngineStatus, Ranks
from mlxoss.errors import MlxossError, ModelUnavailable, QueueFull, RanksLost

logger = logging.getLogger(__name__)

OnFatal = Callable[[BaseException], None]


class Engine:
    """One daemon thread that owns MLX: it loads, steps and frees; it blocks when nothing runs.

    ``load`` makes the backend on that thread. At most ``max_batch`` sequences run and
    ``max_queue`` wait, first come first served; where the memory gets tight the youngest pause,
    which their callers do not notice. All methods but ``status``, ``warm`` and ``keep_awake``
    belong to the event loop's thread. Every accepted request ends exactly once: see ``Generation``.

    After ``idling.unload_s`` without a request the backend is closed, and made anew for the next
    one, which waits.
    """

    def __init__(
        self,
        load: Callable[[], Backend],
        *,
        max_batch: int = 8,
        max_queue: int = 64,
        clock: Callable[[], float] = time.monotonic,
        idling: Idling = FOR_EVER,
    ) -> None:
        self._load = load
        self._clock = clock
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._occupancy = Occupancy(slots=max_batch, places=max_queue, clock=clock)
        self._scheduler = Scheduler(
            self._commands,
            self._post_deliveries,
            self._occupancy,
            max_batch=max_batch,
            clock=clock,
            idling=idling,
        )
        self._thread = threading.Thread(target=self._main, name="mlxoss-engine", daemon=True)
        self._uids = itertools.count()
        self._callers = Callers(self._occupancy)
        self._bits: set[asyncio.Future[bool]] = set()
        self._phase = EnginePhase()
        self._error: str | None = None
        self._refused = 0
        self._exited = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_fatal: OnFatal | None = None
        self._ranks: Ranks | None = None
        self._expected_tokens: int | None = None

    def lead(self, ranks: Ranks) -> None:
        """Be rank 0 of ``ranks``: when they are lost the engine is, whatever its thread waits for.

        Call before ``start``.
        """
        self._ranks = ranks
        ranks.on_lost = lambda error: self._post(self._ran, error)

    def expect(self, most_tokens: int | None) -> None:
        """Say what ``most_tokens`` will be, until the model is loaded. Call before ``start``."""
        self._expected_tokens = most_tokens

    def keep_awake(self, is_wanted: bool) -> None:
        """Have the other ranks' machines, if there are any, stay awake, or no more. Any thread."""
        if self._ranks is not None:
            self._ranks.keep_awake(is_wanted)

    def start(self, loop: asyncio.AbstractEventLoop, on_fatal: OnFatal) -> None:
        """Start the thread, which loads the model in the background. Call once.

        A model that cannot be loaded makes the state ``failed`` (``status().error`` says why) and
        ends what waits: starting again would not help. ``on_fatal`` is called on the loop when the
        engine broke after loading and could not recover: the process should end with an error.
        """
        self._loop = loop
        self._on_fatal = on_fatal
        self._thread.start()

    def submit(self, request: GenerationRequest) -> Generation:
        """Accept a request. Raises ``QueueFull`` or ``ModelUnavailable`` at once."""
        if self._phase.now.is_final:
            raise self._unavailable()
        uid = next(self._uids)
        if not self._occupancy.enter(uid, is_background=request.is_background):
            raise self._full()
        return self._submit(Submit(uid, request))

    def hold(self) -> HeldPlace:
        """A place for requests that follow each other. Raises as ``submit``, which then does not.

        Take one where a request has several rounds, and give it back at its end.
        """
        if self._phase.now.is_final:
            raise self._unavailable()
        number = next(self._uids)
        if not self._occupancy.hold(number):
            raise self._full()
        return HeldPlace(number, self._submit_held, self._occupancy.let_go)

    def _submit_held(self, place: int, request: GenerationRequest, *, is_next: bool) -> Generation:
        if self._phase.now.is_final:
            raise self._unavailable()
        uid, is_background = next(self._uids), request.is_background
        self._occupancy.enter_held(uid, place, is_background=is_background, is_next=is_next)
        return self._submit(Submit(uid, request, place if is_next else None))

    def _full(self) -> QueueFull:
        self._refused += 1
        return QueueFull(
            "The server is busy: all places are taken. Try again later.",
            retry_after_s=self.retry_after_s,
        )

    def _submit(self, command: Submit) -> Generation:
        uid, request = command.uid, command.request
        unread = MOST_UNREAD // (1 + (request.sampling.top_logprobs or 0))
        prompt = PromptProgress(len(request.prompt_ids), self._clock)
        generation = Generation(uid, prompt, lambda: self._cancel(uid), unread)
        self._callers.add(uid, generation)
        self._commands.put(command)
        return generation

    @property
    def retry_after_s(self) -> int:
        """In how many seconds a place should be free, as far as one can tell. Any thread."""
        return self._occupancy.retry_after_s()

    def place(self, uid: int) -> QueuePlace | None:
        """Where a sequence stands in the queue; ``None`` once it was admitted. Any thread."""
        return self._occupancy.place(uid)

    def warm(self, prompt_ids: tuple[int, ...]) -> None:
        """Compute a prompt that is likely to come, bit by bit, while nobody waits for anything.

        Any thread. Returns at once and never raises; a request that comes meanwhile goes first.
        """
        if self._phase.now is EngineState.OK:
            self._commands.put(Warm(prompt_ids))

    async def warm_bit(self, prompt_ids: tuple[int, ...]) -> bool:
        """As ``warm``, a bit alone, and after what that was asked for; whether there is more to do.

        Returns once it was computed, and False where the model is not there to do so.
        """
        if self._phase.now is not EngineState.OK:
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._bits.add(done)

        def answer(is_more: bool) -> None:
            self._post(_settle, done, is_more)

        self._commands.put(WarmBit(prompt_ids, answer))
        try:
            return await done
        finally:
            self._bits.discard(done)

    async def next_load(self) -> None:
        """Wait for the next time that the model is loaded. Raises ``ModelUnavailable``."""
        await self._reach(EngineState.OK)

    async def load(self) -> None:
        """Have the model loaded; return once it is. Raises ``ModelUnavailable``.

        It counts as a request: what is idle is idle from here on.
        """
        self._commands.put(Load())
        if self._phase.now is not EngineState.OK:
            await self._reach(EngineState.OK)

    async def unload(self) -> None:
        """Have the model leave the memory; return once it is given back. Raises as ``load``.

        Requests that run or are paused are answered first; those that wait or come meanwhile have
        the model loaded again. Cancelling takes the wish back unless others have it too.
        """
        if self._phase.now is EngineState.UNLOADED:
            return
        running, _, _ = self._occupancy.counts()
        paused, _ = self._occupancy.pauses()
        logger.info("the model is to be unloaded; %d requests go first", running + paused)
        self._commands.put(Unload())
        try:
            await self._reach(EngineState.UNLOADED)
        except asyncio.CancelledError:
            if not self._phase.is_awaited(EngineState.UNLOADED):
                logger.info("the model stays: nobody wants it unloaded any more")
                self._commands.put(Unload(wanted=False))
            raise

    def status(self) -> EngineStatus:
        """A reading for ``/health``. Any thread; never waits for the model."""
        active, waiting, oldest_wait_s = self._occupancy.counts()
        paused, pauses = self._occupancy.pauses()
        return EngineStatus(
            state=self._phase.now,
            error=self._error,
            active=active,
            waiting=waiting,
            oldest_wait_s=oldest_wait_s,
            decode_tokens_per_s=self._scheduler.decoded.per_second(),
            prefill_tokens_per_s=self._scheduler.prefilled.per_second(),
            refused=self._refused,
            paused=paused,
            pauses=pauses,
            prefix_cache=self._scheduler.prefix_cache,
            ranks=None if self._ranks is None else self._ranks.status(),
        )

    @property
    def most_tokens(self) -> int | None:
        """The longest sequence that the memory holds beside the model. Any thread.

        Before the model was first loaded that is what was expected; ``None`` where there is no
        bound, or none is known.
        """
        return self._scheduler.most_tokens or self._expected_tokens

    async def close(self) -> None:
        """Stop: open requests end with ``ModelUnavailable`` at once, then the thread is joined.

        The backend is closed on its own thread. A step or a load that is under way is waited for.
        Later calls wait for the same end.
        """
        if self._phase.now is not EngineState.CLOSED:
            self._phase.enter(EngineState.CLOSED)
            self._end_all()
            self._commands.put(Close())
        if self._thread.ident is not None:
            await self._exited.wait()
            if self._ranks is None or not self._ranks.is_lost:  # else it may wait for ever
                self._thread.join()

    def _cancel(self, uid: int) -> None:
        self._callers.cancel(uid)
        self._commands.put(Cancel(uid))

    async def _reach(self, wanted: EngineState) -> None:
        """Wait until the state was ``wanted`` once."""
        if self._phase.now.is_final or await self._phase.reach(wanted) is not wanted:
            raise self._unavailable()

    def _unavailable(self) -> ModelUnavailable:
        if self._phase.now is EngineState.CLOSED:
            return ModelUnavailable("The server is stopping.")
        return ModelUnavailable(f"The model is not available: {self._error}")

    # From here to the callbacks: the engine's thread.

    def _main(self) -> None:
        while True:
            try:
                backend = self._load()
            except BaseException as error:  # whatever it was, there is no model
                is_known = isinstance(error, MlxossError)
                trace = None if is_known else error
                logger.error("the model could not be loaded: %s", error, exc_info=trace)
                # Ranks may be there the next time, unlike what else is missing.
                ended = self._ran if isinstance(error, RanksLost) else self._load_failed
                self._post(ended, error)
                return
            self._post(self._change, EngineState.LOADING, EngineState.OK)
            is_idle, died = self._run(backend)
            del backend
            if not is_idle:
                break
            logger.info("the model was unloaded")
            self._post(self._change, EngineState.OK, EngineState.UNLOADED)
            if not self._scheduler.wait_for_request():
                break
            logger.info("the model is loaded again")
            self._post(self._change, EngineState.UNLOADED, EngineState.LOADING)
        self._post(self._ran, died)

    def _run(self, backend: Backend) -> tuple[bool, BaseException | None]:
        """Serve with ``backend`` and close it; whether that was for idleness, or what broke."""
        is_idle, died = False, None
        try:
            is_idle = self._scheduler.run(backend)
        except BaseException as error:  # requests must not hang on a dead thread
            logger.critical("the engine stopped", exc_info=error)
            died = error
        try:
            backend.close()
        except Exception:
            logger.exception("the model's memory could not be given back")
        return is_idle, died

    def _post_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        self._post(self._callers.hand_out, deliveries)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop was closed under us: nobody is left to be told, so stop.
            self._commands.put(Close())

    # Callbacks: the event loop's thread.

    def _change(self, old: EngineState, new: EngineState) -> None:
        if self._phase.now is old:
            self._phase.enter(new)

    def _load_failed(self, error: BaseException) -> None:
        self._fail(explain_load_failure(error))
        self._exited.set()

    def _ran(self, died: BaseException | None) -> None:
        if died is not None:
            stopping = self._phase.now is EngineState.CLOSED
            self._fail(str(died) or type(died).__name__)
            assert self._on_fatal is not None
            if not stopping:
                self._on_fatal(died)
        self._exited.set()

    def _fail(self, why: str) -> None:
        self._error = why
        if self._phase.now is not EngineState.CLOSED:
            self._phase.enter(EngineState.FAILED)
        self._end_all()

    def _end_all(self) -> None:
        """Nothing is answered any more."""
        self._callers.end_all(self._unavailable)
        for done in self._bits:
            _settle(done, False)


def _settle(done: asyncio.Future[bool], is_more: bool) -> None:
    if not done.done():
        done.set_result(is_more)
