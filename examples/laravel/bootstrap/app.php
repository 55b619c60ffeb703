<?php

$app = new Illuminate\Foundation\Application(dirname(__DIR__));

// From Laravel 11 on the framework merges its own config files under the application's. Everything is in config/ here,
// and Debian's package does not contain those files.
if (method_exists($app, 'dontMergeFrameworkConfiguration')) {
    $app->dontMergeFrameworkConfiguration();
}

$app->singleton(Illuminate\Contracts\Console\Kernel::class, App\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);

return $app;
