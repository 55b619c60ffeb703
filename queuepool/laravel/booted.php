<?php
// In front of every script that php.py gives to PHP: $queuepool['booted']($say) is for its shutdown function. It returns
// the application (Laravel 6 to 13) that artisan has booted; null where it does not boot, and then says {"failure": why}.
// $queuepool['line']($text) is its first line.

$queuepool['booted'] = static function ($say) {
    $kernel = 'Illuminate\Contracts\Console\Kernel';
    try {
        $app = class_exists('Illuminate\Container\Container', false) ? Illuminate\Container\Container::getInstance() : null;
        if ($app === null || ! method_exists($app, 'isBooted') || ! $app->bound($kernel)) {
            $fatal = error_get_last();
            if ($fatal !== null && ($fatal['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR))) {
                $say(['failure' => ['class' => 'fatal error'] + $fatal]);
            }

            return null;
        }
        if (! $app->isBooted()) {
            (function () use ($app) {
                $app->bootstrapWith($this->bootstrappers());
            })->call($app->make($kernel));
        }
        $app->make('queue');

        return $app;
    } catch (Throwable $e) {
        $say(['failure' => ['class' => get_class($e), 'message' => $e->getMessage(), 'file' => $e->getFile(), 'line' => $e->getLine()]]);

        return null;
    }
};

// The first line of a message, without the statement that a QueryException quotes.
$queuepool['line'] = static function ($text) {
    $text = preg_replace('/ \((Connection: |SQL: ).*/s', '', trim((string) $text));

    return substr(trim((string) strtok($text, "\n")), 0, 300);
};
