"""XML of strangers, parsed in linear time: no document type, so no entities of its own, and bounded in size and depth."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

_MAX_BYTES = 64_000_000
_MAX_DEPTH = 200


class _Refused(Exception):
    """The document declares what is never parsed."""


def parse_xml(text: str | bytes) -> ElementTree.Element | None:
    """The root of an XML document, its names without namespaces; None where the text is no XML or must not be trusted.

    Parameters
    ----------
    text
        The document. One with a document type, in whatever encoding, gives None: entities could grow without end.

    Examples
    --------
    >>> parse_xml('<a xmlns="urn:x"><b size="3"/></a>').find("b").attrib
    {'size': '3'}
    >>> print(parse_xml('<!DOCTYPE a [<!ENTITY e "boom">]><a>&e;</a>'))
    None
    """
    data = text.encode("utf-8") if isinstance(text, str) else text
    if not data or len(data) > _MAX_BYTES:
        return None
    builder = ElementTree.TreeBuilder()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise _Refused
        builder.start(
            name.rpartition("}")[2], {key.rpartition("}")[2]: value for key, value in attributes.items()}
        )

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition("}")[2])

    def refuse(*_: object) -> None:
        raise _Refused

    # the declared encoding of a text that was decoded already no longer holds
    parser = expat.ParserCreate("utf-8" if isinstance(text, str) else None, "}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, _Refused, ValueError, AssertionError):
        return None
