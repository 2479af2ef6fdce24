"""Writes study.toml, or changes it in place so that the user's comments survive.

tomlkit takes 60 ms to import, so only the few functions that write import it; reading is done by `tomllib`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def to_toml(config: Mapping[str, object]) -> str:
    """A nested mapping of plain values as TOML text; None is left out, and mappings inside tables become inline tables."""
    import tomlkit

    document = tomlkit.document()
    for name in sorted(config, key=lambda key: isinstance(config[key], Mapping)):  # plain values come first
        value = config[name]
        if isinstance(value, Mapping):
            table = tomlkit.table()
            table.update({key: _item(v) for key, v in value.items() if v is not None})
            document.append(name, table)
        elif value is not None:
            document.append(name, _item(value))
    return tomlkit.dumps(document)


def changed_toml(text: str, section: str, changes: Mapping[str, object]) -> str:
    """The text of study.toml with keys of one table changed; everything else stays as it is.

    Parameters
    ----------
    text
        TOML text.
    section
        Name of the table.
    changes
        Key -> new value; None removes the key.
    """
    import tomlkit

    document = tomlkit.parse(text)
    wanted = {key: value for key, value in changes.items() if value is not None}
    if section not in document:
        if not wanted:
            return text
        document.append(section, tomlkit.table())
    table: Any = document[section]
    for key, value in changes.items():
        if value is None:
            table.pop(key, None)
        elif key not in table or table[key] != value:
            table[key] = _item(value)
    return tomlkit.dumps(document)


def _item(value: Any) -> Any:
    """A value as a tomlkit item; mappings become inline tables, also inside lists."""
    import tomlkit

    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        inline.update({key: _item(v) for key, v in value.items() if v is not None})
        return inline
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        array.extend(_item(v) for v in value)
        return array
    return tomlkit.item(value if isinstance(value, (bool, int, float)) else str(value))
