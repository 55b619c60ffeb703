"""Options that the installed Laravel does not know yet: artisan would end at once, at every start. Which version brings
which option is domain/command.py's, which version is installed laravel/app.py's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from queuepool.config.load import load
from queuepool.domain.command import unsupported_in
from queuepool.domain.pool import Loaded, PoolSpec
from queuepool.laravel.app import inspect


def read(config_path: str) -> Loaded:
    """The file, with what the installed Laravel does not know among its problems: the other programs shall run. Raises
    ConfigError."""
    loaded = load(config_path, os.environ)
    return replace(loaded, problems=(*loaded.problems, *unsupported(loaded.pools)))


def unsupported(pools: Mapping[str, PoolSpec]) -> tuple[str, ...]:
    """A problem for each such option, with file and line. Reads a few files per application, runs nothing."""
    versions: dict[str, str] = {}
    found: list[str] = []
    for pool in pools.values():
        if pool.app is None or not pool.artisan:
            continue
        if pool.app not in versions:
            versions[pool.app] = inspect(pool.app).laravel or ""
        argv = pool.process(0).launch.argv
        found += [f"{pool.source}: programs.{pool.name}: {text}" for text in unsupported_in(argv, versions[pool.app])]
    return tuple(found)
