<?php

namespace App\Jobs;

use App\Pause;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** Waits, as a job does that calls a slow service. */
class Sleeping implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    public function __construct(public int $ms = 100)
    {
    }

    public function handle(): void
    {
        Pause::for($this->ms);
    }
}
