"""The files that other servers want beside a checkpoint: a tokenizer and a chat template.

Both are made of the bundled vocabulary, so that no network is needed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from mlxoss.harmony.encoding import FIRST_SPECIAL, VOCAB_SIZE, load_encoding, read_vocabulary

_LOWER, _UPPER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_WORDS = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_ENDING}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_ENDING}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEMPLATE = """\
<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.
Knowledge cutoff: 2024-06

Reasoning: medium

# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>
{%- for message in messages -%}
<|start|>{{ message.role }}
{%- if message.role == "assistant" %}<|channel|>final{% endif -%}
<|message|>{{ message.content or "" }}<|end|>
{%- endfor -%}
<|start|>assistant
{#- nothing follows -#}
"""


def write_tokenizer(folder: Path) -> None:
    """Write ``tokenizer.json``, its configuration and the template into ``folder``. Seconds."""
    tokenizer = Tokenizer(_read_model())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    encoding = load_encoding()
    names = [encoding.decode([token_id]) for token_id in range(FIRST_SPECIAL, VOCAB_SIZE)]
    tokenizer.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|return|>",
        "chat_template": _TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _read_model() -> models.BPE:
    lines = (line.split() for line in read_vocabulary().splitlines())
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    letters = dict(_byte_letters())

    def spell(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    merges = [
        (spell(token[:cut]), spell(token[cut:])) for token in ranks for cut in _cuts(token, ranks)
    ]
    vocabulary = {spell(token): rank for token, rank in ranks.items()}
    return models.BPE(vocabulary, merges, ignore_merges=True)


def _cuts(token: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Where ``token`` falls into two tokens, the earliest left one first."""
    cuts = [n for n in range(1, len(token)) if token[:n] in ranks and token[n:] in ranks]
    return sorted(cuts, key=lambda n: ranks[token[:n]])


def _byte_letters() -> Iterator[tuple[int, str]]:
    """A printable letter for each byte, as byte-level BPE writes them (GPT-2)."""
    spare = 256
    for byte in range(256):
        if chr(byte).isprintable() and byte not in (0x20, 0xA0, 0xAD):
            yield byte, chr(byte)
        else:
            yield byte, chr(spare)
            spare += 1
