"""How settings in JSON and YAML are changed: what is put in and taken out, and what stays."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mlxoss.cli.connect.json_format import JsonFormat
from mlxoss.cli.connect.settings_file import Format, draft_edit
from mlxoss.cli.connect.values import Change, Drop, Item, Put, is_same, make, puts
from mlxoss.cli.connect.yaml_format import YamlFormat
from mlxoss.errors import ConfigError

OWN = ("providers", "ours")
IN_LIST = ("models", Item("name", "ours"))
CHANGES: Sequence[Change] = [
    Put(("model",), "ours/x"),
    *puts(OWN, {"url": "http://h/v1", "on": True, "of": {"a/b": {"limit": 12}}, "w": ["p", "q"]}),
    *puts(IN_LIST, {"url": "http://h/v1", "deep": {"n": 1}}),
]
REMOVAL: Sequence[Change] = [Drop(OWN), Drop(IN_LIST)]

JSONS = {
    "nothing": "",
    "a comment alone": "// c: mine\n",
    "an empty object": "{}",
    "an object with a comment": "{ // c\n}\n",
    "a line": '{"a": 1, "providers": {"other": {}}, "models": []}',
    "lines": '{\n  "a": 1, // c\n  "models": [\n    {"name": "other"}\n  ]\n}\n',
    "last commas": '{\n\t"model": "o", // c\n\t"providers": {\n\t\t"o": [1, 2,],\n\t}, /* c */\n}',
    "null": '{\n  "providers": null, "models": null\n}',
    "a comment that goes on": '{\n  "a": "/* no // comment */" /* c\n c */\n}\n',
    "ours": '{"providers": {"ours": {"mine": 1, "url": "old"}}, "models": [{"name": "ours"}]}',
    "names twice": '{"model": "one", "model": "two"}',
    "escapes": '{"a\\"b": "\\u00e4 \\\\", "providers": {"\\u006furs": {"url": "x"}}}',
}
YAMLS = {
    "nothing": "",
    "a comment alone": "# c: mine\n",
    "an empty mapping": "{}\n",
    "lists that go in": "a: 1 # c\nmodels:\n  - name: other # c\n    url: x\n# c: end\n",
    "lists that do not": "models:\n- name: other\n  url: x # c\nmodel: 'old' # c\n",
    "no line end": "providers:\n    other:\n        a: 1",
    "empty ones": "models: [] # c\nproviders: {}\n",
    "nulls": "models: # c\nproviders: ~ # c\nmodel: # c\n",
    "in braces": "providers: {other: {a: 1}}\nmodels: [{name: other}]\n",
    "a text in lines": "providers:\n  other:\n    t: |\n      one\n\n      two\n\n\nlast: 1\n",
    "ours": "providers:\n  ours:\n    mine: 1 # c\n    url:\nmodels:\n  - name: ours\n  - name: b",
    "a start": "---\n# c\nmodel: old\n",
    "numbers for names": "1: one\ntwo: 2\non: x\n",
}
EACH = [
    *(pytest.param(JsonFormat(), text, id=f"JSON, {name}") for name, text in JSONS.items()),
    *(pytest.param(YamlFormat(), text, id=f"YAML, {name}") for name, text in YAMLS.items()),
]


def changed(form: Format, text: str, changes: Sequence[Change], file: Path) -> str:
    file.write_text(text)
    return draft_edit(file, form, lambda _: changes).new.decode()


@pytest.mark.parametrize(("form", "text"), EACH)
def test_settings_are_merged_and_taken_out(form: Format, text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings"
    wanted = form.read(text)
    make(CHANGES, wanted)
    written = changed(form, text, CHANGES, file)
    assert is_same(form.read(written), wanted)
    mark = "// c" if isinstance(form, JsonFormat) else "# c"
    assert written.count(mark) == text.count(mark)
    make(REMOVAL, wanted)
    removed = changed(form, written, REMOVAL, file)
    assert is_same(form.read(removed), wanted)
    assert removed.count(mark) >= text.count(mark) - 1  # of what was in ours


def test_lines_that_are_put_in_and_taken_out_leave_the_others_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    texts: list[tuple[Format, str]] = [
        (
            JsonFormat(),
            '{\n    // c\n    "a": 1, // c\n    "providers": {\n        "o": {}\n    }\n}\n',
        ),
        (JsonFormat(), '{\n\t"providers": {\n\t\t"o": {}, // c\n\t},\n}\n'),
        (YamlFormat(), "# c\nproviders:\n  o:\n    a: 1 # c\n\n# c\nb: 2\n"),
        (YamlFormat(), "a: x\nproviders: {o: {a: 1}} # c\n"),
    ]
    for form, text in texts:
        written = changed(form, text, puts(OWN, {"url": "u", "of": {"a": 1}}), file)
        assert written != text
        assert changed(form, written, [Drop(OWN)], file) == text


def test_a_file_that_is_a_list(tmp_path: Path) -> None:
    ours = (Item("id", "ours"),)
    cases: list[tuple[Format, str]] = [
        (JsonFormat(list), '[\n  {\n    "id": "other" // c\n  }\n]\n'),
        (YamlFormat(list), "- id: other # c\n  b: 1\n"),
    ]
    for form, text in cases:
        written = changed(form, text, puts(ours, {"url": "u"}), tmp_path / "settings")
        assert form.read(written)[1] == {"id": "ours", "url": "u"}
        assert changed(form, written, [Drop(ours)], tmp_path / "settings") == text
        made = changed(form, "", puts(ours, {"url": "u"}), tmp_path / "settings")
        assert form.read(made) == [{"id": "ours", "url": "u"}]
        assert form.read(changed(form, made, [Drop(ours)], tmp_path / "settings")) == []


WRONG: list[tuple[Format, str]] = [
    (JsonFormat(), "{"),
    (JsonFormat(), "[]"),
    (JsonFormat(), "{'a': 1}"),
    (JsonFormat(), '{"a": 1,, }'),
    (JsonFormat(list), "{}"),
    (JsonFormat(), "[" * 50_000),
    (YamlFormat(), "a: ["),
    (YamlFormat(), "- a\n"),
    (YamlFormat(list), "a: 1\n"),
    (YamlFormat(), "a: 1\n---\nb: 2\n"),
    (YamlFormat(), "a: !!python/object:os.system {}\n"),
    (YamlFormat(), "a:\n\t- b\n"),
]


@pytest.mark.parametrize(("form", "text"), WRONG, ids=lambda each: getattr(each, "name", each))
def test_what_is_no_such_text_is_refused(form: Format, text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"is not {form.name}"):
        changed(form, text, CHANGES, tmp_path / "settings")


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    for form, text in ((JsonFormat(), '{"providers": [1]}'), (YamlFormat(), "providers: [1]\n")):
        with pytest.raises(ConfigError, match=r"providers in .* is not a table"):
            changed(form, text, CHANGES, tmp_path / "settings")
    text = '{"models": [{"name": "ours", "deep": 1}]}'
    with pytest.raises(ConfigError, match=r"models\.ours\.deep in .* is not a table"):
        changed(JsonFormat(), text, CHANGES, tmp_path / "settings")


def random_value(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(7 if depth < 3 else 4)
    if kind < 4:
        return [dice.randrange(9), "a: b # c", True, None][kind]
    if kind == 4:
        return [random_value(dice, depth + 1) for _ in range(dice.randrange(3))]
    names = dice.sample(["model", "x", "providers", "ours", "name", "z"], dice.randrange(4))
    return {name: random_value(dice, depth + 1) for name in names}


def random_text(dice: random.Random) -> tuple[Format, str]:
    """A file with comments, of as many spellings as there are cheap."""
    value = {str(number): random_value(dice) for number in range(dice.randrange(4))}
    if dice.random() < 0.5:
        value |= {"providers": {"other": random_value(dice)}}
    if dice.random() < 0.5:
        value |= {"models": [{"name": "other", "v": random_value(dice)}]}
    if dice.random() < 0.5:
        text = json.dumps(value, indent=dice.choice([None, 1, 2, 4, "\t"]))
        return JsonFormat(), text.replace(",\n", dice.choice([",\n", ", // c\n", ",\n\n/* c */\n"]))
    writer, out = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = dice.choice([True, False, False, None])
    writer.indent = dice.choice([2, 4])
    writer.dump(value, out)
    text = out.getvalue()
    return YamlFormat(), dice.choice(["", "# c\n"]) + text + dice.choice(["", "# c: end\n", "\n\n"])


def test_random_files_are_changed_as_they_have_to_be(tmp_path: Path) -> None:
    """None of them is refused, however it is spelled."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    dice = random.Random(seed)
    for _ in range(100):
        form, text = random_text(dice)
        wanted = form.read(text)
        make(CHANGES, wanted)
        written = changed(form, text, CHANGES, tmp_path / "settings")
        assert is_same(form.read(written), wanted), text
        assert written.count("c") >= text.count("c"), text
        make(REMOVAL, wanted)
        removed = changed(form, written, REMOVAL, tmp_path / "settings")
        assert is_same(form.read(removed), wanted), written
