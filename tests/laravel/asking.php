<?php

// Boots the application in the current directory once and then does, through Laravel's own queue, what the lines of
// standard input ask for: a JSON object in, a JSON answer out. asking.py is the other end.

use Illuminate\Support\Facades\Queue;
use Illuminate\Support\Facades\Redis;

require getcwd().'/bootstrap/autoload.php';
if (stream_resolve_include_path('Predis/autoload.php') !== false) {
    require_once 'Predis/autoload.php';
}
$app = require getcwd().'/bootstrap/app.php';
$app->make(Illuminate\Contracts\Console\Kernel::class)->bootstrap();

$extra = []; // what else payloads are to hold, such as createdAt
Queue::createPayloadUsing(static function () use (&$extra) {
    return $extra;
});
$taken = [];
$connection = Queue::connection('redis');

$sizes = static function (string $queue, int $now) use ($connection) {
    $redis = $connection->getConnection();
    $key = $connection->getQueue($queue);
    $told = static function (string $method, $other) use ($connection, $queue) {
        return method_exists($connection, $method) ? $connection->$method($queue) : $other();
    };

    return [
        'size' => $connection->size($queue),
        'ready' => $told('pendingSize', fn () => $redis->llen($key)),
        'delayed' => $told('delayedSize', fn () => $redis->zcard($key.':delayed')),
        'reserved' => $told('reservedSize', fn () => $redis->zcard($key.':reserved')),
        'due' => $redis->zcount($key.':delayed', '-inf', (string) $now),
        'expired' => $redis->zcount($key.':reserved', '-inf', (string) $now),
        'waiting' => array_map(static function ($payload) {
            $payload = json_decode($payload, true);

            return [$payload['id'], $payload['attempts'], $payload['createdAt'] ?? null];
        }, $redis->lrange($key, 0, -1)),
    ];
};

while (($line = fgets(STDIN)) !== false) {
    $ask = json_decode($line, true);
    $queue = $ask['queue'];
    $answer = null;
    switch ($ask['do']) {
        case 'push':
            $extra = $ask['extra'] ?? [];
            $answer = $connection->push(new App\Jobs\Quick, '', $queue);
            break;
        case 'later':
            $extra = $ask['extra'] ?? [];
            $answer = $connection->later($ask['seconds'], new App\Jobs\Quick, '', $queue);
            break;
        case 'pop':
            if ($job = $connection->pop($queue)) {
                $taken[$queue][] = $job;
                $answer = $job->getJobId();
            }
            break;
        case 'delete':
        case 'release':
        case 'fail':
            $held = $taken[$queue] ?? [];
            if ($job = array_pop($held)) {
                $taken[$queue] = $held;
                $arguments = ['delete' => [], 'release' => [$ask['seconds'] ?? 0], 'fail' => [new Exception('on purpose')]];
                $job->{$ask['do']}(...$arguments[$ask['do']]);
                $answer = $job->getJobId();
            }
            break;
        case 'sizes':
            $answer = $sizes($queue, $ask['now']);
            break;
        case 'about':
            $answer = ['laravel' => $app->version(), 'client' => get_class(Redis::connection()->client())];
            break;
    }
    fwrite(STDOUT, json_encode($answer)."\n");
}
