<?php
// Asks a Laravel application (6 to 13, so PHP 7.2 and newer) for the configuration that is really in force.
//
// php.py gives this to PHP on standard input, in the directory of the application, with an array $queuepool in front of
// it: mark (random) and schedule. It becomes `artisan --version`, so the application boots just as for its workers,
// whatever its layout. When PHP shuts down it prints lines to standard output, each the mark and a JSON object, of
// which the last counts. They hold passwords: standard output must be a pipe that nobody else reads.

$queuepool['base'] = realpath('.');
register_shutdown_function(static function () use ($queuepool) {
    $kernel = 'Illuminate\Contracts\Console\Kernel';
    $own = array_filter(get_included_files(), static function ($file) use ($queuepool) {
        return strpos($file, $queuepool['base'].'/') === 0 && strpos($file, $queuepool['base'].'/vendor/') !== 0;
    });
    $facts = [
        'php' => PHP_VERSION,
        'extensions' => array_map('strtolower', get_loaded_extensions()),
        'runtime' => [
            'binary' => PHP_BINARY, 'sapi' => PHP_SAPI, 'ini' => php_ini_loaded_file(),
            'memory_limit' => ini_get('memory_limit'), 'disabled' => ini_get('disable_functions'),
            'opcache_cli' => ini_get('opcache.enable_cli'), 'file_cache' => ini_get('opcache.file_cache'),
        ],
        'errors' => [],
        'last_file' => (string) end($own),
    ];

    $say = static function () use (&$facts, $queuepool) {
        $flags = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES;
        fwrite(STDOUT, "\n".$queuepool['mark'].json_encode($facts, $flags)."\n");
    };
    $failure = static function ($e) {
        return ['class' => get_class($e), 'message' => $e->getMessage(), 'file' => $e->getFile(), 'line' => $e->getLine()];
    };

    $fatal = error_get_last();
    if ($fatal !== null && ($fatal['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_RECOVERABLE_ERROR))) {
        $facts['failure'] = ['class' => 'fatal error'] + $fatal;
    }

    // A shutdown function of the application, or a second failure below, may end PHP for good: say what is known first.
    $say();

    try {
        $app = class_exists('Illuminate\Container\Container', false) ? Illuminate\Container\Container::getInstance() : null;
        if ($app === null || ! method_exists($app, 'isBooted') || ! $app->bound($kernel)) {
            return;
        }
        $console = $app->make($kernel);

        if (! $app->isBooted()) {
            // artisan has caught what went wrong and printed it in a form that differs from version to version. Doing
            // the boot again brings the same exception to us.
            (function () use ($app) {
                $app->bootstrapWith($this->bootstrappers());
            })->call($console);
        }
        $console->all(); // a command that cannot be built stops every artisan command, queue:work too
    } catch (Throwable $e) {
        // An exception that nobody caught is often the handler's own, which cannot write the log; this one is the cause.
        if (! isset($facts['failure']) || strncmp($facts['failure']['message'], 'Uncaught ', 9) === 0) {
            $facts['failure'] = $failure($e);
        }
        $say();

        return;
    }

    unset($facts['failure']); // a fatal error that the application got over
    $config = $app->make('config');

    // Only scalars and arrays: closures and objects in config/ are nobody's business, and may not be made into JSON.
    $plain = static function ($value) use (&$plain) {
        if (is_array($value)) {
            return array_map($plain, $value);
        }

        return is_scalar($value) ? $value : null;
    };
    $pick = static function ($entry, $keys) use ($plain) {
        return $plain(array_intersect_key(is_array($entry) ? $entry : [], array_flip($keys)));
    };

    // Each part stands alone: a config file that is no longer what Laravel wants hides only its own facts.
    $part = static function ($name, $ask) use (&$facts) {
        try {
            foreach ($ask() as $key => $value) {
                $facts[$key] = $value;
            }
        } catch (Throwable $e) {
            $facts['errors'][] = $name.': '.$e->getMessage();
        }
    };

    $facts += [
        'laravel' => $app->version(), 'base' => $app->basePath(), 'storage' => $app->storagePath(),
        'environment' => '', 'down' => false, 'scheduled' => null, 'debug' => (bool) $config->get('app.debug'),
        'queue' => ['default' => null, 'connections' => []],
        'redis' => ['client' => 'phpredis', 'options' => [], 'connections' => [], 'clusters' => []],
        'horizon' => class_exists('Laravel\Horizon\Horizon'), 'horizon_version' => null,
    ];

    $part('app', static function () use ($app) {
        $file = $app->environmentFilePath();

        return [
            'environment' => (string) $app->environment(), 'environment_file' => $file,
            'environment_file_seen' => file_exists($file) ? is_readable($file) : null,
            'down' => (bool) $app->isDownForMaintenance(),
        ];
    });

    $part('queue', static function () use ($config, $pick) {
        $connections = [];
        $keys = ['driver', 'queue', 'retry_after', 'block_for', 'connection', 'table', 'host', 'port', 'region'];
        foreach ((array) $config->get('queue.connections') as $name => $connection) {
            $connections[$name] = $pick($connection, $keys);
        }

        return [
            'queue' => ['default' => $config->get('queue.default'), 'connections' => $connections],
            'failed' => $pick($config->get('queue.failed'), ['driver', 'database', 'table', 'path']),
        ];
    });

    $part('cache', static function () use ($config, $pick) {
        $name = $config->get('cache.default');
        $store = $pick($config->get('cache.stores.'.$name), ['driver', 'prefix', 'connection', 'path']);
        $store += ['prefix' => $config->get('cache.prefix')];

        return ['cache' => ['name' => $name] + $store];
    });

    $part('redis', static function () use ($config, $pick, $plain) {
        $redis = (array) $config->get('database.redis');
        $clusters = (array) ($redis['clusters'] ?? []);
        $client = (string) ($redis['client'] ?? 'phpredis');
        // Options that say where a server is, how to get in and what keys are called. The rest would only be noise.
        $keys = ['scheme', 'host', 'port', 'path', 'username', 'password', 'database', 'prefix', 'context', 'ssl', 'role',
            'alias', 'cluster', 'replication', 'service', 'parameters', 'sentinel_host', 'sentinel_port',
            'sentinel_service', 'sentinel_username', 'sentinel_password'];
        $server = static function ($entry) use ($pick, $keys) {
            if (is_array($entry) && ! isset($entry['url'])) {
                $parsed = $entry;
            } else {
                $parsed = (new Illuminate\Support\ConfigurationUrlParser)->parseConfiguration($entry);
                $driver = strtolower((string) ($parsed['driver'] ?? ''));
                $parsed = in_array($driver, ['tcp', 'tls'], true) ? ['scheme' => $driver] + $parsed : $parsed;
            }

            return $pick($parsed, $keys);
        };
        $several = static function ($entry) use ($server, $pick, $keys) {
            $found = [];
            foreach ($entry as $key => $node) {
                if ($key === 'options') {
                    $found[$key] = $pick($node, $keys);
                } elseif (is_array($node) || is_string($node)) {
                    $found[$key] = is_string($node) ? $node : $server($node);
                }
            }

            return (object) $found;
        };
        $facts = [
            'client' => $client,
            'ready' => $client === 'predis' ? class_exists('Predis\Client') : extension_loaded('redis'),
            'options' => $pick($redis['options'] ?? [], $keys),
            'cluster_options' => $pick($clusters['options'] ?? [], $keys),
            'connections' => [], 'clusters' => [],
        ];
        foreach (array_diff_key($redis, array_flip(['client', 'options', 'clusters', 'cluster'])) as $name => $entry) {
            if (is_array($entry) && isset($entry[0])) {
                $facts['connections'][$name] = $several($entry);
            } elseif (is_array($entry) || is_string($entry)) {
                $own = is_array($entry) ? $pick($entry['options'] ?? [], $keys) : [];
                $facts['connections'][$name] = $server($entry) + ($own ? ['options' => $own] : []);
            }
        }
        foreach (array_diff_key($clusters, ['options' => 1]) as $name => $nodes) {
            $facts['clusters'][$name] = $several((array) $nodes);
        }

        return ['redis' => $facts];
    });

    if ($facts['horizon']) {
        $part('horizon', static function () use ($config, $pick) {
            $keys = ['use', 'prefix', 'env', 'environments', 'defaults', 'fast_termination', 'memory_limit'];
            $installed = class_exists('Composer\InstalledVersions') && Composer\InstalledVersions::isInstalled('laravel/horizon');

            return [
                'horizon_version' => $installed ? Composer\InstalledVersions::getPrettyVersion('laravel/horizon') : null,
                'horizon_config' => $pick($config->get('horizon'), $keys),
            ];
        });
    }

    $part('files', static function () use ($app, $config) {
        $base = $app->basePath();
        $storage = $app->storagePath();
        $writes = [
            'storage' => $storage, 'logs' => $storage.'/logs', 'cache' => $storage.'/framework/cache',
            'bootstrap/cache' => dirname($app->getCachedConfigPath()),
        ];
        // The log that is in force: the first file of the default channel, through a stack.
        $channel = $config->get('logging.channels.'.$config->get('logging.default'));
        if (is_array($channel) && ($channel['driver'] ?? '') === 'stack') {
            foreach ((array) ($channel['channels'] ?? []) as $name) {
                $channel = $config->get('logging.channels.'.$name);
                if (isset($channel['path'])) {
                    break;
                }
            }
        }
        if (is_array($channel) && is_string($channel['path'] ?? null)) {
            $daily = ($channel['driver'] ?? '') === 'daily';
            $writes['log'] = $daily
                ? preg_replace('/(\.[^.\/]*)?$/', '-'.date('Y-m-d').'$1', $channel['path'], 1) : $channel['path'];
        }
        $paths = [];
        foreach ($writes as $name => $path) {
            $there = file_exists($path);
            $paths[$name] = ['path' => $path, 'exists' => $there,
                'writable' => $there ? is_writable($path) : is_writable(dirname($path))];
        }

        $config_files = array_merge(glob($base.'/config/*.php') ?: [], glob($base.'/config/*/*.php') ?: []);
        $sources = [
            'config' => [$app->getCachedConfigPath(), array_merge([$app->environmentFilePath()], $config_files)],
            'routes' => [$app->getCachedRoutesPath(), glob($base.'/routes/*.php') ?: []],
        ];
        if (method_exists($app, 'getCachedEventsPath')) {
            $sources['events'] = [$app->getCachedEventsPath(), array_merge(
                glob($base.'/app/Listeners/*.php') ?: [], [$base.'/app/Providers/EventServiceProvider.php']
            )];
        }
        $caches = [];
        foreach ($sources as $name => list($path, $made_of)) {
            if (! is_file($path)) {
                continue;
            }
            $modified = filemtime($path);
            $newer = [];
            foreach ($made_of as $file) {
                if (is_file($file) && filemtime($file) > $modified) {
                    $newer[] = strpos($file, $base.'/') === 0 ? substr($file, strlen($base) + 1) : $file;
                }
            }
            $caches[$name] = ['path' => $path, 'modified' => $modified, 'newer' => array_slice($newer, 0, 10)];
        }

        return ['writes' => $paths, 'caches' => $caches];
    });

    if ($queuepool['schedule']) {
        $part('schedule', static function () use ($app) {
            return ['scheduled' => count($app->make('Illuminate\Console\Scheduling\Schedule')->events())];
        });
    }

    $facts['complete'] = true;
    $say();
});

unset($queuepool);
