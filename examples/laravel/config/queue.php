<?php

return [
    'default' => env('QUEUE_CONNECTION', 'redis'),
    'connections' => [
        'sync' => ['driver' => 'sync'],
        'redis' => [
            'driver' => 'redis',
            'connection' => 'default',
            'queue' => env('REDIS_QUEUE', 'default'),
            // Seconds after which a job whose worker vanished is given to another one. A worker's timeout must be less.
            'retry_after' => (int) env('REDIS_QUEUE_RETRY_AFTER', 90),
            // A number: phpredis dies of a text ("Timeout value must be a LONG").
            'block_for' => is_numeric(env('REDIS_QUEUE_BLOCK_FOR')) ? (int) env('REDIS_QUEUE_BLOCK_FOR') : null,
        ],
        'database' => [
            'driver' => 'database',
            'table' => 'jobs',
            'queue' => 'default',
            'retry_after' => 90,
        ],
    ],
    'failed' => [
        'driver' => env('QUEUE_FAILED_DRIVER', 'database-uuids'),
        'database' => env('DB_CONNECTION', 'sqlite'),
        'table' => 'failed_jobs',
    ],
];
