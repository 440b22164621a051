"""The formula against the lock, the plist and Homebrew's rules, as far as can be told here."""

from __future__ import annotations

import importlib.util
import json
import plistlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlxoss.service.spec import LABEL

ROOT = Path(__file__).parents[2]
FORMULA = ROOT / "Formula" / "mlxoss.rb"
STUB = ROOT.parent / "shared" / "formula_stub.rb"
TEXT = FORMULA.read_text()


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("resources", ROOT / "Formula" / "resources.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["resources"] = module
    spec.loader.exec_module(module)
    return module


resources = load_generator()
LOCK = resources.Lock(tomllib.loads((ROOT / "uv.lock").read_text()))


def test_the_resources_are_those_of_the_lock() -> None:
    assert resources.renew(TEXT, LOCK) == TEXT


def test_every_block_is_pinned_and_sorted() -> None:
    names = re.findall(r'^  resource "([^"]+)" do$', TEXT, re.MULTILINE)
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    assert {"mlx", "mlx-metal", "mlx-lm", "openai-harmony", "sanic", "hatchling"} <= set(names)
    assert "mlxoss" not in names
    assert not [name for name in names if name.startswith("mlx-c")]  # Linux's backends
    urls = re.findall(r'url "(https://[^"]+\.whl)",\n +using: :nounzip\n +sha256 "([^"]+)"', TEXT)
    assert len(urls) == len(re.findall(r'url "[^"]+\.whl"', TEXT)) >= len(names)
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for _, digest in urls)


def test_mlx_and_its_kernels_are_chosen_together_by_the_version_of_macos() -> None:
    for name in ("mlx", "mlx-metal"):
        block = TEXT.partition(f'  resource "{name}" do\n')[2].partition("\n  end\n")[0]
        chosen = re.findall(r"    (on_\w+(?: :or_newer)?) do\n      url \S+macosx_(\d+)_0_", block)
        assert chosen == [("on_sonoma", "14"), ("on_sequoia", "15"), ("on_tahoe :or_newer", "26")]


def test_a_wheel_is_chosen_as_pip_would() -> None:
    def wheel(tags: str) -> dict[str, str]:
        return {"url": f"https://x/a-1-{tags}.whl", "hash": f"sha256:{tags}"}

    held = [
        *("cp314-cp314t-macosx_14_0_arm64", "cp313-cp313-macosx_14_0_arm64"),
        *("cp39-abi3-macosx_11_0_arm64", "cp314-cp314-macosx_15_0_arm64"),
        *("cp314-cp314-macosx_14_0_x86_64", "py3-none-any"),
    ]
    package = {"name": "a", "wheels": [wheel(tags) for tags in held]}
    assert resources.wheel_for(package, 14).sha256 == "cp39-abi3-macosx_11_0_arm64"
    assert resources.wheel_for(package, 15).sha256 == "cp314-cp314-macosx_15_0_arm64"
    with pytest.raises(SystemExit, match="no wheel for macOS 14"):
        resources.wheel_for({"name": "a", "wheels": [wheel(held[0])]}, 14)


def test_the_order_of_stanzas_and_the_layout() -> None:
    order = [
        *("include ", "desc ", "homepage ", "url ", "sha256 ", "license ", "head "),
        *("depends_on ", "preserve_rpath", "resource ", "def install", "def caveats"),
        *("service do", "test do"),
    ]
    found = [re.search(rf"^  {re.escape(word)}", TEXT, re.MULTILINE) for word in order]
    places = [match.start() for match in found if match]
    assert len(places) == len(order)
    assert places == sorted(places)
    description = re.findall(r'^  desc "(.+)"$', TEXT, re.MULTILINE)[0]
    assert len(description) <= 80
    assert description[0].isupper()
    assert not description.endswith(".")
    assert TEXT.endswith("end\n")
    lines = TEXT.splitlines()
    assert not [line for line in lines if line != line.rstrip() or "\t" in line]
    assert not [line for line in lines if len(line) > 118 and "https://" not in line]


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("there is no ruby here")
    if not STUB.exists():
        pytest.skip("there is no stand-in for Homebrew's formula language beside the checkout")
    done = subprocess.run(
        [ruby, str(STUB), str(FORMULA)], capture_output=True, text=True, timeout=120, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_homebrew_would_read_what_is_meant(declared: dict[str, Any]) -> None:
    assert declared["depends_on"] == [
        ["python@3.14"],
        [{"arch": "arm64"}],
        [{"macos": "sonoma"}],
    ]
    assert declared["license"] == [["MIT"]]
    assert "preserve_rpath" in declared
    assert declared["test"] == [True]
    names = [name for name, _ in declared["resource"]]
    assert names == sorted(LOCK.runtime() | LOCK.build())


def test_the_service_block_is_our_own_plist(declared: dict[str, Any]) -> None:
    (service,) = declared["service"]
    plist = plistlib.loads((ROOT / "launchd" / f"{LABEL}.plist").read_bytes())
    assert service["name"] == [{"macos": plist["Label"]}]
    program, *arguments = service["run"][0]
    assert program.endswith("/bin/mlxoss")
    assert "/opt/" in program
    assert arguments == plist["ProgramArguments"][1:]
    assert service["keep_alive"] == [
        {"successful_exit": plist["KeepAlive"]["SuccessfulExit"]},
    ]
    assert service["process_type"] == [plist["ProcessType"].lower()]
    assert service["stop_timeout"] == [plist["ExitTimeOut"]]
    (environment,) = service["environment_variables"]
    assert environment.keys() == plist["EnvironmentVariables"].keys()
