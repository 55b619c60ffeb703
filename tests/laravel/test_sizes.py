"""Asking a real application for the depth of its queues: SQLite, beanstalkd, Redis, SQS and a driver of its own."""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from queuepool.domain.queues import QueueDepth, QueueName
from queuepool.laravel.sizes import NICE, SizeProbe
from queuepool.system.procstat import birth
from tests.support.laravel import PHP, LaravelApp
from tests.support.ports import free_port
from tests.support.redis import RedisServer
from tests.support.turns import turns, until
from tests.support.wait import LIMIT, eventually

pytestmark = pytest.mark.php
ENVIRONMENT = {"PATH": os.environ["PATH"]}

QUEUES = """<?php
@include_once 'Pheanstalk/autoload.php';

return ['default' => 'database', 'connections' => [
    'database' => ['driver' => 'database', 'table' => 'jobs', 'queue' => 'default', 'retry_after' => 90],
    'gone' => ['driver' => 'database', 'connection' => 'gone', 'table' => 'jobs', 'queue' => 'default'],
    'redis' => ['driver' => 'redis', 'connection' => 'default', 'queue' => 'default', 'retry_after' => 90],
    'beanstalkd' => ['driver' => 'beanstalkd', 'host' => '127.0.0.1', 'port' => (int) env('BEANSTALKD_PORT'),
        'queue' => 'default', 'retry_after' => 60, 'block_for' => 0],
    'odd' => ['driver' => 'odd', 'queue' => 'default'],
    'sqs' => ['driver' => 'pretended-sqs', 'queue' => 'https://sqs.example/1/default'],
    'stuck' => ['driver' => 'stuck', 'queue' => 'default'],
]];
"""

PROVIDER = r"""<?php

namespace App;

class Odd extends \Illuminate\Queue\SyncQueue
{
    public function size($queue = null) { return strlen($queue); }
    public function pendingSize($queue = null) { return strlen($queue); }
    public function delayedSize($queue = null) { return 0; }
    public function reservedSize($queue = null) { return 0; }
    public function creationTimeOfOldestPendingJob($queue = null) { return null; }
}

class Stuck extends Odd
{
    public function pendingSize($queue = null)
    {
        while (is_file(storage_path('stuck'))) {
            if ($queue === 'deadly') {
                posix_kill(getmypid(), SIGSEGV);
            }
            touch(storage_path('asked'));
            usleep(10000);
        }

        return 1;
    }
}

class Connector implements \Illuminate\Queue\Connectors\ConnectorInterface
{
    public function __construct(private string $class) {}

    public function connect(array $config)
    {
        if ($this->class !== 'sqs') {
            return method_exists($this->class, 'dispatchAfterCommit') ? new $this->class(false) : new $this->class;
        }

        return new \Illuminate\Queue\SqsQueue(new \Aws\Sqs\SqsClient, $config['queue']);
    }
}

class OddProvider extends \Illuminate\Support\ServiceProvider
{
    public function boot()
    {
        echo "a provider that talks, and not even in whole lines";
        $this->app['queue']->addConnector('odd', fn () => new Connector(Odd::class));
        $this->app['queue']->addConnector('stuck', fn () => new Connector(Stuck::class));
        $this->app['queue']->addConnector('pretended-sqs', fn () => new Connector('sqs'));
    }
}
"""

SQS_CLIENT = r"""<?php

namespace Aws\Sqs;

if (! class_exists(SqsClient::class)) {
    class SqsClient
    {
        public function getQueueAttributes($asked)
        {
            return ['Attributes' => array_intersect_key([
                'ApproximateNumberOfMessages' => '5', 'ApproximateNumberOfMessagesDelayed' => '6',
                'ApproximateNumberOfMessagesNotVisible' => '7',
            ], array_flip($asked['AttributeNames']))];
        }
    }
}
"""


@pytest.fixture
def app(laravel_app: LaravelApp) -> LaravelApp:
    return prepared(laravel_app)


def prepared(laravel_app: LaravelApp) -> LaravelApp:
    root = laravel_app.root
    (root / "config/queue.php").write_text(QUEUES)
    (root / "app/OddProvider.php").write_text(PROVIDER)
    (root / "app/SqsClient.php").write_text(SQS_CLIENT)
    config = root / "config/app.php"
    config.write_text(config.read_text().replace("'providers' => [", "'providers' => [App\\OddProvider::class,"))
    bootstrap = root / "bootstrap/app.php"
    bootstrap.write_text(bootstrap.read_text().replace("<?php", "<?php require __DIR__.'/../app/SqsClient.php';", 1))
    database = root / "config/database.php"
    gone = (
        "'connections' => ['gone' => ['driver' => 'sqlite', 'database' => storage_path('gone.sqlite'), 'prefix' => ''],"
    )
    database.write_text(database.read_text().replace("'connections' => [", gone, 1))
    return laravel_app


