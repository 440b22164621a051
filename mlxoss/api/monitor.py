"""What the server tells of itself: health, the last requests, the model's coming and going."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict


class MemoryReport(TypedDict):
    """Bytes held: by the process, and by MLX once a model is loaded.

    Of a Mac's process it is the physical footprint. On Metal ``wired_bytes`` of the weights are
    wired, and ``limit_bytes`` is what the device can hold at a time. After idle minutes the
    weights are let go: 0 are wired then, and ``let_go_bytes`` will be once a request comes.
    """

    process_bytes: NotRequired[int]
    active_bytes: NotRequired[int]
    peak_bytes: NotRequired[int]
    cache_bytes: NotRequired[int]
    wired_bytes: NotRequired[int]
    let_go_bytes: NotRequired[int]
    limit_bytes: NotRequired[int]


class StoreReport(TypedDict):
    """How much is kept."""

    responses: int
    conversations: int
    remembered_turns: int
    bytes: int


class PrefixCacheReport(TypedDict):
    """What is kept of computed prompts."""

    entries: int
    bytes: int
    limit_bytes: int
    hits: int
    hit_tokens: int
    disk_entries: int
    disk_bytes: int
    disk_limit_bytes: int
    disk_hits: int


class ProblemReport(TypedDict):
    """What is wrong although the server serves; ``since`` is a Unix time in seconds."""

    code: str
    message: str
    remedy: str
    since: float


class AwakeReport(TypedDict):
    """Whether the machine's idle sleep is held off, which it is while requests run; ``error`` says
    why it could not be.
    """

    state: Literal["held", "ready", "off", "unsupported", "failed"]
    error: NotRequired[str]


class ToolCountReport(TypedDict):
    """Calls of a tool that ended, those of them that failed, and the seconds of all."""

    calls: int
    failures: int
    seconds: float


class ToolsReport(TypedDict):
    """What this server runs for the model: ``browser`` by which search engine, ``mcp`` by the
    labels of its servers. ``calls`` are those since the start, by tool.
    """

    python: bool
    browser: str | None
    mcp: list[str]
    calls: dict[str, ToolCountReport]


class ControlReport(TypedDict):
    """What the model was brought to; ``warmed`` prefixes are computed, where that was asked for."""

    status: Literal["ok", "unloaded"]
    memory: MemoryReport
    warmed: NotRequired[int]


class FinishedRequest(TypedDict):
    """Sizes and times of a request for a turn; those that were not reached are left out.

    An answer of several ``rounds``, between which tools ran, has no rates.
    ``preview`` is there only with the setting ``debug_raw_preview_chars``.
    """

    id: str
    endpoint: str
    client: str
    status: int
    ended_at: float
    total_s: float
    wait_s: NotRequired[float]
    ttft_s: NotRequired[float]
    prompt_tokens: NotRequired[int]
    cached_tokens: NotRequired[int]
    completion_tokens: NotRequired[int]
    reasoning_tokens: NotRequired[int]
    rounds: int
    decode_tokens_per_s: NotRequired[float]
    preview: NotRequired[str]
    error: NotRequired[str]


class RunningRequest(TypedDict):
    """A request that waits or runs. In ``prefill`` so many tokens of the prompt are computed, the
    cached ones among them. ``place`` is that in the queue, 1 the next; ``left_s`` is when the
    prefill, or the wait, should end, as far as one can tell. While a ``tool`` of this server runs
    the model waits for it.
    """

    id: str
    endpoint: str
    state: Literal["queued", "prefill", "decode"]
    age_s: NotRequired[float]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    tool: NotRequired[str]
    place: NotRequired[int]
    prefilled_tokens: NotRequired[int]
    prefill_tokens_per_s: NotRequired[float]
    left_s: NotRequired[float]


class RequestsReport(TypedDict):
    """The last requests, the newest first, and those that wait or run, the oldest first."""

    object: Literal["list"]
    data: list[FinishedRequest]
    running: list[RunningRequest]


class UsageReport(TypedDict):
    """What one client asked for and got by one API on a day in the server's local time; cached
    tokens are of the input, reasoning tokens of the output.
    """

    day: str
    client: str
    endpoint: str
    requests: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


class UsageReports(TypedDict):
    """The last days' usage, sorted by day, client and API."""

    object: Literal["list"]
    data: list[UsageReport]


class RankReport(TypedDict):
    """One of the hosts that share the model; ``memory`` is MLX's, in bytes."""

    rank: int
    host: str
    pid: int | None
    memory: dict[str, int]
    silent_s: float


class RanksReport(TypedDict):
    """The hosts that share the model. ``communication_s_per_step`` is what the sums of a step of
    one sequence take one after the other, measured when nothing else ran.
    """

    backend: Literal["ring", "jaccl"]
    communication_s_per_step: float | None
    ranks: list[RankReport]


class HealthReport(TypedDict):
    """Whether the server can work and how busy it is; without a needed key the status alone."""

    status: Literal["loading", "ok", "unloaded", "failed", "stopping"]
    model: NotRequired[str]
    version: NotRequired[str]
    pid: NotRequired[int]
    uptime_s: NotRequired[float]
    active_requests: NotRequired[int]
    queued_requests: NotRequired[int]
    paused_requests: NotRequired[int]
    pauses: NotRequired[int]
    context_tokens: NotRequired[int]
    oldest_wait_s: NotRequired[float]
    running: NotRequired[list[RunningRequest]]
    max_active_requests: NotRequired[int]
    max_queued_requests: NotRequired[int]
    refused_requests: NotRequired[int]
    decode_tokens_per_s: NotRequired[float]
    prefill_tokens_per_s: NotRequired[float]
    harmony_recoveries: NotRequired[dict[str, int]]
    memory: NotRequired[MemoryReport]
    awake: NotRequired[AwakeReport]
    tools: NotRequired[ToolsReport]
    problems: NotRequired[list[ProblemReport]]
    prefix_cache: NotRequired[PrefixCacheReport]
    ranks: NotRequired[RanksReport]
    store: NotRequired[StoreReport]
    error: NotRequired[str | None]
