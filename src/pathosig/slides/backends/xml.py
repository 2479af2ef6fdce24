"""Parsing untrusted XML in linear time: no document type, hence no entity declarations, and bounded size and depth."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

_MAX_BYTES = 64_000_000
_MAX_DEPTH = 200


class _Refused(Exception):
    """The document has a document type, declares an entity or is nested too deeply."""


def parse_xml(text: str | bytes) -> ElementTree.Element | None:
    """The root of an XML document, with names without namespaces; None if the text is not XML or is unsafe to parse.

    Parameters
    ----------
    text
        The document. A document with a document type gives None in any encoding, because entities can expand without limit.

    Returns
    -------
    The root element or None.

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

    # a str is already decoded, so the encoding that it declares no longer holds
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
