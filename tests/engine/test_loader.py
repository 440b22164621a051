from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlxoss.demo import DEMO_CONTEXT_TOKENS, DEMO_CREATED, DEMO_NAME
from mlxoss.engine.checkpoint.folder import read_revision
from mlxoss.engine.checkpoint.loader import load_folder, resolve_model
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.errors import ModelError
from mlxoss.model_pins import Pin, write_pin
from mlxoss.paths import pins_file
from tests.support.checkpoints import (
    FULL_VOCAB,
    TinyModel,
    make_config,
    write_checkpoint,
    write_outline,
    write_quantised,
)
from tests.support.engine.harness import greedy_reference, make_request, run_batch

MODEL_ID = "some-org/gpt-oss-tiny"
PULL = f"run `mlxoss models pull {MODEL_ID}`"
COMMITS = ("a" * 40, "b" * 40)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"MLXOSS_HOME": str(tmp_path / "home")}


@pytest.fixture
def hub_cache(tmp_path: Path) -> Path:
    """A Hugging Face cache with two commits of one model, ``main`` being the second."""
    folder = tmp_path / "hub" / "models--some-org--gpt-oss-tiny"
    for commit in COMMITS:
        write_outline(folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMITS[1])
    return tmp_path / "hub"


def test_a_folder(tmp_path: Path, env: dict[str, str]) -> None:
    folder = write_outline(tmp_path / "my-model")
    os.utime(folder / "config.json", (1_700_000_000.7, 1_700_000_000.7))
    source = resolve_model(str(folder), env=env)
    assert source.folder == folder
    assert source.info.name == "my-model"
    assert source.info.context_tokens == 131072
    assert source.info.created == 1_700_000_000
    assert resolve_model(f"{folder}/../my-model/", env=env) == source


def test_what_tells_a_checkpoint_from_another(tmp_path: Path) -> None:
    folder = write_outline(tmp_path / "model")
    weights, blob = folder / "model.safetensors", tmp_path / "blob"
    revisions = [read_revision(folder)]
    (folder / "README").write_text("x")
    assert read_revision(folder) == revisions[0]
    os.utime(weights, (1, 1))
    revisions.append(read_revision(folder))
    (folder / "config.json").write_text("{}")
    revisions.append(read_revision(folder))
    (folder / "model-2.safetensors").write_bytes(b"x")
    revisions.append(read_revision(folder))
    os.truncate(weights, 5)
    os.utime(weights, (1, 1))
    revisions.append(read_revision(folder))
    weights.rename(blob)
    weights.symlink_to(blob)
    revisions.append(read_revision(folder))
    assert len(set(revisions)) == 6


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"max_position_embeddings": "-"}, 131072),
        ({"max_position_embeddings": "-", "initial_context_length": 2048}, 65536),
        ({"max_position_embeddings": "-", "initial_context_length": "-"}, 131072),
    ],
)
def test_the_longest_context(
    tmp_path: Path, env: dict[str, str], config: dict[str, Any], expected: int
) -> None:
    folder = write_outline(tmp_path / "model", **config)
    assert resolve_model(str(folder), env=env).info.context_tokens == expected


def test_a_hub_id_is_the_commit_that_was_pulled_else_main(
    hub_cache: Path, env: dict[str, str]
) -> None:
    source = resolve_model(MODEL_ID, env=env, hub_cache=hub_cache)
    assert source.folder is not None
    assert source.folder.name == COMMITS[1]
    assert source.info.name == MODEL_ID
    write_pin(pins_file(env), MODEL_ID, Pin(COMMITS[0], pulled_at=0))
    pinned = resolve_model(MODEL_ID, env=env, hub_cache=hub_cache)
    assert pinned.folder is not None
    assert pinned.folder.name == COMMITS[0]


def test_a_hub_id_that_is_not_here(hub_cache: Path, env: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"is not on this machine: run `mlxoss models pull x/y`"):
        resolve_model("x/y", env=env, hub_cache=hub_cache)
    write_pin(pins_file(env), MODEL_ID, Pin("c" * 40, pulled_at=0))
    with pytest.raises(ModelError, match=PULL):
        resolve_model(MODEL_ID, env=env, hub_cache=hub_cache)


