"""The table of settings: each one's key, kind, default and help text."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path

from mlxoss.addresses import to_url
from mlxoss.config.kinds import (
    BufferSizes,
    Day,
    FilePath,
    HostName,
    Integer,
    Kind,
    ListOf,
    OneOf,
    Switch,
    Text,
    WebAddress,
    WebOrigin,
)

ENV_PREFIX = "MLXOSS_"
PREFIX_CACHE_DISK_BYTES = 8 << 30


def _about(kind: Kind, help: str) -> dict[str, object]:
    return {"kind": kind, "help": help}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting, validated. The default of ``None`` means: not set."""

    model: str | None = field(
        default=None,
        metadata=_about(
            Text(), "A folder, or a Hugging Face id that was pulled; else the bundled demo."
        ),
    )
    hostfile: Path | None = field(
        default=None,
        metadata=_about(
            FilePath(), "Share the model among the hosts of this file (mlx.launch's format)."
        ),
    )
    backend: str | None = field(
        default=None,
        metadata=_about(
            OneOf("ring", "jaccl"),
            "What the hosts are connected by, ring (TCP) or jaccl (RDMA over Thunderbolt); else "
            "the hostfile's, else ring.",
        ),
    )
    rank_timeout: int = field(
        default=30,
        metadata=_about(
            Integer(2, 86_400),
            "Seconds without a sign of a host, or for one step, until the whole group ends.",
        ),
    )
    host: str = field(
        default="localhost",
        metadata=_about(
            Text(),
            "The address to listen on; localhost is 127.0.0.1 and, where there is IPv6, ::1.",
        ),
    )
    port: int = field(
        default=8000,
        metadata=_about(Integer(0, 65535), "The port to listen on; 0 takes a free one."),
    )
    unix_socket: Path | None = field(
        default=None,
        metadata=_about(
            FilePath(), "Listen on this unix socket too, which only its owner can connect to."
        ),
    )
    tls_cert: Path | None = field(
        default=None,
        metadata=_about(
            FilePath(), "Serve https with this certificate (PEM, followed by those that signed it)."
        ),
    )
    tls_key: Path | None = field(
        default=None,
        metadata=_about(FilePath(), "The certificate's private key (PEM, without a password)."),
    )
    allow_host: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            ListOf(HostName()),
            "Names besides this machine's own by which clients may ask for the server; * is any.",
        ),
    )
    allow_origin: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            ListOf(WebOrigin()), "Web pages' origins that may use the server (CORS); * is any."
        ),
    )
    insecure_no_auth: bool = field(
        default=False,
        metadata=_about(
            Switch(), "Serve other machines though there is no API key; one that exists is asked."
        ),
    )
    request_timeout: int = field(
        default=3600,
        metadata=_about(
            Integer(0, 1_000_000), "Most seconds that one answer may take; 0 sets no bound."
        ),
    )
    max_connections: int = field(
        default=2048,
        metadata=_about(
            Integer(1, 100_000), "Most open connections; idle ones make room for new ones."
        ),
    )
    max_requests_per_key: int = field(
        default=0,
        metadata=_about(
            Integer(0, 100_000),
            "Most requests of one API key in progress, more are refused (429); 0 sets no bound.",
        ),
    )
    context_length: int | None = field(
        default=None,
        metadata=_about(
            Integer(1), "Most tokens of prompt and answer together; else the model's own maximum."
        ),
    )
    max_batch: int = field(
        default=8,
        metadata=_about(Integer(1, 64), "Most sequences that generate at the same time."),
    )
    max_queue: int = field(
        default=64,
        metadata=_about(
            Integer(0, 100_000), "Most requests that wait for a place; more are refused (429)."
        ),
    )
    memory_limit: int | None = field(
        default=None,
        metadata=_about(
            Integer(1 << 20),
            "Most bytes of memory for the model and all answers; else what the device recommends.",
        ),
    )
    fp16: bool = field(
        default=False,
        metadata=_about(
            Switch(),
            "Compute in float16 where the model has bfloat16: faster on M1 and M2. Tried at each "
            "load, and left if values overflow.",
        ),
    )
    wired: str = field(
        default="auto",
        metadata=_about(
            OneOf("auto", "weights", "off"),
            "Keep the weights where the system cannot page them out (macOS 15 or newer); auto does "
            "on Macs with more than 16 GB. Not after 10 idle minutes.",
        ),
    )
    keep_warm: int = field(
        default=0,
        metadata=_about(
            Integer(0, 3600),
            "Seconds after an answer in which the GPU is kept from slowing down, 0 for none; never "
            "on battery or in low power mode, and not among several hosts.",
        ),
    )
    fused_experts: bool = field(
        default=True,
        metadata=_about(
            Switch(), "Multiply by an expert's gate and up projections at once: the same tokens."
        ),
    )
    compiled_layers: bool = field(
        default=True,
        metadata=_about(
            Switch(),
            "Keep the graph of a decode step's layers instead of building it anew: the same "
            "tokens; not among several hosts.",
        ),
    )
    plain_caches: bool = field(
        default=True,
        metadata=_about(
            Switch(),
            "Keep a sequence that is alone without the masks and offsets of a batch: the same "
            "tokens.",
        ),
    )
    command_buffers: str = field(
        default="auto",
        metadata=_about(
            BufferSizes(),
            "Operations and millions of elements in one of Metal's command buffers; auto has them "
            "large where the memory allows, mlx leaves it to MLX.",
        ),
    )
    tuned: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"),
            "Use what mlxoss tune found for this machine and model, where nothing is set here.",
        ),
    )
    prefix_cache_bytes: int | None = field(
        default=None,
        metadata=_about(
            Integer(0),
            "Most bytes kept of prompts for those that begin alike, 0 for none; else a quarter of "
            "the memory that the model leaves.",
        ),
    )
    prefix_cache_disk: int | None = field(
        default=None,
        metadata=_about(
            Integer(0),
            "Most bytes of that kept on the disk, for the next start, 0 for none; else 8 GiB, "
            "none without a responses store.",
        ),
    )
    warm_prefixes: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"),
            "After a load, compute what most conversations begin with while nothing runs; never on "
            "battery or in low power mode, nor without a prefix cache on the disk.",
        ),
    )
    idle_unload: int = field(
        default=30,
        metadata=_about(
            Integer(0, 1_000_000),
            "Minutes without a request until the model leaves the memory, 0 for never; the next "
            "request loads it again.",
        ),
    )
    keep_awake: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"),
            "Keep a Mac from falling asleep by itself while requests run; the display may.",
        ),
    )
    guard: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"), "Let the model write only what its form and the request allow."
        ),
    )
    loop_guard: int = field(
        default=2048,
        metadata=_about(
            Integer(0, 1_000_000), "End an answer whose last N tokens repeat; 0 for never."
        ),
    )
    date: datetime.date | None = field(
        default=None,
        metadata=_about(Day(), "The day the model is told; else the current one."),
    )
    allow_fetch: bool = field(
        default=False,
        metadata=_about(
            Switch(), "Read files by the addresses that requests name, public ones alone."
        ),
    )
    tool_python: str = field(
        default="off",
        metadata=_about(
            OneOf("on", "off"),
            "Let the model run Python in a sandbox; mlxoss tools enable python sets it up.",
        ),
    )
    tool_browser: str = field(
        default="off",
        metadata=_about(
            OneOf("off", "searxng", "brave", "exa", "tavily", "you"),
            "Let the model search the web by this engine and open public pages; what it looks for "
            "goes there. mlxoss tools enable browser sets it.",
        ),
    )
    searxng_url: str | None = field(
        default=None,
        metadata=_about(WebAddress(), "Where your SearXNG is, for tool_browser searxng."),
    )
    tool_mcp: str = field(
        default="off",
        metadata=_about(
            OneOf("on", "off"),
            "Let requests use the MCP servers of mcp.json, in the configuration file's folder.",
        ),
    )
    mcp_addresses: str = field(
        default="off",
        metadata=_about(
            OneOf("on", "off"),
            "Let requests name MCP servers by their address (server_url), public ones alone.",
        ),
    )
    responses_store: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"), "Keep responses on disk; off keeps them until the daemon ends."
        ),
    )
    responses_store_max_items: int = field(
        default=10_000,
        metadata=_about(Integer(1, 10_000_000), "Most responses that are kept; the oldest go."),
    )
    responses_store_max_bytes: int = field(
        default=1 << 30,
        metadata=_about(Integer(1 << 20), "Most bytes that kept responses take on the disk."),
    )
    reasoning_summary: str = field(
        default="on",
        metadata=_about(
            OneOf("on", "off"), "Give the reasoning as its summary to clients that ask for one."
        ),
    )
    log_level: str = field(
        default="info",
        metadata=_about(
            OneOf("debug", "info", "warning", "error", "critical"), "The least that is logged."
        ),
    )
    log_file: Path | None = field(
        default=None,
        metadata=_about(FilePath(), "Log to this file (5 files of 10 MB in turn); else to stderr."),
    )
    debug_raw_preview_chars: int = field(
        default=0,
        metadata=_about(
            Integer(0),
            "Show that many raw characters of prompt and answer among the recent requests; "
            "level debug logs the answer's.",
        ),
    )
    http_access_log: bool = field(
        default=False, metadata=_about(Switch(), "Log a line per HTTP request.")
    )
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Names of the settings that somebody set, whatever to; no setting itself."""

    @property
    def url(self) -> str:
        """How a client on this machine reaches the server that has these settings."""
        return to_url(self.host, self.port, is_tls=self.tls_cert is not None)

    @property
    def warms_prefixes(self) -> bool:
        """Whether ``warm_prefixes`` is in force: what they are is kept on the disk too."""
        has_cache = self.prefix_cache_bytes != 0 and self.snapshots_limit_bytes > 0
        return self.warm_prefixes == "on" and has_cache

    @property
    def snapshots_limit_bytes(self) -> int:
        """What ``prefix_cache_disk`` comes to: nothing of what was said goes to the disk where
        ``responses_store`` says so, unless it is asked for."""
        if self.prefix_cache_disk is not None:
            return self.prefix_cache_disk
        return PREFIX_CACHE_DISK_BYTES if self.responses_store == "on" else 0


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of ``Config`` with its three names: key, environment variable and flag."""

    name: str
    kind: Kind
    default: object
    help: str

    @property
    def variable(self) -> str:
        """The environment variable: ``MLXOSS_CONTEXT_LENGTH``."""
        return ENV_PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag: ``--context-length``."""
        return "--" + self.name.replace("_", "-")


@cache
def settings() -> Mapping[str, Setting]:
    """Every setting by its key, in the order of ``Config``."""
    return {
        f.name: Setting(f.name, f.metadata["kind"], f.default, f.metadata["help"])
        for f in fields(Config)
        if f.metadata
    }
