<?php

namespace App;

/**
 * The file that tells whether each job was done exactly once: storage/app/ledger.log, one line per fact.
 *
 *     sent  <batch> <count>       before <count> jobs named <batch>-1 ... <batch>-<count> are pushed
 *     begin <id> <pid> <time>     when a worker starts one
 *     end   <id> <pid> <time>     when it has finished it
 *
 * A `begin` without its `end` is a job that was killed, or is running now. Each line is one locked write at the end of
 * the file, so lines of many workers never mix.
 */
final class LedgerFile
{
    public static function path(): string
    {
        return storage_path('app/ledger.log');
    }

    /** Notes that a batch of jobs will be pushed; returns its name. */
    public static function announce(int $count): string
    {
        $batch = bin2hex(random_bytes(4));
        self::append("sent $batch $count");

        return $batch;
    }

    public static function begin(string $id): void
    {
        self::append(sprintf('begin %s %d %.6F', $id, getmypid(), microtime(true)));
    }

    public static function end(string $id): void
    {
        self::append(sprintf('end %s %d %.6F', $id, getmypid(), microtime(true)));
    }

    /** How often a job was begun. */
    public static function begun(string $id): int
    {
        $lines = is_file(self::path()) ? file(self::path(), FILE_IGNORE_NEW_LINES) : [];

        return count(array_filter($lines, static fn (string $line): bool => str_starts_with($line, "begin $id ")));
    }

    /**
     * What the ledger says.
     *
     * @return array{sent: int, done: int, missing: list<string>, doubled: list<string>, unfinished: list<string>}
     */
    public static function summary(): array
    {
        $sent = $begun = $ended = [];

        foreach (is_file(self::path()) ? file(self::path(), FILE_IGNORE_NEW_LINES) : [] as $line) {
            [$mark, $name, $third] = explode(' ', $line);

            if ($mark === 'sent') {
                for ($n = 1; $n <= (int) $third; $n++) {
                    $sent["$name-$n"] = true;
                }
            } elseif ($mark === 'begin') {
                $begun[$name] = ($begun[$name] ?? 0) + 1;
            } else {
                $ended[$name] = ($ended[$name] ?? 0) + 1;
            }
        }

        return [
            'sent' => count($sent),
            'done' => count($ended),
            'missing' => array_keys(array_diff_key($sent, $ended)),
            'doubled' => array_keys(array_filter($ended, static fn (int $times): bool => $times > 1)),
            'unfinished' => array_keys(array_filter(
                $begun,
                static fn (int $times, string $id): bool => $times > ($ended[$id] ?? 0),
                ARRAY_FILTER_USE_BOTH,
            )),
        ];
    }

    private static function append(string $line): void
    {
        $new = ! is_file(self::path());
        file_put_contents(self::path(), $line."\n", FILE_APPEND | LOCK_EX);

        if ($new) {
            @chmod(self::path(), 0666); // the dispatcher and the workers may be different users
        }
    }
}
