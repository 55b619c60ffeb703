"""What a keyboard sends -> names of keys. PURE: bytes in, names and the rest out. When a lone Escape is a key and not
the beginning of a sequence, only time can tell: whoever reads says so."""

from __future__ import annotations

import re

ESCAPE = b"\x1b"
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|\[\[[A-E])")
_PARTIAL = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O|\[\[)?")
_MODIFIED = re.compile(rb"(?:1(?=;\d+[A-Z]))?;\d+")  # Shift, Alt and Ctrl change nothing
_NAMES = {
    b"A": "up",
    b"B": "down",
    b"C": "right",
    b"D": "left",
    b"H": "home",
    b"F": "end",
    b"1~": "home",
    b"4~": "end",
    b"7~": "home",
    b"8~": "end",
    b"5~": "pgup",
    b"6~": "pgdn",
    b"3~": "delete",
}
_CONTROLS = {
    0x0D: "enter",
    0x0A: "enter",
    0x7F: "backspace",
    0x08: "backspace",
    0x09: "tab",
    0x0C: "redraw",
    0x15: "clear",
    0x06: "pgdn",
    0x02: "pgup",
    0x04: "pgdn",
    0x1B: "esc",
}


def read(data: bytes, *, final: bool = False) -> tuple[list[str], bytes]:
    """The keys in `data`, and what is left of a key that has not come whole. A character that can be shown is itself,
    others have names; sequences that mean nothing here are dropped. final: no more comes, so Escape is a key."""
    keys: list[str] = []
    at = 0
    while at < len(data):
        byte = data[at]
        if byte == 0x1B:
            if found := _SEQUENCE.match(data, at):
                keys += [name] if (name := _NAMES.get(_MODIFIED.sub(b"", found[0][2:]))) else []
                at = found.end()
                continue
            partial = _PARTIAL.match(data, at)
            if not final and partial is not None and partial.end() == len(data):
                return keys, data[at:]
            keys.append("esc")
            at += 1
        elif byte < 0x20 or byte == 0x7F:
            keys += [_CONTROLS[byte]] if byte in _CONTROLS else []
            at += 1
        else:
            length = 1 if byte < 0xC2 or byte > 0xF4 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            if at + length > len(data) and not final:
                return keys, data[at:]
            text = data[at : at + length].decode("utf-8", "ignore")
            keys += [char for char in text if char.isprintable()]
            at += length
    return keys, b""
