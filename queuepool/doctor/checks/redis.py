"""The Redis servers of the applications. PURE. What of a server's own account is wrong is judged in laravel/health.py,
for `queuepool redis` too; what follows for the workers is said here."""

from __future__ import annotations

from collections.abc import Iterator

from queuepool.doctor.checks.base import Checks
from queuepool.doctor.checks.known import configs, count, listed, setting
from queuepool.doctor.facts import Facts
from queuepool.doctor.facts.application import ApplicationFacts
from queuepool.doctor.facts.queues import StoredQueue
from queuepool.doctor.facts.redis import ServerFacts
from queuepool.doctor.finding import Note, Severity
from queuepool.laravel.health import NEARLY, SLOW_PING

CHECKS = Checks("redis", needs=("applications", "queues"))

AUTH = ("NOAUTH", "WRONGPASS", "ERR invalid password", "ERR AUTH", "ERR Client sent AUTH")
NO_DATABASE = "ERR DB index"
LOADING = ("LOADING", "BUSY")
NO_CLIENTS = "ERR max number of clients"
OLDEST = (4, 0)
BLAMES = ("redis", "connection refused", "noauth", "wrongpass", "getaddrinfo", "predis")
"""In the exception of an application that does not boot: then its Redis may be why, although only .env names it."""


def _servers(facts: Facts) -> Iterator[ServerFacts]:
    """Those that are known to be the application's."""
    blamed = {name for app in facts.applications if _blames(app) for name in app.programs}
    for server in facts.queues.servers if facts.queues else ():
        if not server.guessed or blamed & set(server.programs):
            yield server


def _blames(app: ApplicationFacts) -> bool:
    return any(word in app.failure.lower() for word in BLAMES)


def _file(facts: Facts, server: ServerFacts) -> str:
    """Where an application says how its Redis is reached."""
    for app in facts.applications:
        if app.config is not None and set(app.programs) & set(server.programs):
            return app.config.environment_file or f"{app.root}/.env"
    return ".env"


def _change(facts: Facts, server: ServerFacts, names: str) -> str:
    """What to do about settings of the application."""
    text = f"set {names} in {_file(facts, server)} (config/database.php, redis)"
    known = configs(facts)
    config = next((known[name] for name in server.programs if name in known), None)
    return setting(config, text) if config else text


@CHECKS.add(
    "answers", Severity.ERROR, "Every Redis that the applications use answers",
    unless=("application.env", "application.config_elsewhere"),  # then the application asks for one by default
)  # fmt: skip
def answers(facts: Facts) -> Iterator[Note]:
    """Without its Redis a worker gets no job: it ends with an exception, or writes one each second. The evidence says
    what the server did: refused the connection (nothing listens there), did not answer in time (a firewall, or it
    hangs), could not be found (DNS), closed the connection (TLS, maxclients), or spoke another language (a wrong port).
    While it is away, queuepool holds workers that end in BACKOFF and starts them when it is back."""
    for server in _servers(facts):
        why, code = server.health.why, server.code
        if why and code not in (*AUTH, *LOADING, NO_CLIENTS, NO_DATABASE):
            yield Note(
                server.subject,
                f"cannot be used: {_bare(server)}",
                (why, f"tried: {server.reach} PING", f"used for {listed(server.uses)}"),
                f"systemctl {'start' if 'refuses' in why else 'status'} redis-server (where it runs), or "
                + _change(facts, server, "REDIS_HOST and REDIS_PORT"),
                server.programs,
            )


def _bare(server: ServerFacts) -> str:
    """The reason without the address that the finding's subject has."""
    return server.health.why.removeprefix(f"redis at {server.health.where} ")


@CHECKS.add("auth", Severity.ERROR, "Every Redis takes the password of the application")
def auth(facts: Facts) -> Iterator[Note]:
    """The server wants a password and the application has none, or another one, or it has one and the server none
    (which Redis refuses as well). No worker gets a job. `requirepass` or the ACL of the server and REDIS_PASSWORD,
    REDIS_USERNAME of the application must agree; `REDIS_PASSWORD=null` in .env is no password."""
    for server in _servers(facts):
        if server.health.why and server.code in AUTH:
            yield Note(
                server.subject,
                _bare(server),
                (server.health.why, f"the server's reply began with {server.code}"),
                _change(facts, server, "REDIS_PASSWORD (and REDIS_USERNAME)"),
                server.programs,
            )