@contextlib.asynccontextmanager
async def probing(app: LaravelApp, timeout: float = 60, **options: str) -> AsyncIterator[SizeProbe]:  # noqa: ASYNC109
    probe = SizeProbe(PHP, str(app.root), environment=ENVIRONMENT, timeout=timeout, **options)
    before = len(os.listdir("/proc/self/fd"))
    try:
        yield probe
    finally:
        pid = probe.pid
        await probe.close()
        assert pid is None or not os.path.exists(f"/proc/{pid}")
        assert len(os.listdir("/proc/self/fd")) == before


def name(text: str) -> QueueName:
    return QueueName(*text.split(":"))


async def depth(probe: SizeProbe, text: str) -> QueueDepth | str:
    return (await probe.sizes([name(text)]))[name(text)]


async def depth_that_is_known(probe: SizeProbe, text: str) -> QueueDepth:
    deadline = time.monotonic() + LIMIT * 3
    while isinstance(found := await depth(probe, text), str):
        assert time.monotonic() < deadline, found
        await turns(1)
    return found


def test_a_database_is_counted_by_state(app: LaravelApp) -> None:
    now = int(time.time())
    with contextlib.closing(sqlite3.connect(app.root / "storage/app/database.sqlite")) as database, database:
        rows = [
            ("mail", None, now - 100), ("mail", None, now - 5), ("mail", None, now + 1000), ("mail", now, now),
            ("mail", now - 91, now - 91), ("mail", now - 3600, now - 3600), ("other", None, now),
        ]  # fmt: skip
        database.executemany(
            "insert into jobs (queue, payload, attempts, reserved_at, available_at, created_at)"
            " values (?, '{}', 0, ?, ?, 1)",
            rows,
        )

    async def ask() -> None:
        async with probing(app) as probe:
            asked = [name("database:mail"), name("database:none"), name("gone:default"), name("nonsense:default")]
            found = await probe.sizes(asked)
            mail = found[name("database:mail")]
            assert isinstance(mail, QueueDepth)
            assert (mail.ready, mail.delayed, mail.due, mail.reserved, mail.expired) == (2, 1, 0, 3, 2)
            assert mail.oldest is not None
            assert 100 <= mail.oldest < 100 + LIMIT
            assert found[name("database:none")] == QueueDepth()
            assert "gone.sqlite" in str(found[name("gone:default")])
            assert "nonsense" in str(found[name("nonsense:default")])

            # What is put right is seen by the same process.
            pid = probe.pid
            shutil.copy(app.root / "storage/app/database.sqlite", app.root / "storage/gone.sqlite")
            assert await depth(probe, "gone:other") == QueueDepth(ready=1, oldest=pytest.approx(0, abs=LIMIT))
            assert probe.pid == pid

    asyncio.run(ask())


def test_every_kind_of_connection_is_known(app: LaravelApp) -> None:
    app.artisan("demo:dispatch", "Quick", "--count=3", "--connection=redis", "--queue=fast")
    app.artisan("demo:dispatch", "Quick", "--count=2", "--connection=redis", "--queue=fast", "--delay=100")

    async def ask() -> None:
        async with probing(app) as probe:
            asked = [name("redis:fast"), name("odd:abcd"), name("sqs:low"), name("redis:none")]
            found = await probe.sizes(asked)
            redis = found[name("redis:fast")]
            assert isinstance(redis, QueueDepth)
            assert (redis.ready, redis.delayed, redis.due, redis.reserved, redis.expired) == (3, 2, 0, 0, 0)
            assert found[name("redis:none")] == QueueDepth()
            odd = found[name("odd:abcd")]
            assert isinstance(odd, QueueDepth)
            assert odd.ready == 4
            assert found[name("sqs:low")] == QueueDepth(ready=5, delayed=6, reserved=7, estimated=True)

    asyncio.run(ask())


@contextlib.contextmanager
def serving_tubes(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["beanstalkd", "-l", "127.0.0.1", "-p", str(port)], stdin=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, "beanstalkd ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    try:
        eventually(answers, what="beanstalkd answers")
        yield process
    finally:
        process.kill()
        process.wait()


def tell(port: int, *commands: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), LIMIT) as connection, connection.makefile("rb") as answers:
        for command in commands:
            connection.sendall(command + b"\r\n")
            assert answers.readline().split()[0] in (b"USING", b"INSERTED", b"WATCHING", b"RESERVED")
            if command.startswith(b"reserve"):
                answers.readline()
        connection.settimeout(None)


