<?php
// Answers how deep queues are, for as long as it is asked, in an application (Laravel 6 to 13) that it boots once.
//
// php.py gives this to PHP on standard input, in the directory of the application, with an array $queuepool in front of
// it: mark (random). It becomes `artisan --version`, and lives on in the shutdown function. Then each line of standard
// input is a question, a JSON object {"id": 7, "asks": {"database": ["default", "mail"], "sqs": ["low"]}}. Each
// connection is answered by a line of its own, the mark and {"id": 7, "connection": "database", "queues": {"default":
// {"ready": 1, ...}, "mail": "why not"}}, and the last line is {"id": 7, "done": true}. The end of standard input ends
// it: so it outlives nobody who asks.

register_shutdown_function(static function () use ($queuepool) {
    $say = static function ($what) use ($queuepool) {
        fwrite(STDOUT, "\n".$queuepool['mark'].json_encode($what, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE)."\n");
    };
    $why = static function ($e) {
        // The first line, without the statement that a QueryException quotes.
        $message = preg_replace('/ \((Connection: |SQL: ).*/s', '', trim($e->getMessage()));
        $first = trim((string) strtok($message, "\n"));

        return substr($first === '' ? get_class($e) : $first, 0, 300);
    };

    $app = $queuepool['booted']($say);
    if ($app === null) {
        return;
    }
    $manager = $app->make('queue');

    $entry = static function ($connection, $key) use ($app) {
        return $app->make('config')->get('queue.connections.'.$connection.'.'.$key);
    };
    $now = static function () {
        return microtime(true);
    };
    $age = static function ($then) use ($now) {
        return is_numeric($then) && $then > 0 ? max(0, $now() - (float) $then) : null;
    };

    // One query for all queues of a connection. What is due counts as ready here: no worker has to move it first.
    $database = static function ($queue, $names, $connection) use ($entry, $now, $age) {
        $time = (int) $now();
        $retry = $entry($connection, 'retry_after');
        $expired = $retry === null ? -1 : $time - (int) $retry;
        $rows = $queue->getDatabase()->table($entry($connection, 'table') ?: 'jobs')
            ->whereIn('queue', $names)->groupBy('queue')
            ->selectRaw('queue as name,'
                .' sum(case when reserved_at is null and available_at <= ? then 1 else 0 end) as ready,'
                .' sum(case when reserved_at is null and available_at > ? then 1 else 0 end) as later,'
                .' sum(case when reserved_at is not null then 1 else 0 end) as taken,'
                .' sum(case when reserved_at is not null and reserved_at <= ? then 1 else 0 end) as expired,'
                .' min(case when reserved_at is null and available_at <= ? then available_at end) as oldest',
                [$time, $time, $expired, $time])
            ->get();
        $found = [];
        foreach ($rows as $row) {
            $found[$row->name] = ['ready' => (int) $row->ready, 'delayed' => (int) $row->later,
                'reserved' => (int) $row->taken, 'expired' => (int) $row->expired, 'oldest' => $age($row->oldest)];
        }

        return $found;
    };

    $beanstalkd = static function ($queue, $name) {
        $client = $queue->getPheanstalk();
        $tube = $queue->getQueue($name);
        $class = 'Pheanstalk\Values\TubeName'; // pheanstalk 5 and newer
        $tube = class_exists($class) ? new $class($tube) : $tube;
        try {
            $stats = $client->statsTube($tube);
        } catch (Throwable $e) {
            // An exception of its own since some pheanstalk between 5 and 8; before that only the text tells it.
            $gone = $e instanceof Pheanstalk\Exception\TubeNotFoundException;
            if (! $gone && strpos($e->getMessage(), 'NOT_FOUND') === false) {
                throw $e;
            }

            return []; // a tube is there only while it has jobs or somebody who watches it
        }
        $read = static function ($name) use ($stats) {
            $property = lcfirst(str_replace(' ', '', ucwords(str_replace('-', ' ', $name))));

            return (int) ($stats instanceof ArrayAccess ? $stats[$name] : $stats->$property);
        };
        $depth = ['ready' => $read('current-jobs-ready'), 'delayed' => $read('current-jobs-delayed'),
            'reserved' => $read('current-jobs-reserved')];
        if ($depth['ready'] > 0) {
            try {
                $client->useTube($tube);
                $job = $client->peekReady();
                $head = $job === null ? null : $client->statsJob($job);
                $depth['oldest'] = $head === null ? null : (float) ($head instanceof ArrayAccess ? $head['age'] : $head->age);
            } catch (Throwable $e) {
                // A worker took it in between.
            }
        }

        return $depth;
    };

    $sqs = static function ($queue, $name) {
        $asked = ['ready' => 'ApproximateNumberOfMessages', 'delayed' => 'ApproximateNumberOfMessagesDelayed',
            'reserved' => 'ApproximateNumberOfMessagesNotVisible'];
        $reply = $queue->getSqs()->getQueueAttributes([
            'QueueUrl' => $queue->getQueue($name), 'AttributeNames' => array_values($asked),
        ]);
        $depth = ['estimated' => true];
        foreach ($asked as $key => $attribute) {
            $depth[$key] = (int) ($reply['Attributes'][$attribute] ?? 0);
        }

        return $depth;
    };

    $redis = static function ($queue, $name) use ($now, $age) {
        $client = $queue->getConnection();
        $key = (function () use ($name) {
            return method_exists($this, 'getQueueRedisKey') ? $this->getQueueRedisKey($name) : $this->getQueue($name);
        })->call($queue);
        $head = json_decode((string) $client->lindex($key, 0), true);
        $due = (int) $client->zcount($key.':delayed', '-inf', (string) (int) $now());

        return [
            'ready' => (int) $client->llen($key), 'delayed' => (int) $client->zcard($key.':delayed'), 'due' => $due,
            'reserved' => (int) $client->zcard($key.':reserved'),
            'expired' => (int) $client->zcount($key.':reserved', '-inf', (string) (int) $now()),
            'oldest' => $age($head['createdAt'] ?? $head['pushedAt'] ?? null),
        ];
    };

    $other = static function ($queue, $name) use ($age) {
        if (! method_exists($queue, 'pendingSize')) {
            return ['ready' => (int) $queue->size($name), 'estimated' => true]; // delayed and reserved ones may be in it
        }

        return [
            'ready' => (int) $queue->pendingSize($name), 'delayed' => (int) $queue->delayedSize($name),
            'reserved' => (int) $queue->reservedSize($name), 'oldest' => $age($queue->creationTimeOfOldestPendingJob($name)),
        ];
    };

    $kinds = ['Illuminate\Queue\BeanstalkdQueue' => $beanstalkd, 'Illuminate\Queue\SqsQueue' => $sqs,
        'Illuminate\Queue\RedisQueue' => $redis];

    $ask = static function ($connection, $names) use ($manager, $database, $other, $kinds) {
        $queue = $manager->connection($connection);
        if ($queue instanceof Illuminate\Queue\DatabaseQueue) {
            return $database($queue, $names, $connection);
        }
        $measure = $other;
        foreach ($kinds as $class => $how) {
            $measure = $queue instanceof $class ? $how : $measure;
        }
        $found = [];
        foreach ($names as $name) {
            $found[$name] = $measure($queue, $name);
        }

        return $found;
    };

    // A server that was restarted leaves a connection that is dead for good: make it anew, and ask once more.
    $forget = static function ($connection) use ($app, $manager, $entry) {
        (function () use ($connection) {
            unset($this->connections[$connection]);
        })->call($manager);
        $behind = $entry($connection, 'connection');
        if ($entry($connection, 'driver') === 'database') {
            $app->make('db')->purge($behind);
        } elseif ($entry($connection, 'driver') === 'redis' && method_exists($app->make('redis'), 'purge')) {
            $app->make('redis')->purge($behind);
        }
    };

    $paused = static function ($connection, $name) use ($manager) {
        try {
            return method_exists($manager, 'isPaused') && $manager->isPaused($connection, $name);
        } catch (Throwable $e) {
            return false;
        }
    };

    $most = memory_get_usage() + 64 * 1024 * 1024;
    $say(['ready' => true]);
    while (($line = fgets(STDIN)) !== false) {
        $question = json_decode($line, true);
        foreach ($question['asks'] ?? [] as $connection => $names) {
            $queues = [];
            try {
                try {
                    $found = $ask($connection, $names);
                } catch (Throwable $e) {
                    $forget($connection);
                    $found = $ask($connection, $names);
                }
                foreach ($names as $name) {
                    $queues[$name] = ($found[$name] ?? []) + ['paused' => $paused($connection, $name)];
                }
            } catch (Throwable $e) {
                $queues = array_fill_keys($names, $why($e));
            }
            $say(['id' => $question['id'], 'connection' => $connection, 'queues' => (object) $queues]);
        }
        // Something that remembers every query, as debugging tools do, must not grow for ever: the next one is booted anew.
        $full = memory_get_usage() > $most;
        $say(['id' => $question['id'] ?? null, 'done' => true, 'last' => $full]);
        if ($full) {
            break;
        }
    }
});

unset($queuepool);