@CHECKS.add("database", Severity.ERROR, "Every Redis has the database of that number")
def database(facts: Facts) -> Iterator[Note]:
    """Redis has 16 databases unless its `databases` says otherwise, a cluster has one. phpredis does not notice that
    SELECT failed: the application then works in database 0 without a word, beside whoever else is there; predis ends
    with an exception."""
    for server in _servers(facts):
        if server.health.why and server.code == NO_DATABASE:
            yield Note(
                server.subject,
                f"has no database {server.db}",
                (server.health.why, f"SELECT {server.db} was refused; used for {listed(server.uses)}"),
                _change(facts, server, "REDIS_DB or REDIS_CACHE_DB") + f", or raise `databases` above {server.db}",
                server.programs,
            )


@CHECKS.add("loading", Severity.ERROR, "No Redis is still loading its data")
def loading(facts: Facts) -> Iterator[Note]:
    """After a start Redis reads its data from disk, and refuses all commands until that is done; likewise while one
    script runs for too long (BUSY). Workers that are started meanwhile end at once and are tried again."""
    for server in _servers(facts):
        if server.health.why and server.code in LOADING:
            yield Note(
                server.subject,
                _bare(server),
                (server.health.why,),
                f"{server.reach} SCRIPT KILL" if server.code == "BUSY" else f"wait; {server.reach} INFO persistence",
                server.programs,
            )


def _concerns(facts: Facts, kind: str, *, jobs: bool = False) -> Iterator[tuple[ServerFacts, str]]:
    """What is said of this kind, once for each server. jobs: only of servers in which jobs lie."""
    for server in _servers(facts):
        texts = [concern.text for concern in server.health.concerns if concern.kind == kind]
        if texts and (server.keeps_jobs or not jobs):
            yield server, texts[0]


@CHECKS.add("replica", Severity.ERROR, "Jobs go to a master, not to a read-only replica")
def replica(facts: Facts) -> Iterator[Note]:
    """A replica takes no writes: pushing and taking a job both fail with READONLY. It happens after a failover that the
    application was not told of."""
    for server, text in _concerns(facts, "replica"):
        yield Note(
            server.subject, text, ("INFO replication: role:slave",),
            f"{server.reach} INFO replication names its master; {_change(facts, server, 'REDIS_HOST')}",
            server.programs,
        )  # fmt: skip


@CHECKS.add("full", Severity.ERROR, "Redis has memory for new jobs")
def full(facts: Facts) -> Iterator[Note]:
    """At maxmemory, with noeviction, Redis refuses every write (OOM): the application cannot push, and workers cannot
    take a job, since that writes too. Find what is large (`redis-cli --bigkeys`: Horizon's lists, forgotten queues,
    a cache in the same server), or give it more."""
    for server, text in _concerns(facts, "full", jobs=True):
        yield Note(
            server.subject, text, (_memory(server),),
            f"{server.reach} --bigkeys; more memory at once: {server.reach} CONFIG SET maxmemory SIZE "
            "(and in redis.conf)",
            server.programs,
        )  # fmt: skip


def _memory(server: ServerFacts) -> str:
    health = server.health
    return (
        f"INFO memory: used_memory:{health.used_memory} maxmemory:{health.maxmemory} maxmemory_policy:{health.policy}"
    )


@CHECKS.add("nearly_full", Severity.WARNING, "Redis is not nearly full", unless=("redis.eviction",))
def nearly_full(facts: Facts) -> Iterator[Note]:
    """From 90 % of maxmemory on. When it is full, new jobs are refused."""
    for server, text in _concerns(facts, "nearly_full", jobs=True):
        yield Note(
            server.subject, text, (_memory(server),),
            f"{server.reach} --bigkeys; more memory: {server.reach} CONFIG SET maxmemory SIZE (and in redis.conf)",
            server.programs,
        )  # fmt: skip