def test_a_hub_id_pulled_by_half(hub_cache: Path, env: dict[str, str]) -> None:
    (snapshot,) = hub_cache.glob(f"*/snapshots/{COMMITS[1]}")
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=rf"lacks 1 of 2 weight files .*: {PULL}"):
        resolve_model(MODEL_ID, env=env, hub_cache=hub_cache)
    (snapshot / "model-2.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    assert resolve_model(MODEL_ID, env=env, hub_cache=hub_cache).folder == snapshot


@pytest.mark.parametrize("name", ["/no/such/folder", "~/nothing-here", "nothing-here", "a/b/c"])
def test_a_name_that_is_neither_folder_nor_id(name: str, env: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"There is no model folder .* give --model"):
        resolve_model(name, env=env)


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", b"{", "cannot be read"),
        ("config.json", b"\xff\xfe", "cannot be read"),
        ("config.json", b"[]", "not a gpt_oss model"),
        ("config.json", b'{"model_type": "llama"}', "not a gpt_oss model.*'llama'"),
        ("config.json", b'{"model_type": "gpt_oss"}', "does not say hidden_size"),
        ("model.safetensors", None, "has no weights"),
        ("model.safetensors", b"", "damaged"),
        ("model.safetensors", b"\xff" * 20, "damaged"),
        ("model.safetensors", (2).to_bytes(8, "little") + b"{}and more", "damaged"),
        ("model.safetensors", (2).to_bytes(8, "little") + b"[]", "damaged"),
        ("model.safetensors.index.json", b"{}", "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_used(
    tmp_path: Path, env: dict[str, str], name: str, content: bytes | None, message: str
) -> None:
    folder = write_outline(tmp_path / "model")
    spoil(folder, name, content)
    with pytest.raises(ModelError, match=rf"(?s){message}.*: give --model a folder"):
        resolve_model(str(folder), env=env)


def test_a_broken_off_download_is_seen(tmp_path: Path, env: dict[str, str]) -> None:
    folder = write_outline(tmp_path / "model")
    resolve_model(str(folder), env=env)
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(ModelError, match="damaged"):
        resolve_model(str(folder), env=env)


def test_weights_that_do_not_fit_the_configuration(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", TinyModel(vocab_size=1000))
    (folder / "config.json").write_text(
        json.dumps(make_config(TinyModel(vocab_size=1000, layers=4)))
    )
    with pytest.raises(ModelError, match=r"lacks 38 parameters of its 79 .*layers.2.*pull it anew"):
        load_folder(folder)


def test_another_vocabulary(tmp_path: Path, env: dict[str, str]) -> None:
    folder = write_outline(tmp_path / "model", TinyModel(vocab_size=1000))
    with pytest.raises(ModelError, match="a vocabulary of 1000 tokens and not Harmony's"):
        resolve_model(str(folder), env=env)


def test_a_folder_cannot_bring_code(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = json.loads((checkpoint / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "evil.py"}))
    (folder / "model.safetensors").symlink_to(checkpoint / "model.safetensors")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="custom"):
        load_folder(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("bits", "mode"), [(8, "affine"), (4, "mxfp4")])
def test_quantised_checkpoints(checkpoint: Path, tmp_path: Path, bits: int, mode: str) -> None:
    folder = write_quantised(tmp_path / "quantised", checkpoint, bits=bits, mode=mode)
    model = load_folder(folder)
    requests = [make_request(range(n), 12) for n in (1, 20, 140)]
    outcomes = run_batch(MlxBackend(model), requests)
    assert [o.ids for o in outcomes] == [greedy_reference(model, r) for r in requests]


def test_a_loaded_model_keeps_what_its_folder_says(model: LanguageModel, checkpoint: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    assert model.args.vocab_size == config["vocab_size"]
    assert [type(cache).__name__ for cache in model.make_cache()] == ["RotatingKVCache", "KVCache"]


def test_the_bundled_demo_is_found_at_once_and_loaded_like_any_other(env: dict[str, str]) -> None:
    source = resolve_model(None, env=env)
    assert (source.info.name, source.info.created) == (DEMO_NAME, DEMO_CREATED)
    assert source.info.context_tokens == DEMO_CONTEXT_TOKENS
    model = source.load()
    assert model.args.vocab_size == FULL_VOCAB
    requests = [make_request(range(n), 8) for n in (3, 30)]
    outcomes = run_batch(MlxBackend(model), requests)
    assert [o.ids for o in outcomes] == [greedy_reference(model, r) for r in requests]
