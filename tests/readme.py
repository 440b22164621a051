"""Parts of the texts that are made: ``python -m tests.readme`` writes the table of settings."""

from __future__ import annotations

from pathlib import Path

from mlxoss.config import Setting, settings

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PLACES = {"recorded": README, "settings": ROOT / "mlxoss/config/README.md"}
"""The texts that hold the parts."""


def replace_part(name: str, text: str) -> None:
    """Put ``text`` between the marks ``name``."""
    place = PLACES[name]
    begin, end = marks(name)
    before, _, rest = place.read_text().partition(begin)
    _, _, after = rest.partition(end)
    place.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def read_part(name: str) -> str:
    """What stands between the marks ``name``; fails where there are none."""
    begin, end = marks(name)
    _, found, rest = PLACES[name].read_text().partition(begin)
    part, closed, _ = rest.partition(end)
    assert found, name
    assert closed, name
    return part.strip("\n")


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"


def make_settings() -> str:
    """The table of settings, in the order of ``mlxoss serve --help``."""
    rows = ["| flag | default | |", "|---|---|---|", *map(_to_row, settings().values())]
    return "\n".join(rows)


def _to_row(setting: Setting) -> str:
    return f"| `{setting.flag}` | {_to_words(setting.default)} | {setting.help} |"


def _to_words(default: object) -> str:
    match default:
        case None | ():
            return ""
        case bool():
            return "on" if default else "off"
        case int() if default >= 10_000:
            return f"{default:,}"
        case _:
            return f"`{default}`" if isinstance(default, str) else str(default)


if __name__ == "__main__":
    replace_part("settings", make_settings())
