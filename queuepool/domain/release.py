"""Which paths of a launch lead to a release instead of the link. Where releases are, and which one is in force, is not
known here."""

from __future__ import annotations

from dataclasses import replace

from queuepool.domain.pool import Launch


def at_release(launch: Launch, app: str | None, release: str | None) -> Launch:
    """The launch with each path through `app`, a link, led to the release itself: the working directory, and words of
    the command line that are such a path or end in one (`--path=/srv/app/current/x`)."""
    if app is None or release is None or app == release:
        return launch

    def moved(text: str) -> str:
        option, equals, path = text.rpartition("=") if text.startswith("-") else ("", "", text)
        if path == app or path.startswith(app.rstrip("/") + "/"):
            return option + equals + release + path[len(app.rstrip("/")) :]
        return text

    return replace(launch, argv=tuple(map(moved, launch.argv)), directory=moved(launch.directory))
