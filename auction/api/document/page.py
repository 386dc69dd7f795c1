"""`/docs`: the OpenAPI document as a page to read. One file of HTML: no script, nothing fetched, works offline.

Why not one of the usual viewers: they are megabytes of script to show forty tables, and a page that is only text can
be searched, printed, and read in a terminal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from typing import Any

from markdown_it import MarkdownIt

from auction.api.document.fields import Schema

_STYLE = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_MARKDOWN = MarkdownIt("js-default")  # HTML inside of it is shown, not taken
_DEEPEST = 6
_MOST_SHOWN = 6
"""Values that are listed; more of them are told in words."""


def page(document: Schema) -> str:
    """The whole page."""
    info = document["info"]
    operations = list(_operations(document))
    parts = [
        f"<h1>{escape(info['title'])}</h1>",
        f"<p class=version>version {escape(info['version'])} · <a href=/openapi.json>openapi.json</a></p>",
        _MARKDOWN.render(info["description"]),
        "<p>Keys go in <code>Authorization: Bearer KEY</code> or <code>x-api-key: KEY</code>.</p>",
    ]
    for tag in document["tags"]:
        of_tag = [one for one in operations if tag["name"] in one[2]["tags"]]
        if of_tag:
            parts.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
            parts += [_operation(document, *one) for one in of_tag]
    parts.append("<h2>Answers</h2>")
    parts += [
        _named(document, name, schema) for name, schema in sorted(document["components"]["schemas"].items())
    ]
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>"
        f"<nav>{_contents(document, operations)}</nav><main>{''.join(parts)}</main></html>"
    )


def _operations(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation
    for methods in document["webhooks"].values():
        for method, operation in methods.items():
            yield method.upper(), "(your URL)", operation


def _contents(document: Schema, operations: Iterable[tuple[str, str, Schema]]) -> str:
    links = (
        f"<li><a href='#{escape(operation['operationId'])}'><b>{method}</b> {escape(path)}</a>"
        for method, path, operation in operations
    )
    return f"<ul>{''.join(links)}</ul>"


def _operation(document: Schema, method: str, path: str, operation: Schema) -> str:
    parts = [
        f"<section id='{escape(operation['operationId'])}'>",
        f"<h3><b class={method.lower()}>{method}</b> <code>{escape(path)}</code></h3>",
        f"<p><strong>{escape(operation['summary'])}</strong></p>",
        _MARKDOWN.render(operation.get("description", "")),
    ]
    if operation.get("parameters"):
        parts.append(_parameters(operation["parameters"]))
    if "requestBody" in operation:
        for kind, content in operation["requestBody"]["content"].items():
            parts.append(f"<h4>Body <small>{escape(kind)}</small></h4>")
            parts.append(_shape(document, content["schema"], 0))
    parts.append(f"<h4>Answers</h4>{_responses(operation['responses'])}</section>")
    return "".join(parts)


def _parameters(parameters: Iterable[Schema]) -> str:
    rows = (
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            _inline(one.get("description", "")),
        )
        for one in parameters
    )
    return _table(("parameter", "in", ""), rows)


def _responses(responses: Schema) -> str:
    rows = []
    for status, response in responses.items():
        headers = ", ".join(f"<code>{escape(name)}</code>" for name in response.get("headers", ()))
        names = " or ".join(_type(content["schema"]) for content in response.get("content", {}).values())
        told = _inline(response["description"]) + (f"<br>Headers: {headers}" if headers else "")
        rows.append((f"<b>{escape(status)}</b>", names, told))
    return _table(("status", "body", ""), rows)


def _named(document: Schema, name: str, schema: Schema) -> str:
    told = _inline(schema.get("description", ""))
    return f"<section id='{escape(name)}'><h3>{escape(name)}</h3><p>{told}</p>{_shape(document, schema, 0)}</section>"


def _shape(document: Schema, schema: Schema, depth: int) -> str:
    """An object as a table of its properties, objects within it below it; alternatives one after the other."""
    if depth > _DEEPEST:
        return ""
    for way in ("oneOf", "anyOf"):
        if way in schema:
            return "".join(
                f"<details{' open' if at == 0 else ''}><summary>{_title(one, at)}</summary>"
                f"{_shape(document, one, depth + 1)}</details>"
                for at, one in enumerate(schema[way])
            )
    if "$ref" in schema:
        return f"<p>{_type(schema)}</p>"
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    rows, inner = [], []
    for name, one in properties.items():
        needed = " <i>required</i>" if name in required else ""
        rows.append((f"<code>{escape(name)}</code>{needed}", _type(one), _told(one)))
        if "properties" in one or any("properties" in way for way in one.get("anyOf", ())):
            inner.append(f"<h5><code>{escape(name)}</code></h5>{_shape(document, one, depth + 1)}")
    return (_table(("field", "type", ""), rows) if rows else "") + "".join(inner)


def _title(schema: Schema, at: int) -> str:
    constants = [one["const"] for one in schema.get("properties", {}).values() if "const" in one]
    return f"<code>{escape(str(constants[0]))}</code>" if constants else f"form {at + 1}"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    if "enum" in schema and len(schema["enum"]) > _MOST_SHOWN:
        return "string"
    if "enum" in schema:
        return " or ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    for way in ("oneOf", "anyOf"):
        if way in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[way]))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _told(schema: Schema) -> str:
    told = _inline(schema.get("description", ""))
    bounds = []
    if "minimum" in schema and "maximum" in schema:
        bounds.append(f"From {schema['minimum']:,} to {schema['maximum']:,}.")
    if "maxLength" in schema:
        bounds.append(f"At most {schema['maxLength']} characters.")
    examples = [f"<code>{escape(json.dumps(one))}</code>" for one in schema.get("examples", ())]
    return " ".join([told, *bounds, *(f"E.g. {example}" for example in examples)])


def _inline(markdown: str) -> str:
    return str(_MARKDOWN.renderInline(markdown))


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{escape(one)}" for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in row)}" for row in rows)
    return f"<div class=table><table><tr>{head}{body}</table></div>"
