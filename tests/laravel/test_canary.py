"""The queue of a canary in a real application: on every driver a job is sent, done by a real worker, and cleared."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
from contextlib import closing

import pytest
from redis import Redis

from queuepool.errors import QueuepoolError
from queuepool.laravel.canary import Left, Site, clear, send
from tests.laravel.test_sizes import has_pheanstalk, serving_tubes
from tests.support.laravel import PHP, LaravelApp, laravel_version
from tests.support.ports import free_port
from tests.support.redis import RedisServer

pytestmark = pytest.mark.php

QUEUES = """<?php
@include_once 'Pheanstalk/autoload.php';

return ['default' => 'database', 'failed' => ['driver' => 'database', 'database' => 'sqlite', 'table' => 'failed_jobs'],
'connections' => [
    'database' => ['driver' => 'database', 'table' => 'jobs', 'queue' => 'default', 'retry_after' => 90],
    'redis' => ['driver' => 'redis', 'connection' => 'default', 'queue' => 'default', 'retry_after' => 90],
    'beanstalkd' => ['driver' => 'beanstalkd', 'host' => '127.0.0.1', 'port' => (int) env('BEANSTALKD_PORT'),
        'queue' => 'default', 'retry_after' => 60, 'block_for' => 0],
    'sync' => ['driver' => 'sync'],
    'sqs' => ['driver' => 'pretended-sqs'],
]];
"""

PROVIDER = r"""<?php

namespace App;

class Client
{
    public function __call($name, $given)
    {
        file_put_contents(storage_path('sqs'), json_encode([$name => $given[0]])."\n", FILE_APPEND);

        return new class { public function get($key) { return 'id'; } };
    }
}

class Queue extends \Illuminate\Queue\SqsQueue
{
    public function __construct() { $this->default = 'x'; }
    public function getSqs() { return new Client; }
    public function getQueue($queue) { return 'https://sqs.example/1/'.$queue; }
    public function size($queue = null) { return 1; }
    public function push($job, $data = '', $queue = null)
    {
        (new Client)->sendMessage(['QueueUrl' => $this->getQueue($queue), 'job' => get_class($job)]);
    }
}

class Connector implements \Illuminate\Queue\Connectors\ConnectorInterface
{
    public function connect(array $config) { return new Queue; }
}

class Provider extends \Illuminate\Support\ServiceProvider
{
    public function boot()
    {
        $this->app['queue']->addConnector('pretended-sqs', fn () => new Connector);
    }
}
"""


@pytest.fixture
def app(laravel_app: LaravelApp) -> LaravelApp:
    root = laravel_app.root
    (root / "config/queue.php").write_text(QUEUES)
    (root / "app/Provider.php").write_text(PROVIDER)
    config = root / "config/app.php"
    config.write_text(config.read_text().replace("'providers' => [", "'providers' => [App\\Provider::class,"))
    return laravel_app


def site(app: LaravelApp, connection: str | None) -> Site:
    return Site(PHP, str(app.root), None, None, {"PATH": os.environ["PATH"]}, connection)


def goes_round(app: LaravelApp, connection: str | None) -> None:
    """A job is sent, done, and sent again and cleared undone."""
    where = site(app, connection)
    version = asyncio.run(send(where, "canary"))
    assert version.split(".")[0] == str(laravel_version()[0])
    said = app.artisan("queue:work", connection or "database", "--queue=canary", "--once", "-v")
    assert "env" in said or "QueuedCommand" in said, said
    assert asyncio.run(clear(where, "canary", failed=True)) == Left(0, "")
    asyncio.run(send(where, "canary"))
    asyncio.run(send(where, "other", ["canary"]))
    assert asyncio.run(clear(where, "canary", failed=True)) == Left(0, "")
    assert asyncio.run(clear(where, "other", failed=True)) == Left(1, "")
    assert asyncio.run(clear(where, "other", failed=True)) == Left(0, "")


@pytest.mark.parametrize("connection", [None, "redis"])
def test_a_job_is_sent_and_cleared(app: LaravelApp, redis_server: RedisServer, connection: str | None) -> None:
    goes_round(app, connection)
    with Redis(port=redis_server.port) as redis:
        assert redis.keys("*canary*") == []


@pytest.mark.skipif(shutil.which("beanstalkd") is None, reason="beanstalkd is not installed")
def test_beanstalkd_takes_it_too(app: LaravelApp) -> None:
    if not has_pheanstalk():
        pytest.skip("pheanstalk is not installed")
    port = free_port()
    app.set_env(BEANSTALKD_PORT=str(port))
    with serving_tubes(port):
        goes_round(app, "beanstalkd")


def test_a_queue_of_sqs_is_made_and_deleted(app: LaravelApp) -> None:
    where = site(app, "sqs")
    asyncio.run(send(where, "canary"))
    asyncio.run(clear(where, "canary", failed=False))
    calls = [json.loads(line) for line in (app.root / "storage/sqs").read_text().splitlines()]
    url = "https://sqs.example/1/canary"
    assert calls == [
        {"createQueue": {"QueueName": "canary"}},
        {"sendMessage": {"QueueUrl": url, "job": "Illuminate\\Foundation\\Console\\QueuedCommand"}},
        {"deleteQueue": {"QueueUrl": url}},
    ]


def test_why_its_job_failed_is_told_and_not_kept(app: LaravelApp) -> None:
    where = site(app, None)
    exception = "App\\Oh: no way (Connection: x, SQL: select 'secret') in /srv/app/x.php:7\nStack trace:\n#0 secret"
    with closing(sqlite3.connect(app.root / "storage/app/database.sqlite")) as database, database:
        for queue in ("canary", "mine"):
            database.execute(
                "insert into failed_jobs (uuid, connection, queue, payload, exception) values (?, 'x', ?, '{}', ?)",
                (queue, queue, exception),
            )
    assert asyncio.run(clear(where, "canary", failed=False)) == Left(0, "")
    assert asyncio.run(clear(where, "canary", failed=True)) == Left(0, "App\\Oh: no way")
    assert asyncio.run(clear(where, "canary", failed=True)) == Left(0, "")
    assert "mine" in app.artisan("queue:failed")


def test_what_cannot_be_is_said(app: LaravelApp) -> None:
    for connection, why in {"sync": "the connection sync is sync: no worker", "nope": "nope"}.items():
        with pytest.raises(QueuepoolError, match=why):
            asyncio.run(send(site(app, connection), "canary"))
    (app.root / "config/app.php").write_text("<?php oh no")
    with pytest.raises(QueuepoolError, match=r"cannot boot the application.*config/app\.php"):
        asyncio.run(send(site(app, None), "canary"))
