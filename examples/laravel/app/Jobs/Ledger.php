<?php

namespace App\Jobs;

use App\LedgerFile;
use App\Pause;
use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;
use Illuminate\Foundation\Bus\Dispatchable;
use Illuminate\Queue\InteractsWithQueue;

/** Signs the ledger when it begins and when it ends, so that lost and doubled jobs can be counted. */
class Ledger implements ShouldQueue
{
    use Dispatchable, InteractsWithQueue, Queueable;

    public function __construct(public string $id, public int $ms = 0)
    {
    }

    public function handle(): void
    {
        LedgerFile::begin($this->id);
        Pause::for($this->ms);
        LedgerFile::end($this->id);
    }
}
