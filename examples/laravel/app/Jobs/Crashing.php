<?php

namespace App\Jobs;

use App\LedgerFile;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** Signs the ledger and takes its worker with it, as often as it is told to; the time after that it is done. */
class Crashing implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    /** How the worker dies: kill (SIGKILL), fatal (a PHP fatal error), segfault, or memory (it grows until something stops it). */
    public function __construct(public string $id, public string $how = 'kill', public int $times = 1)
    {
    }

    public function handle(): void
    {
        LedgerFile::begin($this->id);

        if (LedgerFile::begun($this->id) <= $this->times) {
            match ($this->how) {
                'kill' => posix_kill(getmypid(), SIGKILL),
                'fatal' => eval('class Twice {} class Twice {}'),
                'segfault' => self::recurse(),
                'memory' => self::grow(),
            };
        }

        LedgerFile::end($this->id);
    }

    /** Recursion through C code has no limit but the stack; since PHP 8.3 only with zend.max_allowed_stack_size=-1. */
    private static function recurse(): void
    {
        array_map(static fn () => self::recurse(), [1]);
    }

    private static function grow(): void
    {
        ini_set('memory_limit', '-1');

        for ($kept = []; ;) {
            $kept[] = random_bytes(1024).str_repeat('x', 1023 * 1024);
        }
    }
}
