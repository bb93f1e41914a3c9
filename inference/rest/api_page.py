"""The page /docs: the OpenAPI description as plain HTML, which needs no script and no network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem } code { font-size: 0.95em } table { border-collapse: collapse }
td, th { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0 }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd } a { color: #9cf } }
"""
INTRODUCTION = (
    "Requests need a token, Authorization: Bearer …, which «python -m inference token» makes; "
    "pictures need none. The description for machines is /openapi.json."
)


def api_page(description: Mapping[str, Any]) -> str:
    """The HTML of an OpenAPI description."""
    parts = "".join(_operations(description["paths"]))
    title = escape(description["info"]["title"])
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        f"<style>{STYLE}</style><h1>{title}</h1><p>{escape(INTRODUCTION)}</p>{parts}</html>"
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in paths.items():
        for method, operation in operations.items():
            yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
            yield f"<p>{escape(operation.get('description') or operation['summary'])}</p>"
            yield _table("Parameter", _parameters(operation))
            yield _table("Field of the prompt", _body(operation))
            answers = operation["responses"].items()
            yield _table("Status", [(code, "", about["description"]) for code, about in answers])


def _parameters(operation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (one["name"], _kind(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]


def _body(operation: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    contents = operation.get("requestBody", {}).get("content", {})
    schema = contents.get("multipart/form-data", {}).get("schema", {})
    return [
        (name, _kind(one), one.get("description", ""))
        for name, one in schema.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any]) -> str:
    """The values that a schema takes, in short."""
    if "anyOf" in schema:
        kinds = (_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(filter(None, kinds))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    limits = [f"{schema[name]:g}" for name in ("minimum", "maximum") if name in schema]
    return " ".join(filter(None, (str(schema.get("type", "")), "–".join(limits))))


def _table(head: str, rows: list[tuple[str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(kind)}</td><td>{escape(text)}</td></tr>"
        for name, kind, text in rows
    )
    return f"<table><tr><th>{head}</th><th></th><th></th></tr>{cells}</table>"
