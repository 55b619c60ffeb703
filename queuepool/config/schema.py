"""The JSON Schema of queuepool.yml, for editors. It is made from domain/spec.py; what pydantic cannot know of the file
is added here: that ${X} may stand for any value, that a key may be empty, and the short forms."""

from __future__ import annotations

from typing import Any

from queuepool.domain.notifyspec import Notifications
from queuepool.domain.spec import Settings

_VARIABLE = {"type": "string", "pattern": r"\$\{"}
_SHORT_FORMS: dict[str, list[dict[str, Any]]] = {
    "Engine": [{"type": "string"}],
    "Group": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "integer"]}}],
    "Http": [{"type": "boolean"}],
    "Program": [{"type": "null"}],
    "Secret": [{"type": "string"}],
}


def schema() -> dict[str, Any]:
    """The schema, draft 2020-12, as plain data."""
    made, apart = Settings.model_json_schema(), Notifications.model_json_schema()
    definitions = made["$defs"]
    definitions |= apart.pop("$defs") | {"Notifications": apart}
    made["properties"]["notifications"] |= {"$ref": "#/$defs/Notifications"}
    for definition in [made, *definitions.values()]:
        definition.pop("title", None)
        if definition is not made:
            definition.pop("description", None)
        for prop in definition.get("properties", {}).values():
            _loosen(prop)
    for name, forms in _SHORT_FORMS.items():
        definitions[name] = {"anyOf": [definitions[name], *forms]}
    made["patternProperties"] = {"^x-": {"description": "Free for your own use, as a place for YAML anchors."}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "queuepool.yml", **made}


def _loosen(prop: dict[str, Any]) -> None:
    prop.pop("title", None)
    if isinstance(prop.get("default"), dict) or prop.get("default", 0) is None:
        del prop["default"]
    told: dict[str, Any] = {key: prop.pop(key) for key in ("description", "default") if key in prop}
    choices = prop.pop("anyOf") if set(prop) == {"anyOf"} else [dict(prop)]
    prop.clear()
    if not any(choice.get("type") == "null" for choice in choices):
        choices.append({"type": "null"})
    prop.update(told, anyOf=[*choices, _VARIABLE])
