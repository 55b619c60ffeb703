<?php

namespace App;

/** Sleeping that a signal does not cut short: PHP's usleep() returns early when the worker is told to stop. */
final class Pause
{
    public static function for(int $milliseconds): void
    {
        $end = hrtime(true) + $milliseconds * 1_000_000;

        while (($left = $end - hrtime(true)) > 0) {
            usleep(intdiv($left, 1000) + 1);
        }
    }
}
