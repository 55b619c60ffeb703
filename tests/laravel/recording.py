"""Records what a real queue:work prints: `python -m tests.laravel.recording PHP [SRC] > tests/laravel/lines/X.Y.txt`.

PHP is one whose include_path holds a Laravel. SRC: the src directory of another laravel/framework, which then runs with
the libraries of that one. A block begins with `## ` and the arguments of queue:work; ESC is written
as \u241b. Below a line of which something is to be understood stand the facts, each after `\t=> `: written by today's
reader and then checked by eye, against the jobs that were pushed and against what is not understood."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from queuepool.domain.work import Said
from queuepool.laravel.output import Reader
from tests.support.laravel import LaravelApp
from tests.support.redis import RedisServer

RUNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("redis", "-v"), ""),
    (("redis",), ""),
    (("redis", "-v", "--ansi"), ""),
    (("redis", "-v"), "40"),
    (("redis", "-v"), "200"),
    (("database", "-v"), ""),
    (("redis", "--json"), ""),
)
"""Arguments of queue:work, and COLUMNS."""

JOB = """<?php

namespace App\\Jobs;

class %s implements \\Illuminate\\Contracts\\Queue\\ShouldQueue
{
    use \\Illuminate\\Foundation\\Bus\\Dispatchable;
    use \\Illuminate\\Queue\\InteractsWithQueue;
    use \\Illuminate\\Bus\\Queueable;

    %s
}
"""
JOBS = {
    "Named": "public function displayName() { return 'Send 20 mails to all'; } public function handle() {}",
    "Releasing": "public function handle() { if ($this->attempts() < 2) $this->release(0); }",
    "GivingUp": "public function handle() { $this->fail(new \\RuntimeException('no more')); }",
    "Talking": "public function handle() { echo 'no end of line'; }",
}
PUSH = """<?php
require __DIR__.'/bootstrap/autoload.php';
$app = require __DIR__.'/bootstrap/app.php';
$app->make(Illuminate\\Contracts\\Console\\Kernel::class)->bootstrap();
$jobs = [new App\\Jobs\\Quick, new App\\Jobs\\Sleeping(1100), new App\\Jobs\\Named, new App\\Jobs\\Failing,
    new App\\Jobs\\Releasing, new App\\Jobs\\GivingUp, new App\\Jobs\\Talking, new App\\Jobs\\Quick];
foreach ($jobs as $job) {
    Illuminate\\Support\\Facades\\Queue::connection($argv[1])->push($job);
}
echo $app->version();
"""


VENDOR = """<?php
spl_autoload_register(function ($class) {
    if (strncmp($class, 'Illuminate\\\\', 11)) return;
    $name = strtr(substr($class, 11), '\\\\', '/').'.php';
    foreach (['', 'Collections', 'Macroable', 'Conditionable', 'Reflection'] as $split) {
        $file = '%s/Illuminate/'.($split === '' ? $name : preg_replace('~^Support/~', $split.'/', $name));
        if (is_file($file)) { require_once $file; return; }
    }
}, true, true);
foreach (['Collections/functions', 'Collections/helpers', 'Support/functions', 'Support/helpers', 'Foundation/helpers',
    'Events/functions', 'Filesystem/functions', 'Log/functions', 'Reflection/helpers'] as $name) {
    if (is_file($file = '%s/Illuminate/'.$name.'.php')) require_once $file;
}
require 'Illuminate/autoload.php';
spl_autoload_register(function ($class) {
    $file = dirname(__DIR__).'/app/'.strtr(substr($class, 4), '\\\\', '/').'.php';
    if (strncmp($class, 'App\\\\', 4) === 0 && is_file($file)) require $file;
});
"""


def fact(said: Said) -> str:
    """One fact as a line of the file; times are left out, they are tested elsewhere."""
    shown = [said.what.value, said.job or "?"]
    for name in ("id", "uuid", "connection", "queue", "attempts"):
        value = getattr(said, name)
        shown += [f"{name}={value}"] if value is not None else []
    shown += [f"seconds={said.seconds:g}"] if said.seconds is not None else []
    return " | ".join(shown)


def annotated(raw: bytes) -> str:
    """Lines with the facts below them."""
    reader, text = Reader(), ""
    for line in raw.splitlines(keepends=True):
        text += line.decode().replace("\x1b", "\u241b").rstrip("\r\n") + "\n"
        text += "".join(f"\t=> {fact(said)}\n" for said in reader.feed(line))
    return text


def record(php: str, src: str | None = None) -> str:
    """The text of a file."""
    with RedisServer() as server, tempfile.TemporaryDirectory(prefix="qp-lines-") as directory:
        app = LaravelApp(Path(directory) / "app", server)
        for name, body in JOBS.items():
            (app.root / f"app/Jobs/{name}.php").write_text(JOB % (name, body))
        (app.root / "push.php").write_text(PUSH)
        if src:
            (app.root / "vendor").mkdir()
            (app.root / "vendor/autoload.php").write_text(VENDOR % (src, src))
        config = app.root / "config/app.php"
        provider = "Illuminate\\Foundation\\Providers\\FoundationServiceProvider::class"
        if provider not in (text := config.read_text()):
            config.write_text(text.replace("'providers' => [", f"'providers' => [{provider},", 1))
        text, version = "", ""
        for args, columns in RUNS:
            pushed = subprocess.run(
                [php, "push.php", args[0]], cwd=app.root, check=True, stdout=subprocess.PIPE, text=True
            )
            version = pushed.stdout
            environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | (
                {"COLUMNS": columns} if columns else {}
            )
            done = subprocess.run(
                [php, "artisan", "queue:work", *args, "--stop-when-empty", "--tries=2", "--sleep=0"],
                cwd=app.root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                text += f"## {' '.join(args)}{f' COLUMNS={columns}' if columns else ''}\n" + annotated(done.stdout)
            else:
                print(args, done.returncode, done.stdout[-500:], done.stderr[-500:], file=sys.stderr)
    return f"# Laravel {version}: recorded with tests/laravel/recording.py{' SRC' if src else ''}\n" + text


if __name__ == "__main__":
    print(record(*sys.argv[1:3]), end="")