@CHECKS.add("eviction", Severity.WARNING, "Redis never drops jobs to make room")
def eviction(facts: Facts) -> Iterator[Note]:
    """With maxmemory and a policy `allkeys-*` Redis drops whole keys when it is full, and a queue is one key: all its
    jobs vanish without a trace. Queues belong in a server with `maxmemory-policy noeviction`; a cache that may be
    dropped belongs in another server (the policy is that of the server, not of a database). An error when keys have
    been dropped already."""
    for server, text in _concerns(facts, "eviction", jobs=True):
        dropped = server.health.evicted_keys or 0
        yield Note(
            server.subject, text, (_memory(server), f"INFO stats: evicted_keys:{dropped}"),
            f"{server.reach} CONFIG SET maxmemory-policy noeviction (and in redis.conf)",
            server.programs, Severity.ERROR if dropped else None,
        )  # fmt: skip


@CHECKS.add("volatile", Severity.WARNING, "Redis never drops locks to make room")
def volatile(facts: Facts) -> Iterator[Note]:
    """With maxmemory and a policy `volatile-*` Redis drops keys that have an expiry when it is full. Queues have none
    and stay, but the locks of unique jobs and of WithoutOverlapping, rate limits, Horizon's own keys and cached values
    go: jobs run twice that should not."""
    for server, text in _concerns(facts, "volatile", jobs=True):
        yield Note(
            server.subject, text, (_memory(server),),
            f"{server.reach} CONFIG SET maxmemory-policy noeviction (and in redis.conf)", server.programs,
        )  # fmt: skip


@CHECKS.add("persistence", Severity.WARNING, "Redis keeps jobs over a restart")
def persistence(facts: Facts) -> Iterator[Note]:
    """Neither an append-only file nor snapshots: when Redis or the machine restarts, all jobs are gone, the delayed
    ones too. `appendonly yes` with `appendfsync everysec` loses a second at most."""
    for server, text in _concerns(facts, "persistence", jobs=True):
        yield Note(
            server.subject, text, ('INFO persistence: aof_enabled:0; CONFIG GET save: ""',),
            f"{server.reach} CONFIG SET appendonly yes (and in redis.conf)", server.programs,
        )  # fmt: skip


@CHECKS.add("saving", Severity.ERROR, "The last saving to disk went well")
def saving(facts: Facts) -> Iterator[Note]:
    """Redis could not write its snapshot or its append-only file: the disk is full, the directory is gone or not its
    own, or fork fails (vm.overcommit_memory). With `stop-writes-on-bgsave-error yes`, the default, it refuses every
    write from then on (MISCONF), so no job can be pushed or taken; otherwise a restart loses them: a warning."""
    for server, text in _concerns(facts, "saving", jobs=True):
        yield Note(
            server.subject, text, ("INFO persistence: rdb_last_bgsave_status or aof_last_write_status is err",),
            f"see its log and `df` for {server.reach} CONFIG GET dir; then: {server.reach} BGSAVE",
            server.programs, None if not server.health.writable else Severity.WARNING,
        )  # fmt: skip


@CHECKS.add("clients", Severity.ERROR, "Redis has a connection for every worker")
def clients(facts: Facts) -> Iterator[Note]:
    """Each worker opens a connection for each entry of config/database.php that it uses: queue, cache, Horizon; so does
    each web process. At `maxclients` Redis turns new ones away. An error when there is none left, a warning when the
    workers of the file need more than there are, or 90 % are in use."""
    for server in _servers(facts):
        health = server.health
        limit = health.maxclients or 0
        if health.why and server.code == NO_CLIENTS:
            yield _clients(server, _bare(server), (health.why,), Severity.ERROR)
        elif health.clients is not None and limit > 0 and health.clients >= NEARLY * limit:
            text = f"has {health.clients} clients of at most {limit}"
            yield _clients(server, text, (f"INFO clients: connected_clients:{health.clients} maxclients:{limit}",))
        elif 0 < limit < server.needs:
            text = f"takes {limit} clients, and the workers alone are {server.needs}"
            numprocs = [f"{each.name}: numprocs {each.numprocs}" for each in facts.programs
                        if each.name in server.programs]  # fmt: skip
            yield _clients(server, text, (f"maxclients:{limit}; used for {listed(server.uses)}", *numprocs))


