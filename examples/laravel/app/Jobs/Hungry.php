<?php

namespace App\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** Takes memory and keeps it, so that the worker grows until queue:work --memory ends it (exit code 12). */
class Hungry implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    private static array $kept = [];

    public function __construct(public int $mb = 64)
    {
    }

    public function handle(): void
    {
        for ($n = 0; $n < $this->mb; $n++) {
            self::$kept[] = random_bytes(1024).str_repeat('x', 1023 * 1024);
        }
    }
}
