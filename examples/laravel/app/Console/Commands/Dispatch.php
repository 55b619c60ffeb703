<?php

namespace App\Console\Commands;

use App\Jobs;
use App\LedgerFile;
use Illuminate\Console\Command;
use Illuminate\Support\Facades\Queue;
use Illuminate\Support\Str;

class Dispatch extends Command
{
    private const JOBS = ['Quick', 'Sleeping', 'Failing', 'Hungry', 'Long', 'Ledger', 'Crashing'];

    private const CHUNK = 500; // jobs pushed in one round trip

    protected $signature = 'demo:dispatch
        {job : Quick, Sleeping, Failing, Hungry, Long, Ledger or Crashing}
        {--count=1 : How many}
        {--queue= : The queue; the connection\'s own when left out}
        {--connection= : The queue connection; the default one when left out}
        {--ms=0 : How long each job takes, in milliseconds (Sleeping, Long, Ledger)}
        {--mb=64 : How much memory each job keeps (Hungry)}
        {--how=kill : How its worker dies: kill, fatal, segfault or memory (Crashing)}
        {--times=1 : How often it does, before the job is done (Crashing)}
        {--delay=0 : Seconds before a job may be taken}';

    protected $description = 'Push many jobs of one kind, fast';

    public function handle(): int
    {
        $job = Str::studly($this->argument('job'));
        $count = (int) $this->option('count');

        if (! in_array($job, self::JOBS, true) || $count < 1) {
            $this->error("cannot dispatch $count of {$this->argument('job')}: the jobs are ".implode(', ', self::JOBS));

            return 2;
        }

        $queue = Queue::connection($this->option('connection'));
        $batch = in_array($job, ['Ledger', 'Crashing'], true) ? LedgerFile::announce($count) : '';

        foreach (array_chunk(range(1, $count), self::CHUNK) as $numbers) {
            $jobs = array_map(fn (int $n): object => $this->build($job, "$batch-$n"), $numbers);

            if ($delay = (int) $this->option('delay')) {
                foreach ($jobs as $each) {
                    $queue->later($delay, $each, '', $this->option('queue'));
                }
            } else {
                $queue->bulk($jobs, '', $this->option('queue'));
            }
        }

        $this->line("dispatched $count $job");

        return 0;
    }

    private function build(string $job, string $id): object
    {
        $ms = (int) $this->option('ms');

        return match ($job) {
            'Quick' => new Jobs\Quick,
            'Sleeping' => new Jobs\Sleeping($ms ?: 100),
            'Failing' => new Jobs\Failing,
            'Hungry' => new Jobs\Hungry((int) $this->option('mb')),
            'Long' => new Jobs\Long($ms ? max(1, intdiv($ms, 1000)) : 30),
            'Ledger' => new Jobs\Ledger($id, $ms),
            'Crashing' => new Jobs\Crashing($id, $this->option('how'), (int) $this->option('times')),
        };
    }
}
