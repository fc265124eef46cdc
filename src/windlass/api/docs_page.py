"""The documentation page: the OpenAPI document as plain HTML, without a script and without anything from elsewhere."""

import json
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Any

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0b6bcb}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem 1.5rem 4rem;max-width:60rem}
h1{margin-bottom:0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
nav ul{columns:14rem;padding-left:1.2rem}a{color:var(--accent)}
details{border:1px solid var(--line);border-radius:6px;margin:.6rem 0;padding:0 .8rem}
summary{cursor:pointer;padding:.6rem 0;overflow-wrap:anywhere}
summary b{display:inline-block;min-width:4.5rem}
pre{background:var(--soft);padding:.8rem;overflow:auto;border-radius:6px}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .5rem;
border-bottom:1px solid var(--line)}code{overflow-wrap:anywhere}
"""
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
    f"style-src 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
"""The page's own content security policy: its one style, and nothing else."""


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag[operation["tags"][0]].append(_operation(path, method, operation))
    sections = [
        f'<h2 id="{escape(tag["name"])}">{escape(tag["name"])}</h2><p>{escape(tag["description"])}</p>'
        + "".join(by_tag[tag["name"]])
        for tag in document["tags"]
    ]
    links = "".join(f'<li><a href="#{escape(name)}">{escape(name)}</a></li>' for name in by_tag)
    schemas = "".join(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    overview = "".join(f"<p>{escape(text)}</p>" for text in info["description"].split("\n\n"))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} API</h1><p>Version {escape(info['version'])}, OpenAPI {escape(document['openapi'])}"
        f'</p>{overview}<nav><ul>{links}<li><a href="#schemas">schemas</a></li></ul></nav>{"".join(sections)}'
        f'<h2 id="schemas">schemas</h2>{schemas}</body></html>'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    parts = [f"<p>{escape(text)}</p>" for text in operation.get("description", "").split("\n\n")[1:]]
    parts.append(f"<p>Takes the permission <code>{escape(operation['x-permission'])}</code>.</p>")
    parts.append(_parameters(operation.get("parameters", [])))
    if body:
        parts.append(f"<p>Body: {_link(body['schema'])}</p>")
    if "example" in body:
        parts.append(f"<pre>{escape(json.dumps(body['example'], indent=2))}</pre>")
    parts.append(_answers(operation["responses"]))
    name = escape(operation["operationId"])
    return (
        f'<details id="{name}"><summary><b>{method.upper()}</b> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary>{''.join(parts)}</details>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{each['in']}</td>"
        f"<td>{escape(each.get('description', ''))}</td></tr>"
        for each in parameters
    )
    return f"<table><tr><th>Parameter</th><th>In</th><th></th></tr>{rows}</table>"


def _answers(responses: dict[str, Any]) -> str:
    rows: list[str] = []
    for status, answer in responses.items():
        schemas = [content["schema"] for content in answer.get("content", {}).values()]
        rows.append(
            f"<tr><td>{status}</td><td>{escape(answer['description'])}</td><td>{''.join(map(_link, schemas))}</td></tr>"
        )
    return f"<table><tr><th>Answer</th><th></th><th></th></tr>{''.join(rows)}</table>"


def _link(schema: dict[str, Any]) -> str:
    """A schema's name, or what it is a list of."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#schema-{name}">{name}</a>'
    if schema.get("type") == "array":
        return f"list of {_link(schema['items'])}"
    return f"<code>{escape(json.dumps(schema))}</code>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = escape(json.dumps(schema, indent=2))
    return (
        f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code></summary><pre>{text}</pre></details>'
    )
