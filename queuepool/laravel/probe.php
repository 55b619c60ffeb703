<?php
// Asks a Laravel application (6 to 13) for the configuration that is really in force. It runs as
//
//     php -d auto_prepend_file=probe.php -d queuepool.mark=<random> artisan --version
//
// so the application boots just as for its workers, whatever its layout. When PHP shuts down, this prints one line to
// standard output: the mark and a JSON object. It holds passwords: standard output must be a pipe that nobody else
// reads. probe.py starts it and reads the line; where there are several, the last one counts.

register_shutdown_function(static function () {
    $kernel = 'Illuminate\Contracts\Console\Kernel';
    $facts = ['php' => PHP_VERSION, 'extensions' => array_map('strtolower', get_loaded_extensions()), 'errors' => []];

    $say = static function () use (&$facts) {
        $flags = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES;
        fwrite(STDOUT, "\n".get_cfg_var('queuepool.mark').json_encode($facts, $flags)."\n");
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
        if (! isset($facts['failure'])) {
            $facts['failure'] = $failure($e);
        }
        $say();

        return;
    }

    try {
        unset($facts['failure']); // a fatal error that the application got over
        $config = $app->make('config');
        $queue = (array) $config->get('queue');
        $redis = (array) $config->get('database.redis');

        $parse = static function ($connection) {
            $parsed = (new Illuminate\Support\ConfigurationUrlParser)->parseConfiguration($connection);
            $driver = strtolower((string) ($parsed['driver'] ?? ''));

            return in_array($driver, ['tcp', 'tls'], true) ? ['scheme' => $driver] + $parsed : $parsed;
        };
        $only = static function ($options) {
            $wanted = ['scheme', 'host', 'port', 'path', 'username', 'password', 'database', 'prefix', 'options'];

            return array_intersect_key((array) $options, array_flip($wanted));
        };

        $facts += [
            'laravel' => $app->version(),
            'base' => $app->basePath(),
            'storage' => $app->storagePath(),
            'environment' => (string) $app->environment(),
            'config_cached' => $app->configurationIsCached(),
            'down' => $app->isDownForMaintenance(),
            'queue' => ['default' => $queue['default'] ?? null, 'connections' => []],
            'redis' => ['client' => $redis['client'] ?? 'phpredis', 'options' => $only($redis['options'] ?? []),
                        'connections' => [], 'clusters' => []],
            'horizon' => class_exists('Laravel\Horizon\Horizon'),
            'horizon_version' => null,
            'scheduled' => null,
        ];

        foreach ((array) ($queue['connections'] ?? []) as $name => $connection) {
            $facts['queue']['connections'][$name] = array_intersect_key(
                (array) $connection,
                array_flip(['driver', 'queue', 'retry_after', 'block_for', 'connection'])
            );
        }
        foreach (array_diff_key($redis, array_flip(['client', 'options', 'clusters', 'cluster'])) as $name => $connection) {
            if (is_array($connection) || is_string($connection)) {
                $facts['redis']['connections'][$name] = $only($parse($connection));
            }
        }
        foreach (array_diff_key((array) ($redis['clusters'] ?? []), ['options' => 1]) as $name => $nodes) {
            $node = is_array($nodes) ? reset($nodes) : null;
            if (is_array($node)) {
                $facts['redis']['clusters'][$name] = $only($parse($node));
            }
        }
        if ($facts['horizon'] && class_exists('Composer\InstalledVersions')
            && Composer\InstalledVersions::isInstalled('laravel/horizon')) {
            $facts['horizon_version'] = Composer\InstalledVersions::getPrettyVersion('laravel/horizon');
        }
    } catch (Throwable $e) {
        $facts['errors'][] = $e->getMessage();
    }

    if (get_cfg_var('queuepool.schedule')) {
        try {
            $facts['scheduled'] = count($app->make('Illuminate\Console\Scheduling\Schedule')->events());
        } catch (Throwable $e) {
            $facts['errors'][] = 'schedule: '.$e->getMessage();
        }
    }

    $facts['complete'] = true;
    $say();
});
