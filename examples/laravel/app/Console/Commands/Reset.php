<?php

namespace App\Console\Commands;

use App\LedgerFile;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\Redis;

class Reset extends Command
{
    protected $signature = 'demo:reset';

    protected $description = 'Begin anew: empty ledger, empty queues, empty tables';

    public function handle(): int
    {
        if (is_file(LedgerFile::path())) {
            unlink(LedgerFile::path());
        }

        touch(config('database.connections.sqlite.database'));
        $this->callSilent('migrate:fresh', ['--force' => true]);

        // One by one: phpredis puts the prefix before the names given to DEL, and does not take it off those it lists.
        $prefix = (string) config('database.redis.options.prefix');

        foreach (Redis::keys('queues:*') as $key) {
            Redis::del($prefix !== '' && str_starts_with($key, $prefix) ? substr($key, strlen($prefix)) : $key);
        }

        $this->line('reset');

        return 0;
    }
}
