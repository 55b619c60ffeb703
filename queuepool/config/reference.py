"""Makes docs/configuration.md from the models: `python -m queuepool.config.reference > docs/configuration.md`. What the
keys mean is said in domain/spec.py."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from queuepool.config.explain import plain
from queuepool.domain import command
from queuepool.domain.expand import NAMES
from queuepool.domain.places import key_of
from queuepool.domain.spec import (
    KIND_DEFAULTS,
    LATER,
    Deploy,
    Group,
    Http,
    LifeKeys,
    Login,
    LogKeys,
    RunKeys,
    Section,
    Settings,
    Strategy,
    Token,
    WorkKeys,
)

_INTRODUCTION = """\
# queuepool.yml

<!-- Made from the program by `python -m queuepool.config.reference > docs/configuration.md`; do not edit. -->

One YAML file says what runs. It is the one that `-c FILE` names, else `$QUEUEPOOL_CONFIG`, else `queuepool.yml` in the
working directory or above it (up to the root of the git checkout), else `/etc/queuepool/queuepool.yml`.

```yaml
app: .
user: www-data
programs:
  laravel-worker:                # php artisan queue:work redis --queue=high,default --tries=3 --timeout=60
    connection: redis
    queue: [high, default]
    numprocs: 4
    tries: 3
    timeout: 60
  scheduler:
    command: php artisan schedule:work
groups:
  laravel: [laravel-worker]
```

- `queuepool config check` says everything that is wrong with it at once, each as `file:line: path: what is wrong`.
- `queuepool config show` prints it as understood, each value with where it came from.
- `queuepool config schema` prints its JSON Schema. With `# yaml-language-server: $schema=...` in the first line,
  editors complete and check it.

## Values

- **Durations** are seconds, or `90s`, `1m`, `1h30m`, `500ms`.
- **Sizes** are bytes, or `512K`, `10MB`, `1.5GB`; K is 1024.
- **Lists** may be written as YAML lists or as text with commas: `queue: high,default`.
- A key without a value is not set. Keys at the top that begin with `x-` are free for your own use, as places for YAML
  anchors; `<<: *name` takes the options of one over.
- **`${X}`** stands for an environment variable of queuepool itself, or of the file's own `env_file`, anywhere in the
  file; `${X:-text}` for text where it is not set or empty. `$${X}` is `${X}` itself.
- **`%(name)s`** expands in `command`, `directory`, `environment`, `process_name` and the log files. The names are
  NAMES, and
  `ENV_X` for a variable X of queuepool or of the program. `%(process_num)02d` is the number with two digits. A `%`
  that is not followed by `(` is just a `%`; `%%(` is `%(` itself.
- **Paths** are relative to the directory of the file that says them. A symlink such as `current` is not resolved, but
  followed anew each time a process starts.

What contradicts itself is refused, what looks like a mistake is a warning. A `stopwaitsecs` below the `timeout` is one:
jobs would be killed.
"""

_INCLUDES = """\
## Included files

`include: [conf.d/*.yml]` takes further files, in the order of their names. Each may hold what is listed under "The
whole file, and any included one": its programs and groups become part of the whole, and what else it says (`app`,
`user`, `defaults`...) is for its own programs and comes before what the main file says. An included file that is wrong
takes down only itself: the rest runs, and `status` and `config check` say so. A name that two files give is an error of
the later one. An included file cannot include others.
"""


def reference() -> str:
    """The text of docs/configuration.md."""
    names = ", ".join(f"`{name}`" for name in NAMES)
    parts = [_INTRODUCTION.replace("NAMES", names)]
    parts += [_table(Section), _table(Settings, Section), "## A program\n"]
    parts += [_table(model, level="###") for model in (WorkKeys, RunKeys, LifeKeys, LogKeys)]
    parts += [_kinds(), _versions(), _later()]
    parts += [
        _table(Group, heading="A group"),
        _table(Http, heading="http"),
        f"{_paragraph(Http)}\n",
        _table(Login, heading="One of http.users", level="###"),
        _table(Token, heading="One of http.tokens", level="###"),
        _table(Strategy, heading="strategy"),
    ]
    parts += [_table(Deploy, heading="deploy"), f"{_paragraph(Deploy)}\n"]
    return "\n".join([*parts, _INCLUDES])


def _table(model: type[BaseModel], less: type[BaseModel] | None = None, *, heading: str = "", level: str = "##") -> str:
    lines = [f"{level} {heading or (model.__doc__ or '').strip()}", "", "| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if less is None or name not in less.model_fields:
            default = _default(key_of(name), field.default)
            lines.append(f"| `{key_of(name)}` | {default} | {(field.description or '').replace('|', chr(92) + '|')} |")
    return "\n".join([*lines, ""])


def _paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _default(key: str, value: Any) -> str:
    if value is None or isinstance(value, BaseModel) or value in ((), {}, ""):
        return ""
    return f"`{_text(plain(key, value))}`"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _kinds() -> str:
    lines = ["### Other defaults by type", "", "| type | key | default |", "|---|---|---|"]
    for kind, defaults in KIND_DEFAULTS.items():
        for key, value in defaults.items():
            shown = (
                f"{{{', '.join(f'{k}: {v}' for k, v in value.model_dump(exclude_defaults=True).items())}}}"
                if key == "strategy"
                else ""
            )
            lines.append(f"| {kind} | `{key}` | `{shown or _text(plain(key, value))}` |")
    return "\n".join([*lines, ""])


def _versions() -> str:
    lines = [
        "### Which Laravel knows which option",
        "",
        "Only what is set is passed; for everything else the default of the installed Laravel holds. `config check`",
        "refuses an option that it does not know: artisan would end at once, at every start.",
        "",
        "| key | queue:work | queue:listen | horizon |",
        "|---|---|---|---|",
    ]
    for key, option in command.OPTIONS.items():
        lines.append(f"| `{key}` | {' | '.join(_since(option, kind) for kind in command.ARTISAN)} |")
    return "\n".join([*lines, ""])


def _since(option: command.Option, kind: str) -> str:
    if kind not in option.kinds:
        return "never"
    versions = option.kinds[kind].values()
    return ", ".join(version.removesuffix(".0") for version in versions) or "always"


def _later() -> str:
    lines = ["### Not in this version", ""]
    return "\n".join([*lines, *(f"- `{key}`: {what.partition(';')[0]}." for key, what in LATER.items()), ""])


if __name__ == "__main__":
    print(reference(), end="")
