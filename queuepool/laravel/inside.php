<?php
// Tells what only a Laravel application (6 to 13) that has booted can know and the daemon has no need of: whether its
// tables are there, which options its commands take, whether it has a key.
//
// php.py gives this to PHP on standard input, in the directory of the application, with an array $queuepool in front of
// it: mark (random) and connections, a JSON list in base64 of the queue connections that matter, "" for the
// default one. It becomes `artisan
// --version`, and works in the shutdown function. The answer is a line of the mark and a JSON object. It only reads.

register_shutdown_function(static function () use ($queuepool) {
    $say = static function ($what) use ($queuepool) {
        fwrite(STDOUT, "\n".$queuepool['mark'].json_encode($what, JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE)."\n");
    };
    $app = $queuepool['booted']($say);
    if ($app === null) {
        return;
    }
    $config = $app->make('config');
    $facts = ['complete' => true, 'key' => $config->get('app.key') !== null && $config->get('app.key') !== '',
        'options' => [], 'tables' => []];

    $why = static function ($e) use ($queuepool) {
        $line = $queuepool['line']($e->getMessage());

        return $line === '' ? get_class($e) : $line;
    };

    try {
        $console = $app->make('Illuminate\Contracts\Console\Kernel');
        foreach (array_intersect_key($console->all(), array_flip(['queue:work', 'queue:listen', 'horizon'])) as $name => $command) {
            $options = array_keys($command->getDefinition()->getOptions());
            $global = $command->getApplication() ? array_keys($command->getApplication()->getDefinition()->getOptions()) : [];
            $facts['options'][$name] = array_values(array_unique(array_merge($options, $global)));
        }
    } catch (Throwable $e) {
        $facts['options'] = [];
    }

    // [use, what it is called there, database connection, table]
    $wanted = [];
    foreach ((array) json_decode(base64_decode($queuepool['connections']), true) as $name) {
        $name = $name === '' ? $config->get('queue.default') : $name;
        $entry = $config->get('queue.connections.'.$name);
        if (is_array($entry) && ($entry['driver'] ?? '') === 'database') {
            $wanted[] = ['queue', $name, $entry['connection'] ?? null, $entry['table'] ?? 'jobs'];
        }
    }
    $failed = (array) $config->get('queue.failed');
    $driver = array_key_exists('driver', $failed) ? $failed['driver'] : (isset($failed['table']) ? 'database' : null);
    if (in_array($driver, ['database', 'database-uuids'], true)) {
        $wanted[] = ['failed', $driver, $failed['database'] ?? null, $failed['table'] ?? 'failed_jobs'];
    }
    $store = $config->get('cache.stores.'.$config->get('cache.default'));
    if (is_array($store) && ($store['driver'] ?? '') === 'database') {
        $wanted[] = ['cache', $config->get('cache.default'), $store['connection'] ?? null, $store['table'] ?? 'cache'];
    }

    foreach ($wanted as list($use, $name, $connection, $table)) {
        $connection = (string) ($connection ?: $config->get('database.default'));
        $entry = $config->get('database.connections.'.$connection);
        $entry = is_array($entry) ? $entry : [];
        $path = ($entry['driver'] ?? '') === 'sqlite' && is_string($entry['database'] ?? null) ? $entry['database'] : '';
        $found = ['use' => $use, 'name' => (string) $name, 'connection' => $connection, 'table' => (string) $table,
            'driver' => (string) ($entry['driver'] ?? ''), 'path' => strpos($path, ':memory:') === false ? $path : '',
            'there' => false, 'why' => ''];
        try {
            $found['there'] = (bool) $app->make('db')->connection($connection)->getSchemaBuilder()->hasTable($table);
        } catch (Throwable $e) {
            $found['why'] = $why($e);
        }
        $facts['tables'][] = $found;
    }
    $say($facts);
});
