<?php

namespace App\Console;

use App\Jobs\Quick;
use Illuminate\Console\Scheduling\Schedule;
use Illuminate\Foundation\Console\Kernel as ConsoleKernel;

class Kernel extends ConsoleKernel
{
    protected $commands = [
        Commands\Dispatch::class,
        Commands\Ledger::class,
        Commands\Reset::class,
    ];

    protected function schedule(Schedule $schedule)
    {
        $schedule->job(new Quick, 'mail')->everyMinute();
    }
}
