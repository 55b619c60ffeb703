<?php
// Sends a job to a queue of its own, or clears such queues, in an application (Laravel 6 to 13) that it boots.
//
// php.py gives this to PHP on standard input, in the directory of the application, with an array $queuepool in front of
// it: mark (random) and ask, JSON in base64: {"connection": null, "send": "queue" or null, "clear": ["queue", ...],
// "failed": whether the job may have failed}. It becomes `artisan --version`, and works in the shutdown function. The
// answer is a line of the mark and a JSON object: {"complete": true, "laravel": "8.83.27", "jobs": what was left in the
// first of the cleared queues or null, "exception": of the job, "refused": why it could not be done}.
//
// The job is the framework's own: `env` by Artisan::queue(), a command that stands beside queue:work in every Laravel
// and only prints the name of the environment. It needs no class of the application and no APP_KEY.

register_shutdown_function(static function () use ($queuepool) {
    $say = static function ($what) use ($queuepool) {
        fwrite(STDOUT, "\n".$queuepool['mark'].json_encode($what, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE)."\n");
    };
    $first = static function ($text) {
        // The first line, without the statement that a QueryException quotes.
        $text = preg_replace('/ \((Connection: |SQL: ).*/s', '', trim($text));

        return substr(trim((string) strtok($text, "\n")), 0, 300);
    };

    $app = $queuepool['booted']($say);
    if ($app === null) {
        return;
    }
    $manager = $app->make('queue');

    $ask = json_decode(base64_decode($queuepool['ask']), true);
    $facts = ['complete' => true, 'laravel' => $app->version(), 'jobs' => null, 'exception' => ''];

    // An SQS queue has to be made, and is deleted as a whole.
    $sqs = static function ($queue, $name, $do) {
        $url = $queue->getQueue($name);
        if ($do === 'delete') {
            return $queue->getSqs()->deleteQueue(['QueueUrl' => $url]);
        }
        $fifo = substr($url, -5) === '.fifo' ? ['Attributes' => ['FifoQueue' => 'true', 'ContentBasedDeduplication' => 'true']] : [];
        $queue->getSqs()->createQueue(['QueueName' => basename($url)] + $fifo);
        sleep(1); // a new queue takes messages only then, says its documentation
    };

    $size = static function ($queue, $name) {
        try {
            return (int) $queue->size($name);
        } catch (Throwable $e) {
            // A beanstalkd tube without jobs is gone: the text of pheanstalk up to 4, an exception of its own since 8.
            $gone = $e instanceof Pheanstalk\Exception\TubeNotFoundException || strpos($e->getMessage(), 'NOT_FOUND') !== false;

            return $gone ? 0 : null;
        }
    };

    // Also jobs that are reserved, by a worker that died in one.
    $clear = static function ($queue, $name) use ($app, $ask, $sqs) {
        if ($queue instanceof Illuminate\Queue\SqsQueue) {
            $sqs($queue, $name, 'delete');
        } elseif ($queue instanceof Illuminate\Queue\RedisQueue) {
            $key = (function () use ($name) {
                return method_exists($this, 'getQueueRedisKey') ? $this->getQueueRedisKey($name) : $this->getQueue($name);
            })->call($queue);
            foreach (['', ':delayed', ':reserved', ':notify'] as $part) {
                $queue->getConnection()->del($key.$part); // one by one: in a cluster they may lie on different nodes
            }
        } elseif ($queue instanceof Illuminate\Queue\DatabaseQueue) {
            $table = (function () {
                return $this->table;
            })->call($queue);
            $queue->getDatabase()->table($table)->where('queue', $name)->delete();
        } else {
            for ($most = 100; $most > 0 && $job = $queue->pop($name); $most--) {
                $job->delete();
            }
        }
    };

    // Why the job failed, and the end of that entry: nobody is to retry it. It is one of the newest: queue has no index.
    $exception = static function ($names) use ($app) {
        $failer = $app->make('queue.failer');
        if ($failer instanceof Illuminate\Queue\Failed\DatabaseFailedJobProvider
            || $failer instanceof Illuminate\Queue\Failed\DatabaseUuidFailedJobProvider) {
            $table = (function () {
                return $this->getTable();
            });
            $newest = (int) $table->call($failer)->max('id');
            $rows = $table->call($failer)->where('id', '>', $newest - 1000)->whereIn('queue', $names)->get();
            $table->call($failer)->whereIn('id', $rows->pluck('id')->all())->delete();
        } elseif ($failer instanceof Illuminate\Queue\Failed\FileFailedJobProvider) {
            $rows = collect($failer->all())->whereIn('queue', $names);
            foreach ($rows as $row) {
                $failer->forget($row->id);
            }
        } else {
            return '';
        }

        return (string) ($rows->isEmpty() ? '' : $rows->last()->exception);
    };

    try {
        $queue = $manager->connection($ask['connection']);
        if ($queue instanceof Illuminate\Queue\SyncQueue || $queue instanceof Illuminate\Queue\NullQueue) {
            $name = $ask['connection'] === null ? $manager->getDefaultDriver() : $ask['connection'];
            $driver = $app->make('config')->get('queue.connections.'.$name.'.driver');
            $say(['refused' => "the connection {$name} is {$driver}: no worker ever gets a job from it"] + $facts);

            return;
        }
        if ($ask['failed']) {
            try {
                $facts['exception'] = $first($exception($ask['clear']));
            } catch (Throwable $e) {
                // Then it is not known.
            }
        }
        $jobs = [];
        foreach ($ask['clear'] as $name) {
            $jobs[] = $size($queue, $name);
            try {
                $clear($queue, $name);
            } catch (Throwable $e) {
                // A queue that was never made, or one that will be cleared the next time.
            }
        }
        $facts['jobs'] = $jobs[0] ?? null;
        if ($ask['send'] !== null) {
            if ($queue instanceof Illuminate\Queue\SqsQueue) {
                $sqs($queue, $ask['send'], 'make');
            }
            $queue->push(new Illuminate\Foundation\Console\QueuedCommand(['env']), '', $ask['send']);
        }
        $say($facts);
    } catch (Throwable $e) {
        $say(['refused' => $first($e->getMessage()) ?: get_class($e)] + $facts);
    }
});

unset($queuepool);