def _clients(server: ServerFacts, what: str, evidence: tuple[str, ...], severity: Severity = Severity.WARNING) -> Note:
    more = max(2 * server.needs, 10_000)
    remedy = f"{server.reach} CONFIG SET maxclients {more} (and in redis.conf, with LimitNOFILE above it)"
    return Note(server.subject, what, evidence, remedy, server.programs, severity)


@CHECKS.add("rejected", Severity.WARNING, "Redis has turned nobody away", unless=("redis.clients",))
def rejected(facts: Facts) -> Iterator[Note]:
    """Connections were refused because of `maxclients` since Redis started or its statistics were reset: whoever was
    turned away could not push, or take, a job. Once the cause is mended, CONFIG RESETSTAT clears the count."""
    for server, text in _concerns(facts, "rejected"):
        yield Note(
            server.subject, text,
            (f"INFO stats: rejected_connections:{server.health.rejected_connections}, "
             f"maxclients:{server.health.maxclients}",),
            f"raise maxclients, look for clients that leak (`{server.reach} CLIENT LIST`), then: "
            f"{server.reach} CONFIG RESETSTAT",
            server.programs,
        )  # fmt: skip


@CHECKS.add("latency", Severity.WARNING, "Redis answers within 10 ms")
def latency(facts: Facts) -> Iterator[Note]:
    """A worker asks Redis some five times for each job, so a slow answer makes each job slower by that much. Even the
    fastest of some PINGs took longer than 10 ms: the network is far, or the server is swapping, short of processor, or
    held up by slow commands (KEYS, large values). Single slow ones are not said: a busy machine has them, too."""
    for server in _servers(facts):
        pings = sorted(server.pings)
        if pings and pings[0] >= SLOW_PING:
            middle, p95 = pings[len(pings) // 2], pings[len(pings) * 95 // 100]
            yield Note(
                server.subject,
                f"answers slowly: a PING takes {_ms(middle)}",
                (f"{len(pings)} PINGs: fastest {_ms(pings[0])}, median {_ms(middle)}, 95 % within {_ms(p95)}",),
                f"{server.reach} SLOWLOG GET 10; {server.reach} --latency; a Redis nearer by",
                server.programs,
            )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


@CHECKS.add("clock", Severity.WARNING, "Redis and this machine agree on the time")
def clock(facts: Facts) -> Iterator[Note]:
    """Workers decide by their own clock which delayed job is due and which reserved one is expired, and Horizon by that
    of Redis who is alive. With two clocks that differ, delayed jobs run early or late, and with several hosts a job may
    be taken for lost while it still runs."""
    for server, text in _concerns(facts, "clock"):
        yield Note(
            server.subject, text, (f"TIME differs from ours by {server.health.clock_skew or 0.0:.1f} s",),
            "timedatectl set-ntp true, on both machines", server.programs,
        )  # fmt: skip


@CHECKS.add("version", Severity.WARNING, "Redis is one that is still in use")
def version(facts: Facts) -> Iterator[Note]:
    """Redis before 4.0 lacks commands that Laravel's and Horizon's clients use, and gets no fixes since 2018."""
    for server in _servers(facts):
        text = server.health.version or ""
        parts = [part for part in text.split(".")[:2] if part.isascii() and part.isdecimal() and len(part) < 6]
        if len(parts) == 2 and tuple(map(int, parts)) < OLDEST:
            yield Note(
                server.subject, f"is Redis {text}", (f"INFO server: redis_version:{text}",),
                "use Redis 6.2 or newer, or Valkey", server.programs,
            )  # fmt: skip


@CHECKS.add("acl", Severity.ERROR, "Workers may run the commands that they need", unless=("redis.auth",))
def acl(facts: Facts) -> Iterator[Note]:
    """The ACL of the login refuses (NOPERM) commands or keys that queue:work uses: EVAL above all, since Laravel takes
    jobs by a script, and BLPOP with block_for. Each was put into a transaction that was thrown away: Redis checks the
    permission of each at once."""
    for server in _servers(facts):
        if server.denied:
            commands = [text.partition(":")[0] for text in server.denied]
            yield Note(
                server.subject,
                f"does not let the workers' login run {listed(list(dict.fromkeys(commands)))}",
                server.denied,
                f"{server.reach} ACL SETUSER NAME ~* +@all -@dangerous (as its administrator)",
                server.programs,
            )


def _stored(facts: Facts) -> tuple[StoredQueue, ...]:
    return facts.queues.stored if facts.queues else ()


@CHECKS.add("other_prefix", Severity.WARNING, "No jobs lie under a former prefix", unless=("redis.shared_prefix",))
def other_prefix(facts: Facts) -> Iterator[Note]:
    """REDIS_PREFIX was changed, or is not set and follows APP_NAME, which was changed: jobs that were pushed before lie
    under the old prefix, where no worker looks any more. They are said when their class is one of this application's
    and nobody takes them. Workers with the old prefix can finish them: the remedy runs one. In future, set REDIS_PREFIX
    so that it does not follow APP_NAME."""
    found: dict[tuple[str, str], list[StoredQueue]] = {}
    for one in _stored(facts):
        if not one.connection and not one.worked and one.job is not None and one.job.fits:
            found.setdefault((one.where, one.prefix), []).append(one)
    for (where, prefix), queues in found.items():
        one = queues[0]
        total = sum(each.ready + each.delayed + each.reserved for each in queues)
        users = [each.user for each in facts.programs if each.name in one.programs and each.user]
        user = f"sudo -u {users[0]} " if users else ""
        yield Note(
            f"redis {where}",
            f"holds {count(total)} of {one.app} under the prefix {prefix or '(none)'}, where no worker looks",
            tuple(_lies(each) for each in queues),
            f"cd {one.app} && {user}env REDIS_PREFIX={prefix} php artisan queue:work "
            f"--queue={','.join(each.queue for each in queues)} --stop-when-empty",
            one.programs,
        )


def _lies(one: StoredQueue) -> str:
    job = f", the first is {one.job.job}" if one.job else ""
    return (
        f"{one.prefix}queues:{one.queue} in database {one.db}: {one.ready} ready, {one.delayed} delayed, "
        f"{one.reserved} reserved{job}"
    )


@CHECKS.add("shared_prefix", Severity.ERROR, "No two applications share their queues")
def shared_prefix(facts: Facts) -> Iterator[Note]:
    """Two applications, or two environments of one, have the same prefix in the same database of the same Redis: each
    takes the other's jobs, and fails on classes that it does not have, or runs them against the wrong database. It is
    seen when two applications of this file do, or when a live Horizon of another environment announces itself under our
    prefix. Give each its own REDIS_PREFIX and HORIZON_PREFIX, or database."""
    places: dict[tuple[str, int, str, str], dict[str, list[str]]] = {}
    roots = {app.root: app.release for app in facts.applications}
    known = configs(facts)
    for queue in facts.queues.queues if facts.queues else ():
        config = next((known[name] for name in queue.programs if name in known), None)
        target = config.redis_of(queue.view.connection) if config else None
        if target is not None:
            place = (target.where, target.db, target.prefix, queue.view.queue)
            apps = places.setdefault(place, {})
            apps.setdefault(roots.get(queue.view.app, queue.view.app), []).extend(queue.programs)
    said = set()
    for (where, db, prefix, queue_name), apps in places.items():
        key = (where, db, prefix, tuple(sorted(apps)))
        if len(apps) > 1 and key not in said:
            said.add(key)
            yield Note(
                f"redis {where}",
                f"{' and '.join(apps)} share the queue {queue_name}: each takes the other's jobs",
                (f"both use {prefix}queues:{queue_name} in database {db}",),
                f"set another REDIS_PREFIX in {list(apps)[-1]}/.env",
                tuple(dict.fromkeys(name for names in apps.values() for name in names)),
            )
    for horizon in facts.queues.horizons if facts.queues else ():
        ours = {*horizon.environment.values(), *(known[name].environment for name in horizon.others if name in known)}
        for master in horizon.view.live if horizon.view else ():
            if ours and master.environment and master.environment not in ours:
                yield Note(
                    horizon.subject,
                    f"a Horizon of the environment {master.environment} works under the same prefix: each takes the "
                    "other's jobs",
                    (f"master {master.name} (pid {master.pid}) says environment {master.environment}; here it is "
                     f"{listed(sorted(ours))}",),
                    "set another REDIS_PREFIX and HORIZON_PREFIX in one of them",
                    (*horizon.programs, *horizon.others),
                )  # fmt: skip
