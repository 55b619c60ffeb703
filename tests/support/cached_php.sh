#!/usr/bin/env bash
# Prints the path of a command that is PHP with opcache's file cache: the same PHP, which compiles each file once for all
# tests instead of once for each process. An artisan command then takes half the processor time.
#
#     bash tests/support/cached_php.sh php
set -euo pipefail
umask 022 # whatever the user's: tests run PHP as www-data too
php=$(command -v -- "$1")
if ((EUID == 0)); then
    cache=/var/cache/queuepool-tests # root's home is closed to other users
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/queuepool-tests
fi
directory=$cache/php-$({ echo "$php" && cat "${BASH_SOURCE[0]}"; } | cksum | cut -d ' ' -f 1)
mkdir -p "$directory"
# opcache lets only the user that made a cache into it, so each user that tests run PHP as has one.
mkdir -p -m 700 "$directory/mine"
caches="$directory/mine"
if ((EUID == 0)); then
    for user in www-data nobody; do
        id "$user" >/dev/null 2>&1 || continue
        mkdir -p -m 700 "$directory/$user" && chown "$user" "$directory/$user"
        caches+=" $directory/$user"
    done
fi
mkdir -p -m 1777 "$directory/others" && chmod 1777 "$directory/others"
new=$(mktemp "$directory/php.XXXXXX")
cat >"$new" <<PHP
#!/bin/sh
for cache in $caches $directory/others; do
    [ ! -w "\$cache" ] || break
done
exec $php -d opcache.enable_cli=1 -d opcache.file_cache_only=1 -d opcache.file_cache="\$cache" "\$@"
PHP
chmod 755 "$new"
mv "$new" "$directory/php"
echo "$directory/php"
