#!/usr/bin/env python3
"""Writes `src/secateur/wire.py`, the types of what goes over the wire, from `openapi.yaml` at the root of the repository.

    generate_wire.py [--check]

With `--check` nothing is written, and the exit code is 1 when the file is not what would be written. Needs PyYAML.
"""

from __future__ import annotations

import keyword
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import yaml

CLIENT = Path(__file__).resolve().parent.parent
OPENAPI = CLIENT.parent.parent / "openapi.yaml"
WIRE = CLIENT / "src/secateur/wire.py"

HEAD = '''"""The types of what goes over the wire.

`scripts/generate_wire.py` writes this file from `openapi.yaml`: do not edit it.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from typing_extensions import NotRequired, TypedDict
'''

Schema = dict[str, Any]
LONGEST_LINE = 120


def main() -> int:
    text = generate(yaml.safe_load(OPENAPI.read_text())["components"]["schemas"])
    if sys.argv[1:] == ["--check"]:
        if WIRE.read_text() == text:
            return 0
        print(f"{WIRE} is not what openapi.yaml says: run {Path(__file__).name}", file=sys.stderr)
        return 1
    WIRE.write_text(text)
    return 0


def generate(schemas: dict[str, Schema]) -> str:
    """The text of `wire.py`: a class for every object, then an alias for everything else, which may name classes."""
    schemas = {name: without_unions(schema, schemas) for name, schema in schemas.items()}
    classes: list[str] = []
    aliases: list[str] = []
    for name, schema in in_order(schemas):
        if is_class(schema):
            classes.append(class_of(name, schema))
        else:
            aliases.append(alias_of(name, schema))
    return "\n\n".join([HEAD, *classes]) + "\n\n" + "\n".join(aliases)


def in_order(schemas: dict[str, Schema]) -> list[tuple[str, Schema]]:
    """By name, and a class after those it extends, an alias after those it is made of."""
    ordered: dict[str, Schema] = {}

    def visit(name: str) -> None:
        if name not in ordered:
            schema = schemas[name]
            before = bases_of(schema) if is_class(schema) else re.findall(r"\w+", type_of(schema))
            for other in before:
                if other in schemas:
                    visit(other)
            ordered[name] = schema

    for name in sorted(schemas):
        visit(name)
    return list(ordered.items())


def without_unions(schema: Schema, schemas: dict[str, Schema]) -> Schema:
    """A class cannot extend one of several objects, such as the body of an event: it has the members that each of them has, and of each
    member what any of them may have."""
    parts = [
        merged(schemas[reference(part)]["oneOf"]) if "$ref" in part and "oneOf" in schemas[reference(part)] else part
        for part in schema.get("allOf", [])
    ]
    return schema | {"allOf": parts} if parts else schema


def merged(alternatives: list[Schema]) -> Schema:
    names = [name for name in alternatives[0]["properties"] if all(name in one["properties"] for one in alternatives)]
    properties = {}
    for name in names:
        of_all = [one["properties"][name] for one in alternatives]
        if all("enum" in one for one in of_all):
            properties[name] = {"type": "string", "enum": [value for one in of_all for value in one["enum"]]}
        else:
            properties[name] = {"type": "object"}
    return {"type": "object", "required": names, "properties": properties}


def is_class(schema: Schema) -> bool:
    return "allOf" in schema or "properties" in schema


def bases_of(schema: Schema) -> list[str]:
    return [reference(part) for part in schema.get("allOf", []) if "$ref" in part]


def reference(schema: Schema) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[1]


def class_of(name: str, schema: Schema) -> str:
    parts = [part for part in schema.get("allOf", [schema]) if "$ref" not in part]
    bases = bases_of(schema) or ["TypedDict"]
    fields = [line for part in parts for line in fields_of(name, part)]
    about = docstring(schema.get("description"))
    lines = [*about, *([""] if about and fields else []), *fields] or ["pass"]
    return f"class {name}({', '.join(bases)}):\n" + textwrap.indent("\n".join(lines), "    ") + "\n"


def fields_of(owner: str, schema: Schema) -> list[str]:
    required = set(schema.get("required", []))
    lines = []
    for name, field in schema.get("properties", {}).items():
        if keyword.iskeyword(name):
            raise ValueError(f"{owner}.{name} cannot be a field of a class")
        kind = type_of(field)
        line = f"{name}: {kind if name in required else f'NotRequired[{kind}]'}"
        is_long = len(line) + 4 > LONGEST_LINE and kind.startswith("Literal[") and name in required
        lines.append(f"{name}: {laid_out(kind, 4)}" if is_long else line)
        lines += docstring(description_of(field))
    return lines


def description_of(field: Schema) -> str | None:
    """A field that may be `null` has its description in the first of its alternatives."""
    if "description" in field:
        return str(field["description"])
    texts = [part["description"] for part in field.get("oneOf", []) if "$ref" in part and "description" in part]
    return str(texts[0]) if texts else None


def alias_of(name: str, schema: Schema) -> str:
    kind = type_of(schema)
    line = f"{name}: TypeAlias = {kind}"
    if len(line) > LONGEST_LINE:
        line = f"{name}: TypeAlias = {laid_out(kind, 0)}"
    return "\n".join([line, *docstring(schema.get("description")), ""])


def laid_out(literals: str, indent: int) -> str:
    """Literals on lines of their own, as ruff lays them out within that many spaces."""
    values = literals.removeprefix("Literal[").removesuffix("]")
    inner = f"    {values}"
    if len(inner) + indent > LONGEST_LINE:
        inner = "\n".join(f"    {value}," for value in values.split(", "))
    return f"Literal[\n{inner}\n]"


def type_of(schema: Schema | bool) -> str:
    if isinstance(schema, bool):
        return "Any"
    if "$ref" in schema:
        return reference(schema)
    for alternatives in ("oneOf", "anyOf"):
        if alternatives in schema:
            return " | ".join(dict.fromkeys(type_of(part) for part in schema[alternatives]))
    if "enum" in schema:
        return "Literal[" + ", ".join(f'"{value}"' for value in schema["enum"]) + "]"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " | ".join(plain_type(kind, schema) for kind in kinds) or "Any"


def plain_type(kind: str, schema: Schema) -> str:
    match kind:
        case "string":
            return "bytes" if schema.get("format") == "binary" else "str"
        case "integer":
            return "int"
        case "number":
            return "float"
        case "boolean":
            return "bool"
        case "null":
            return "None"
        case "array":
            return f"list[{type_of(schema.get('items', {}))}]"
        case "object":
            values = schema.get("additionalProperties")
            return f"dict[str, {type_of(values) if isinstance(values, dict) else 'Any'}]"
        case _:
            raise ValueError(f"there is no Python type for `{kind}`")


def docstring(text: str | None) -> list[str]:
    if not text:
        return []
    # One paragraph, whatever the line breaks of the description are.
    text = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    text = text + " " if text.endswith('"') else text
    if len(text) + 6 <= LONGEST_LINE - 8:
        return [f'"""{text}"""']
    return ['"""', *textwrap.wrap(text, LONGEST_LINE - 8, break_long_words=False, break_on_hyphens=False), '"""']


if __name__ == "__main__":
    sys.exit(main())
