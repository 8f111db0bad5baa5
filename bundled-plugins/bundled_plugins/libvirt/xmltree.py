"""Small helpers to build and read libvirt's XML."""

from __future__ import annotations

from xml.etree import ElementTree

Element = ElementTree.Element


def element(tag: str, text: object = None, /, **attributes: object) -> Element:
    """An element; attributes that are None or "" are left out."""
    made = ElementTree.Element(tag, {k.rstrip("_"): str(v) for k, v in attributes.items() if v not in (None, "")})
    if text is not None:
        made.text = str(text)
    return made


def add(parent: Element, tag: str, text: object = None, /, **attributes: object) -> Element:
    """Append a new child and return it."""
    child = element(tag, text, **attributes)
    parent.append(child)
    return child


def parse(xml: str) -> Element:
    """The root element of a document that libvirt wrote."""
    return ElementTree.fromstring(xml)


def to_xml(root: Element) -> str:
    """The document as text."""
    return ElementTree.tostring(root, encoding="unicode")


def text_of(root: Element, path: str) -> str:
    """Text of the first match, or ""."""
    return (root.findtext(path) or "").strip()


def attribute(root: Element, path: str, name: str) -> str:
    """Attribute of the first match, or ""."""
    found = root.find(path)
    return "" if found is None else found.get(name, "")
