<?php

namespace App\Console\Commands;

use App\LedgerFile;
use Illuminate\Console\Command;

class Ledger extends Command
{
    protected $signature = 'demo:ledger {--json : One JSON object, with the name of every job in question}';

    protected $description = 'Say which ledger jobs were done, are missing or were done twice (exit code 1 unless each was done once)';

    public function handle(): int
    {
        $ledger = LedgerFile::summary();

        if ($this->option('json')) {
            $this->line(json_encode($ledger));
        } else {
            $this->line("{$ledger['done']} of {$ledger['sent']} jobs done");
            $this->name($ledger['missing'], 'missing: begun and killed, or never begun');
            $this->name($ledger['doubled'], 'done more than once');
            $this->name($ledger['unfinished'], 'begun more often than finished');
        }

        return $ledger['missing'] || $ledger['doubled'] ? 1 : 0;
    }

    private function name(array $ids, string $what): void
    {
        if ($ids) {
            $more = count($ids) > 5 ? ', ...' : '';
            $this->line(count($ids)." $what (".implode(', ', array_slice($ids, 0, 5))."$more)");
        }
    }
}
