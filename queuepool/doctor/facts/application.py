"""One application, as the user and with the PHP that its programs run with. PURE."""

from __future__ import annotations

import posixpath
import shlex
from dataclasses import dataclass, field

from queuepool.doctor.facts.access import Try
from queuepool.doctor.facts.php import PhpFacts
from queuepool.domain.pool import Launch
from queuepool.laravel.composer import Composer
from queuepool.laravel.config import APPLICATION, AppConfig
from queuepool.laravel.inside import Inside


@dataclass(frozen=True, slots=True)
class FilesFacts:
    """What lies in the directory of an application. there: whether it is a directory; dangling: what a link points to
    that is not there; blocked: what on the way to it is no directory. artisan, vendor: whether artisan and
    vendor/autoload.php are there. beside: directories nearby that have an artisan. environment_shown: mode and owner
    of .env, "" where there is none; environment_open: whether every user can read it. cache_real: real path of a file
    store. given: names of variables that the file gives its workers. foreign: paths of other directories in the cached
    configuration. env_calls: "app/X.php:12: env('Y')", outside of config/, looked for where the configuration is
    cached."""

    there: bool = True
    dangling: str = ""
    blocked: str = ""
    artisan: bool = True
    vendor: bool = True
    beside: tuple[str, ...] = ()
    composer: Composer = field(default_factory=Composer)
    environment_shown: str = ""
    environment_open: bool = False
    cache_real: str = ""
    given: frozenset[str] = frozenset()
    foreign: tuple[str, ...] = ()
    env_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApplicationFacts:
    """root: as written in the file; release: its real path. php: the command. user: None where it is our own. programs:
    by name, those that run it so. config: what the booted application says, else what its files let one guess
    (AppConfig.source tells). failure: why it could not be asked; "" when it could. own_group: the group that its
    processes have. runtime: its PHP. inside: what only
    the booted application knows; None where it could not be asked. tries: what its user may do there. launch: how a
    command of it is run as its workers are; its argv is put in."""

    root: str
    release: str
    php: tuple[str, ...]
    user: str | None
    programs: tuple[str, ...]
    config: AppConfig | None = None
    failure: str = ""
    group: str | None = None
    own_group: str = ""
    runtime: PhpFacts | None = None
    files: FilesFacts = FilesFacts()
    inside: Inside | None = None
    tries: tuple[Try, ...] = ()
    launch: Launch | None = field(default=None, repr=False)

    @property
    def subject(self) -> str:
        """How a finding names it."""
        return f"application {self.root}"

    @property
    def asked(self) -> AppConfig | None:
        """Its configuration, where it said so itself."""
        return self.config if self.config and self.config.source == APPLICATION else None

    def artisan(self, *words: str) -> str:
        """An artisan command as a person types it, run as the workers are."""
        command = shlex.join([*self.php, "artisan", *words])
        sudo = f"sudo -u {shlex.quote(self.user)} " if self.user else ""
        return f"cd {shlex.quote(self.root)} && {sudo}{command}"

    def path(self, *parts: str) -> str:
        """A path in it, as written in the file."""
        return posixpath.join(self.root, *parts)
