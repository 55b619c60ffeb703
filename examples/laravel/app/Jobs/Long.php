<?php

namespace App\Jobs;

use App\Pause;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** Works for many seconds and says so each second. */
class Long implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    public function __construct(public int $seconds = 30)
    {
    }

    public function handle(): void
    {
        for ($second = 1; $second <= $this->seconds; $second++) {
            Pause::for(1000);
            fwrite(STDOUT, "long job: $second of $this->seconds s\n");
        }
    }
}