def has_pheanstalk() -> bool:
    code = "exit(stream_resolve_include_path('Pheanstalk/autoload.php') === false ? 1 : 0);"
    return subprocess.run([*PHP, "-r", code], stdin=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(shutil.which("beanstalkd") is None, reason="beanstalkd is not installed")
def test_beanstalkd_is_asked_and_found_again_after_a_restart(app: LaravelApp) -> None:
    if not has_pheanstalk():
        pytest.skip("this PHP does not find Pheanstalk (php-pda-pheanstalk)")
    port = free_port()
    app.set_env(BEANSTALKD_PORT=str(port))
    jobs = [b"use mail", b"put 10 0 60 1\r\na", b"put 10 0 60 1\r\nb", b"put 10 500 60 1\r\nc"]

    async def ask() -> None:
        async with probing(app) as probe:
            with serving_tubes(port):
                tell(port, *jobs)
                found = await depth(probe, "beanstalkd:mail")
                assert isinstance(found, QueueDepth), found
                assert (found.ready, found.delayed, found.reserved) == (2, 1, 0)
                assert found.oldest is not None
                assert 0 <= found.oldest < LIMIT
                assert await depth(probe, "beanstalkd:none") == QueueDepth()
                pid = probe.pid
            assert isinstance(await depth(probe, "beanstalkd:mail"), str)
            with serving_tubes(port):
                tell(port, *jobs[:2])
                found = await depth(probe, "beanstalkd:mail")
                assert isinstance(found, QueueDepth), found
                assert (found.ready, found.delayed) == (1, 0)
                assert probe.pid == pid

    asyncio.run(ask())


def test_an_answer_that_does_not_come_holds_up_no_other_connection(app: LaravelApp) -> None:
    (app.root / "storage/stuck").touch()

    async def ask() -> None:
        async with probing(app) as probe:
            asked = [name("stuck:default"), name("odd:abc")]
            assert isinstance(await depth(probe, "odd:ab"), QueueDepth)
            probe.timeout = 0.3
            found = await probe.sizes(asked)
            said = "the application did not tell the size of queues of connection stuck within 0.3 s"
            assert found[name("stuck:default")] == said
            probe.timeout = 10
            found = await probe.sizes(asked)
            assert found[name("odd:abc")] == QueueDepth(ready=3), "the next process answers for others at once"
            assert "connection stuck within" in str(found[name("stuck:default")])
            (app.root / "storage/stuck").unlink()
            probe.timeout = 60
            assert (await depth_that_is_known(probe, "stuck:default")).ready == 1
            assert (await depth_that_is_known(probe, "odd:abc")).ready == 3

    asyncio.run(ask())


def test_a_connection_that_kills_php_holds_up_no_other(app: LaravelApp) -> None:
    (app.root / "storage/stuck").touch()

    async def ask() -> None:
        async with probing(app) as probe:
            asked = [name("stuck:deadly"), name("odd:abc")]
            found = await probe.sizes(asked)
            assert str(found[name("stuck:deadly")]).endswith("ended (killed by signal 11)")
            assert isinstance(found[name("odd:abc")], str)
            for _ in range(10):
                assert (await probe.sizes(asked))[name("odd:abc")] == QueueDepth(ready=3)

    asyncio.run(ask())


@pytest.mark.parametrize("collected", [False, True], ids=["left", "collected by the daemon"])
def test_a_process_that_was_killed_is_replaced(app: LaravelApp, collected: bool) -> None:
    async def ask() -> None:
        async with probing(app) as probe:
            await depth_that_is_known(probe, "odd:a")
            pid = probe.pid
            assert pid is not None
            assert os.getpriority(os.PRIO_PROCESS, pid) == max(NICE, os.getpriority(os.PRIO_PROCESS, 0))
            os.kill(pid, signal.SIGKILL)
            if collected:
                os.waitpid(pid, 0)  # noqa: ASYNC222 - it is dead
            assert (await depth_that_is_known(probe, "odd:abc")).ready == 3
            assert probe.pid != pid

    asyncio.run(ask())


def test_an_application_that_does_not_boot_says_why_and_is_not_tried_without_end(app: LaravelApp) -> None:
    good = (app.root / "app/OddProvider.php").read_text()
    (app.root / "app/OddProvider.php").write_text(
        "<?php\nfile_put_contents('boots', 'x', FILE_APPEND);\nthrow new Error('no');"
    )

    async def ask() -> None:
        async with probing(app) as probe:
            for _ in range(50):
                found = await depth(probe, "odd:a")
                assert "Error: no (app/OddProvider.php:3)" in str(found) or ": no (app/OddProvider.php:3)" in str(found)
            boots = len((app.root / "boots").read_text())
            assert boots < 20  # two for a start: artisan's, and ours that brings the exception
            (app.root / "app/OddProvider.php").write_text(good)
            assert (await depth_that_is_known(probe, "odd:a")).ready == 1

    asyncio.run(ask())


def test_settings_that_changed_are_read_anew(app: LaravelApp, tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    shutil.copy(app.root / "storage/app/database.sqlite", other)
    with contextlib.closing(sqlite3.connect(other)) as database, database:
        database.execute(
            "insert into jobs (queue, payload, attempts, available_at, created_at) values ('a', '', 0, 1, 1)"
        )

    async def ask() -> None:
        async with probing(app) as probe:
            assert (await depth_that_is_known(probe, "database:a")).ready == 0
            app.set_env(DB_DATABASE=str(other))
            assert (await depth_that_is_known(probe, "database:a")).ready == 1

    asyncio.run(ask())


def test_questions_at_the_same_time_and_cancelled_ones_do_not_mix(app: LaravelApp) -> None:
    async def ask() -> None:
        async with probing(app) as probe:
            answers = await asyncio.gather(*(depth(probe, f"odd:{'x' * n}") for n in range(1, 9)))
            assert [answer.ready for answer in answers if isinstance(answer, QueueDepth)] == list(range(1, 9))
            (app.root / "storage/stuck").touch()
            task = asyncio.create_task(depth(probe, "stuck:default"))
            await until((app.root / "storage/asked").exists, "it is asked")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert probe.pid is None, "its answer must not be taken for that of the next question"
            assert (await depth_that_is_known(probe, "odd:xx")).ready == 2

    asyncio.run(ask())


def test_it_stays_with_the_release_it_began_with(app: LaravelApp, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(app.root)

    async def ask() -> None:
        probe = SizeProbe(PHP, str(tmp_path / "current"), environment=ENVIRONMENT)
        (tmp_path / "current").unlink()
        assert probe.release == os.path.realpath(app.root)
        assert (await depth_that_is_known(probe, "odd:a")).ready == 1
        await probe.close()

    asyncio.run(ask())


def test_it_ends_with_whoever_asked(app: LaravelApp) -> None:
    code = f"""
import asyncio, os, signal
from queuepool.domain.queues import QueueName
from queuepool.laravel.sizes import SizeProbe
async def ask():
    probe = SizeProbe({PHP!r}, {str(app.root)!r}, environment=dict(os.environ), timeout=60)
    await probe.sizes([QueueName("odd", "a")])
    print(probe.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(ask())
"""
    result = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, timeout=120)
    pid = int(result.stdout)
    eventually(lambda: birth(pid) is None, what="PHP is gone")  # not even a zombie counts: who reaps it is open


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_it_runs_as_the_user_of_the_workers(redis_server: RedisServer) -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to other users
        os.chmod(directory, 0o755)
        app = prepared(LaravelApp(Path(directory) / "app", redis_server))
        subprocess.run(["chown", "-R", "nobody", str(app.root)], check=True)

        async def ask() -> None:
            async with probing(app, user="nobody") as probe:
                assert (await depth_that_is_known(probe, "database:default")) == QueueDepth()
                assert os.stat(f"/proc/{probe.pid}").st_uid == pwd.getpwnam("nobody").pw_uid

        asyncio.run(ask())


def test_one_who_does_not_wait_for_the_end_leaves_no_process_behind(app: LaravelApp) -> None:
    """Cut off at every moment of the end: what was started is put down and collected all the same."""

    async def ask() -> None:
        for count in (1, 2, 4, 1000):  # the last while it is being waited for
            probe = SizeProbe(PHP, str(app.root), environment=ENVIRONMENT)
            assert (await depth_that_is_known(probe, "odd:a")).ready == 1
            assert probe._running is not None
            process = probe._running.process
            os.kill(process.pid, signal.SIGSTOP)  # so that it does not end by itself
            ending = asyncio.create_task(probe.close())
            await turns(count)
            ending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ending
            assert process.returncode is not None

    asyncio.run(ask())
