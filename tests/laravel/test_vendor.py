"""The example application where Composer installed its packages: it boots from vendor/. Composer itself is stood in for
by an autoloader like the one that it writes, for the Laravel that is there."""

import pytest

from tests.support.laravel import LaravelApp

pytestmark = pytest.mark.php

_AUTOLOAD = r"""<?php

file_put_contents(__DIR__.'/booted', "booted\n", FILE_APPEND);
require 'Illuminate/autoload.php';
spl_autoload_register(static function (string $class): void {
    $file = dirname(__DIR__).'/app/'.strtr(substr($class, 4), '\\', '/').'.php';

    if (strncmp($class, 'App\\', 4) === 0 && is_file($file)) {
        require $file;
    }
});
"""


def test_where_composer_was_run_the_application_boots_from_vendor_and_does_a_job(laravel_app: LaravelApp) -> None:
    vendor = laravel_app.root / "vendor"
    if vendor.exists():
        pytest.skip("the example has a vendor/ of its own here, with which all tests run")
    vendor.mkdir()
    (vendor / "autoload.php").write_text(_AUTOLOAD)
    assert laravel_app.artisan("--version").startswith("Laravel Framework ")
    laravel_app.dispatch("Ledger", 1)
    laravel_app.artisan("queue:work", "--once")
    assert laravel_app.ledger().exactly_once
    assert laravel_app.ledger().done == 1
    assert (vendor / "booted").read_text() == "booted\n" * 3
