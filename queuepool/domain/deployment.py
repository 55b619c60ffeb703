"""The `deploy:` section of the file, resolved: what a deploy runs, and as whom. How a deploy goes is rollout.py's."""

from __future__ import annotations

from queuepool.domain.places import File
from queuepool.domain.pool import Deployment, Launch
from queuepool.domain.spec import Settings


def deployment(file: File) -> Deployment:
    """What the main file says of deploys."""
    section, place = file.section, file.place
    if not isinstance(section, Settings):
        return Deployment()
    user, _, group = (section.user or "").partition(":")
    environment: dict[str, str] = {}
    for name in section.env_file or ():
        environment.update(place.env_files.get(name, {}))
    environment.update(section.environment)
    said = section.deploy
    return Deployment(
        before=said.before,
        after=said.after,
        on_failure=said.on_failure,
        check=said.check or (),
        canary=said.canary,
        observe=said.observe,
        timeout=said.timeout,
        launch=Launch(
            argv=(),
            directory=place.app,
            user=user or None,
            group=group or section.group,
            environment=tuple(sorted(environment.items())),
        ),
        app=place.app if place.laravel else None,
    )
