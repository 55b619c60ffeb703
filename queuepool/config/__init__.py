"""Finding and reading queuepool.yml."""

import os

# pydantic looks for plugins among all installed distributions before its first model: 20 ms of every start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
