"""Every layout that a gpt_oss comes in, and every way in which a folder is none."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.models.rope_utils import initialize_rope
from numpy.typing import NDArray

from mlxoss.engine.checkpoint.config import read_config
from mlxoss.engine.checkpoint.folder import read_any_checkpoint
from mlxoss.engine.checkpoint.loader import load_folder, resolve_model
from mlxoss.engine.checkpoint.yarn import read_yarn
from mlxoss.errors import ModelError
from tests.support.checkpoints import TinyModel, make_config, write_outline, write_quantised
from tests.support.formats import (
    LAYOUTS,
    SIZE,
    Arrays,
    as_mlx,
    as_mxfp4,
    as_unquantised,
    with_rope_parameters,
    write,
)

IDS = [int(id_) for id_ in np.random.default_rng(5).integers(0, SIZE.vocab_size, 300)]


def logits(folder: Path) -> NDArray[Any]:
    return np.array(load_folder(folder)(mx.array([IDS]))[0].astype(mx.float32))


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> NDArray[Any]:
    return logits(write(tmp_path_factory.mktemp("mlx"), *as_mlx()))


def check_same(found: NDArray[Any], expected: NDArray[Any], most: float = 2e-4) -> None:
    assert np.abs(found - expected).max() < most
    assert (found.argmax(-1) == expected.argmax(-1)).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_weights_in_every_layout(
    tmp_path: Path, layout: str, expected: NDArray[Any]
) -> None:
    folder = write(tmp_path, *LAYOUTS[layout]())
    assert read_any_checkpoint(folder, "x").layout.value == layout
    check_same(logits(folder), expected)


@pytest.mark.parametrize("layout", ["unquantised", "mlx"])
def test_halves_are_computed_in_float32_where_a_cpu_must(
    tmp_path: Path, layout: str, expected: NDArray[Any]
) -> None:
    arrays, config = LAYOUTS[layout]()
    halves: Any = {name: mx.array(value).astype(mx.bfloat16) for name, value in arrays.items()}
    write(tmp_path, arrays, config)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), halves)
    found = logits(tmp_path)
    # Rounded weights give other numbers, and the same choice wherever it was clear.
    ordered = np.sort(expected, axis=-1)
    clear = ordered[:, -1] - ordered[:, -2] > 0.5
    assert (found.argmax(-1) == expected.argmax(-1))[clear].all()


def test_sinks_may_be_wider_than_all_else(tmp_path: Path) -> None:
    arrays, config = as_mxfp4()
    halves: Any = {
        name: mx.array(value).astype(mx.bfloat16)
        if value.dtype == np.float32 and "sinks" not in name
        else mx.array(value)
        for name, value in arrays.items()
    }
    write(tmp_path, arrays, config)
    mx.save_safetensors(str(tmp_path / "model.safetensors"), halves)
    assert np.isfinite(logits(tmp_path)).all()


@pytest.mark.parametrize(("bits", "mode"), [(8, "affine"), (4, "affine"), (4, "mxfp4")])
def test_what_the_converter_of_mlx_lm_quantised(tmp_path: Path, bits: int, mode: str) -> None:
    source = write(tmp_path / "source", *as_mlx())
    folder = write_quantised(tmp_path / "quantised", source, bits=bits, mode=mode)
    assert np.isfinite(logits(folder)).all()


def test_shards_and_tokenizer_files_beside_them(tmp_path: Path, expected: NDArray[Any]) -> None:
    arrays, config = as_mxfp4()
    folder = write(tmp_path, arrays, config)
    (folder / "model.safetensors").unlink()
    names = sorted(arrays)
    files = {"model-00000-of-00001.safetensors": names[::2]}
    files["model-00001-of-00001.safetensors"] = names[1::2]
    for file, own in files.items():
        part = write(tmp_path / "part", {name: arrays[name] for name in own}, {})
        (part / "model.safetensors").rename(folder / file)
    weight_map = {name: file for file, own in files.items() for name in own}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "tokenizer.json").write_text("{")
    check_same(logits(folder), expected)


@pytest.mark.parametrize(
    "change",
    [
        with_rope_parameters,
        lambda config: config | {"layer_types": None},
        lambda config: {key: value for key, value in config.items() if key != "sliding_window"},
        lambda config: {key: value for key, value in config.items() if key != "rope_theta"},
        lambda config: config | {"rope_scaling": with_type(config["rope_scaling"])},
    ],
    ids=["transformers 5", "no layer_types", "no sliding_window", "no rope_theta", "type"],
)
def test_one_model_however_its_configuration_is_written(
    tmp_path: Path, expected: NDArray[Any], change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    arrays, config = as_mlx()
    changed = {key: value for key, value in change(config).items() if value is not None}
    check_same(logits(write(tmp_path, arrays, changed)), expected)


def with_type(rope: dict[str, Any]) -> dict[str, Any]:
    return {"type" if key == "rope_type" else key: value for key, value in rope.items()}


def test_mxfp4_that_its_configuration_does_not_name(tmp_path: Path, expected: NDArray[Any]) -> None:
    arrays, config = as_mxfp4()
    del config["quantization_config"]
    check_same(logits(write(tmp_path, arrays, config)), expected)


@pytest.mark.parametrize("method", ["gptq", "awq", "mxfp4"])
@pytest.mark.parametrize("layout", ["unquantised", "mlx"])
def test_what_a_configuration_says_of_a_quantisation_that_was_undone(
    tmp_path: Path, layout: str, method: str, expected: NDArray[Any]
) -> None:
    arrays, config = LAYOUTS[layout]()
    config["quantization_config"] = {"quant_method": method, "bits": 4, "group_size": 128}
    check_same(logits(write(tmp_path, arrays, config)), expected)


ROPE = make_config(SIZE)["rope_scaling"]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"rope_scaling": None}, "neither rope_scaling nor rope_parameters"),
        ({"rope_scaling": {"rope_type": "default"}}, "of the type 'default' and not 'yarn'"),
        ({"rope_scaling": ROPE | {"rope_type": "linear"}}, "of the type 'linear'"),
        (
            {"rope_scaling": {"rope_type": "yarn"}},
            "rope_scaling .* has factor None",
        ),
        ({"rope_scaling": ROPE | {"factor": "32"}}, "has factor '32'"),
        ({"rope_scaling": ROPE | {"factor": float("nan")}}, "has factor nan"),
        ({"rope_scaling": ROPE | {"beta_fast": 0.5}}, "a beta_slow that is not below beta_fast"),
        ({"rope_scaling": ROPE | {"short_factor": [1]}}, "has short_factor, which is not known"),
        ({"rope_theta": 0}, "has rope_theta 0"),
        ({"layer_types": ["full_attention"]}, "layer_types .* not those of 2 layers"),
        ({"layer_types": ["full_attention"] * 2}, "layer_types .* are not"),
        ({"layer_types": ["sliding_attention", "linear_attention"]}, "layer_types .* are not"),
        ({"layer_types": [[], {}]}, "layer_types .* are not"),
        ({"rope_scaling": ROPE | {"factor": 10**400}}, "has factor 1000"),
        ({"rope_theta": 1.0}, "has rope_theta 1.0"),
        ({"max_position_embeddings": "131072"}, "has max_position_embeddings '131072'"),
        ({"max_position_embeddings": [1]}, r"has max_position_embeddings \[1\]"),
        ({"max_position_embeddings": -1}, "has max_position_embeddings -1"),
        ({"max_position_embeddings": "-", "initial_context_length": "4"}, "initial_context_length"),
        ({"num_hidden_layers": 10**400}, "has num_hidden_layers 1000"),
        ({"rms_norm_eps": None}, "has rms_norm_eps None"),
        ({"rms_norm_eps": "1e-5"}, "has rms_norm_eps '1e-5'"),
        ({"sliding_window": 0}, "has sliding_window 0"),
        ({"sliding_window": None}, "has sliding_window None"),
        ({"swiglu_limit": 3.0}, "has swiglu_limit 3.0"),
        ({"num_local_experts": 8}, "with num_local_experts 8, .*router.weight should have 8 rows"),
        ({"num_experts_per_tok": 5}, "num_experts_per_tok above num_local_experts"),
        ({"head_dim": 64}, "with head_dim 64, .*q_proj.bias should have 256 rows, and it has 128"),
        ({"num_attention_heads": 8}, "with num_attention_heads 8, .*sinks should have 8 rows"),
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_key_value_heads": 1}, "with num_key_value_heads 1, .*k_proj.bias should have 32"),
        ({"intermediate_size": 32}, "with intermediate_size 32, .*gate_proj.bias"),
        ({"hidden_size": 32}, "with hidden_size 32, model.norm.weight"),
        ({"num_hidden_layers": 4, "layer_types": "-"}, "lacks 38 parameters of its 79"),
        ({"num_hidden_layers": 1, "layer_types": "-"}, "layer_types"),
        ({"hidden_size": "-"}, "does not say hidden_size"),
    ],
)
def test_what_a_configuration_may_not_say(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    folder = write_outline(tmp_path / "model", **config)
    with pytest.raises(ModelError, match=rf"{words}.*: give --model a folder") as caught:
        resolve_model(str(folder))
    assert "\n" not in str(caught.value)


def change(name: str, make: Callable[[NDArray[Any]], NDArray[Any] | None]) -> Callable[..., None]:
    def changed(arrays: Arrays) -> None:
        value = make(arrays.pop(name))
        if value is not None:
            arrays[name] = value

    return changed


GATE = "model.layers.1.mlp.experts.gate_up_proj"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (change("lm_head.weight", lambda _: None), r"lacks 1 parameter of its 41 \(lm_head.weight"),
        (lambda arrays: arrays.update(extra=np.zeros(1)), r"has 1 parameter that .* \(extra first"),
        (
            lambda arrays: arrays.update({f"block.{i}": np.zeros(1) for i in range(9)}),
            "has 9 parameters that gpt_oss does not have",
        ),
        (change(f"{GATE}_bias", lambda v: v[:, 1:]), "should have 128 rows, and it has 127"),
        (change("model.norm.weight", lambda v: v[1:]), "should have 64 rows, and it has 63"),
        (change("model.layers.0.self_attn.v_proj.bias", lambda v: v[1:]), "Expected shape"),
        (change("lm_head.weight", lambda v: v.astype(np.uint8)), "has lm_head.weight in U8, and"),
        (change("lm_head.weight", lambda v: v.astype(np.float64)), "has lm_head.weight in F64"),
        (change(f"{GATE}_blocks", lambda v: v.astype(np.int8)), f"has {GATE}_blocks in I8"),
    ],
    ids=["missing", "foreign", "many", "experts", "norm", "odd", "bytes", "doubles", "signed"],
)
def test_weights_that_are_not_the_models(
    tmp_path: Path, changed: Callable[[Arrays], None], words: str
) -> None:
    arrays, config = as_mxfp4()
    changed(arrays)
    with pytest.raises(ModelError, match=rf"{words}.*pull it anew") as caught:
        load_folder(write(tmp_path, arrays, config))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    ["[]", "null", '{"weight_map": {"a": ["x"]}}', '{"weight_map": {"a": 5}}', "[" * 100_000],
)
def test_an_index_that_is_none(tmp_path: Path, body: str) -> None:
    folder = write(tmp_path, *as_mxfp4())
    (folder / "model.safetensors.index.json").write_text(body)
    with pytest.raises(ModelError, match=r"index.json cannot be read: pull it anew\.$"):
        read_any_checkpoint(folder, "pull it anew")


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 0]}}',
        b'{"__metadata__": {"a": "' + b" " * 100_000_000 + b'"}}',
    ],
    ids=["deep", "infinite", "longer than may be"],
)
def test_a_header_that_is_none(tmp_path: Path, header: bytes) -> None:
    folder = write(tmp_path, *as_mxfp4())
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(ModelError, match=r"are damaged: pull it anew\.$"):
        read_any_checkpoint(folder, "pull it anew")


def test_a_configuration_too_deep_to_be_read(tmp_path: Path) -> None:
    folder = write(tmp_path, *as_mxfp4())
    (folder / "config.json").write_text("[" * 200_000)
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        read_any_checkpoint(folder, "pull it anew")


def put(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def changed(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array.reshape(-1)[3] = value
        return array

    return changed


@pytest.mark.parametrize(
    ("make", "name", "value", "said"),
    [
        (as_unquantised, GATE, np.nan, "model.layers.1.mlp.experts.gate_up_proj.weight"),
        (as_unquantised, f"{GATE}_bias", np.inf, "model.layers.1.mlp.experts.gate_up_proj.bias"),
        (as_mlx, "model.layers.0.self_attn.sinks", -np.inf, "model.layers.0.self_attn.sinks"),
        (as_mlx, "lm_head.weight", np.nan, "lm_head.weight"),
        (as_mxfp4, f"{GATE}_scales", 255, "model.layers.1.mlp.experts.gate_up_proj.scales"),
    ],
)
def test_weights_that_are_no_numbers(
    tmp_path: Path, make: Callable[[], Any], name: str, value: float, said: str
) -> None:
    arrays, config = make()
    change(name, put(value))(arrays)
    folder = write(tmp_path, arrays, config)
    with pytest.raises(ModelError, match=rf"{said} has values that are not numbers.*pull it anew"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-oss-20b-Q4.gguf", "holds GGUF files, which are llama.cpp's"),
        ("model.bin", "OpenAI's weights for their own Metal program"),
        ("README.md", "has no config.json"),
    ],
)
def test_what_else_a_folder_may_hold(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(struct.pack("4s", b"GGUF"))
    with pytest.raises(ModelError, match=words):
        resolve_model(str(tmp_path))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "gpt-oss-20b.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="is a GGUF file, which is llama"):
        resolve_model(str(file))
    other = tmp_path / "model.safetensors"
    other.write_bytes(b"")
    with pytest.raises(ModelError, match="is a file and not served"):
        resolve_model(str(other))


def test_quantised_weights_whose_configuration_does_not_say_how(tmp_path: Path) -> None:
    source = write(tmp_path / "source", *as_mlx())
    folder = write_quantised(tmp_path / "quantised", source, bits=8, mode="affine")
    config = json.loads((folder / "config.json").read_text())
    del config["quantization"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"does not say how \(quantization\)"):
        load_folder(folder)


def test_mlx_lm_still_rounds_where_gpt_oss_does_not() -> None:
    """When this fails, mlx-lm does it right, and ``set_yarn`` may go but for the magnitude."""
    config = make_config(TinyModel())
    own = read_config(config).yarn.frequencies(64)
    theirs = initialize_rope(64, 150000, False, config["rope_scaling"])._freqs
    apart = np.abs(1 / np.array(theirs) / own - 1)
    assert (apart > 1e-3).sum() == 9
    assert apart.max() > 0.4


def test_a_configuration_may_ask_for_rounding() -> None:
    config = make_config(TinyModel())
    asked = read_yarn(config | {"rope_scaling": ROPE | {"truncate": True}})
    theirs = initialize_rope(64, 150000, False, config["rope_scaling"])._freqs
    assert np.abs(1 / np.array(theirs) / asked.frequencies(64) - 1).max() < 1e-6
    assert read_yarn(config | {"rope_scaling": ROPE | {"attention_factor": 2}}).magnitude == 2.0
