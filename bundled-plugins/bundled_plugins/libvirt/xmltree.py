"""Small helpers to build and read libvirt's XML, and the user's stylesheet over it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bundled_plugins.runtime.errors import ProviderError

Element = ElementTree.Element

XSLT_LIMIT_S = 60


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


def written(root: Element, xslt: Any = None) -> str:
    """The document as text, after the user's stylesheet if there is one (run by ``xsltproc``)."""
    text = ElementTree.tostring(root, encoding="unicode")
    return _transformed(text, xslt) if xslt else text


def text_of(root: Element, path: str) -> str:
    """Text of the first match, or ""."""
    return (root.findtext(path) or "").strip()


def attribute(root: Element, path: str, name: str) -> str:
    """Attribute of the first match, or ""."""
    found = root.find(path)
    return "" if found is None else found.get(name, "")


def _transformed(xml: str, xslt: str) -> str:
    with tempfile.TemporaryDirectory(prefix="overlab-xslt-") as directory:
        document, stylesheet = Path(directory, "document.xml"), Path(directory, "stylesheet.xsl")
        document.write_text(xml, encoding="utf-8")
        stylesheet.write_text(xslt, encoding="utf-8")
        command = ["xsltproc", "--nomkdir", "--nonet", "--nowrite", str(stylesheet), str(document)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=XSLT_LIMIT_S, check=False)
        except FileNotFoundError as error:
            raise ProviderError("xml.xslt needs the program xsltproc, which is not on PATH; install it") from error
        except subprocess.TimeoutExpired as error:
            raise ProviderError(f"xml.xslt: xsltproc took more than {XSLT_LIMIT_S} s") from error
    if done.returncode != 0:
        raise ProviderError(f"xml.xslt: xsltproc ended with {done.returncode}: {done.stderr.strip()[:2000]}")
    return done.stdout
