<?php

// Where `composer install` was run, its vendor/ is used (any Laravel from 8 to 13). Elsewhere the framework comes from
// the package php-laravel-framework of Debian or Ubuntu, which lies on PHP's include path.
if (is_file(dirname(__DIR__).'/vendor/autoload.php')) {
    require dirname(__DIR__).'/vendor/autoload.php';

    return;
}

if (stream_resolve_include_path('Illuminate/autoload.php') === false) {
    fwrite(STDERR, "cannot find Laravel: there is no vendor/ here and no Illuminate/ on PHP's include path\n"
        ."try: composer install, or: apt install php-laravel-framework\n");
    exit(1);
}

require 'Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (strncmp($class, 'App\\', 4) === 0) {
        $file = dirname(__DIR__).'/app/'.strtr(substr($class, 4), '\\', '/').'.php';

        if (is_file($file)) {
            require $file;
        }
    }
});
