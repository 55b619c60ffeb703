<?php
// Answers once, in an application (Laravel 6 to 13) that it boots: which jobs have failed lately, on what databases the
// database queues are, and how long PHP reads from a Redis before it gives up. php.py gives it to PHP on standard input
// with an array $queuepool in front of it: mark (random), connections (names of queue
// connections, with commas; an empty one: the default).

register_shutdown_function(static function () use ($queuepool) {
    $say = static function ($what) use ($queuepool) {
        $flags = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES;
        fwrite(STDOUT, "\n".$queuepool['mark'].json_encode($what, $flags)."\n");
    };
    $app = $queuepool['booted']($say);
    if ($app === null) {
        return;
    }
    $config = $app->make('config');
    $line = $queuepool['line'];

    $facts = ['complete' => true, 'databases' => [], 'read_timeouts' => [], 'elastic' => [], 'horizon_lacks' => [],
        'failed' => null];

    foreach (explode(',', $queuepool['connections']) as $name) {
        $name = $name === '' ? (string) $config->get('queue.default') : $name;
        $entry = $config->get('queue.connections.'.$name);
        if (! is_array($entry)) {
            continue;
        }
        if (! empty($entry['expire_after_timeout'])) {
            $facts['elastic'][] = $name;
        }
        if (($entry['driver'] ?? '') === 'database') {
            try {
                $database = $app->make('db')->connection($entry['connection'] ?? null);
                $version = $database->getPdo()->getAttribute(PDO::ATTR_SERVER_VERSION);
                $facts['databases'][$name] = [$database->getDriverName(), (string) $version];
            } catch (Throwable $e) {
                // A database that cannot be reached is told by whoever counts its jobs.
            }
        }
    }

    $redis = (array) $config->get('database.redis');
    $shared = is_array($redis['options'] ?? null) ? $redis['options'] : [];
    $usual = ($redis['client'] ?? 'phpredis') === 'predis' ? ($shared['parameters']['read_write_timeout'] ?? 60)
        : ini_get('default_socket_timeout');
    $key = ($redis['client'] ?? 'phpredis') === 'predis' ? 'read_write_timeout' : 'read_timeout';
    foreach ($redis as $name => $entry) {
        if (is_array($entry) && ! in_array($name, ['options', 'clusters'], true)) {
            $own = is_array($entry['options'] ?? null) ? $entry['options'] : [];
            $given = $own[$key] ?? $shared[$key] ?? $entry[$key] ?? null;
            // phpredis takes 0 for PHP's default_socket_timeout, predis for no limit.
            $seconds = (float) ($given === null || ($key === 'read_timeout' && ! (float) $given) ? $usual : $given);
            $facts['read_timeouts'][$name] = max(0, $seconds);
        }
    }

    try {
        $commands = $app->make('Illuminate\Contracts\Console\Kernel')->all();
        if (isset($commands['horizon:work'], $commands['queue:work'])) {
            // Not every option that horizon:work lacks matters; without this one its workers end.
            foreach (['stop-when-empty-for'] as $option) {
                if ($commands['queue:work']->getDefinition()->hasOption($option)
                    && ! $commands['horizon:work']->getDefinition()->hasOption($option)) {
                    $facts['horizon_lacks'][] = $option;
                }
            }
        }
    } catch (Throwable $e) {
        // A command that cannot be built is told by the probe.
    }

    $failed = (array) $config->get('queue.failed');
    $facts['failed'] = ['driver' => $failed['driver'] ?? (isset($failed['table']) ? 'database' : 'null')];
    try {
        $day = time() - 86400;
        $rows = null;
        if (strncmp((string) $facts['failed']['driver'], 'database', 8) === 0) {
            $zone = new DateTimeZone((string) $config->get('app.timezone', 'UTC'));
            $moment = static function ($time) use ($zone) {
                return (new DateTime('@'.$time))->setTimezone($zone)->format('Y-m-d H:i:s');
            };
            $table = static function () use ($app, $failed) {
                return $app->make('db')->connection($failed['database'] ?? null)->table($failed['table'] ?? 'failed_jobs');
            };
            $newest = $table()->orderBy('id', 'desc')->first();
            $facts['failed'] += [
                'day' => $table()->where('failed_at', '>=', $moment($day))->count(),
                'hour' => $table()->where('failed_at', '>=', $moment(time() - 3600))->count(),
            ];
            $at = $newest ? (new DateTime($newest->failed_at, $zone))->getTimestamp() : null;
        } elseif ($facts['failed']['driver'] === 'file') {
            $all = (array) $app->make('queue.failer')->all();
            $newest = $all[0] ?? null;
            $count = static function ($since) use ($all) {
                return count(array_filter($all, static function ($one) use ($since) {
                    return strtotime((string) $one->failed_at) >= $since;
                }));
            };
            $facts['failed'] += ['day' => $count($day), 'hour' => $count(time() - 3600)];
            $at = $newest ? strtotime((string) $newest->failed_at) : null;
        } else {
            $newest = null;
        }
        if ($newest) {
            $payload = json_decode((string) $newest->payload, true);
            $facts['failed'] += ['at' => $at, 'newest' => substr((string) ($payload['displayName'] ?? ''), 0, 300),
                'queue' => $newest->connection.':'.$newest->queue, 'exception' => $line($newest->exception)];
        }
    } catch (Throwable $e) {
        $facts['failed'] += ['why' => $line($e->getMessage()) ?: get_class($e)];
    }
    $say($facts);
});
