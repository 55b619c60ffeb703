#!/usr/bin/env bash
# Prints the path of a root: a directory with another Laravel than the one installed here, and the PHP of its Debian
# release. It is made the first time, which takes about half a minute, and used again from then on. Where that cannot
# work, the reason is printed in place of the path, and the exit code is 1.
#
#     bash tests/support/laravel_root.sh 13
#
# In the root Debian's packages are unpacked; nothing is installed, nothing is mounted, and neither the user root nor
# debootstrap is needed. ROOT/bin/php starts its PHP by its own dynamic loader, so paths, users, pids and signals are
# those of this system.
set -euo pipefail
umask 022 # whatever the user's: tests run PHP as www-data too
exec </dev/null

# The Debian release that has a Laravel. When it has moved on to the next, the root is refused.
declare -A debian=([10]=trixie [13]=sid)
packages=(php-cli php-redis php-xml php-mbstring php-sqlite3 php-laravel-framework php-pda-pheanstalk)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

major=${1:-}
release=${debian[${major:-none}]:-}
[[ -n $release ]] || {
    echo "usage: laravel_root.sh 10|13" >&2
    exit 2
}
fail() {
    echo "cannot make a root with Laravel $major: $*"
    exit 1
}

if [[ -n ${QUEUEPOOL_TEST_ROOTS:-} ]]; then
    cache=$(realpath -m -- "$QUEUEPOOL_TEST_ROOTS")
elif ((EUID == 0)); then
    cache=/var/cache/queuepool-tests # root's home is closed to other users
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/queuepool-tests
fi
mkdir -p "$cache" || fail "$cache cannot be made"
# A root made in another way has another name, so that two checkouts do not spoil each other's.
root=$cache/laravel-$major-$(cksum <"${BASH_SOURCE[0]}" | cut -d ' ' -f 1)

# Two runs at once must not both make it. The lock ends with this script.
exec 9<"$cache"
! command -v flock >/dev/null || flock 9
if [[ -d $root ]]; then
    touch "$root"
    echo "$root"
    exit
fi

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "there is no $tool here"
done
[[ -r $keyring ]] || fail "there is no $keyring to know Debian's packages by"
echo "making a root with Laravel $major of Debian $release: $root" >&2
rm -rf "$root".* # what a run that was killed has left
find "$cache" -mindepth 1 -maxdepth 1 -name 'laravel-*' -mtime +30 -exec rm -rf {} + # roots that nobody uses any more
work=$(mktemp -d "$root.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
new=$work/root
mkdir -p "$work"/apt/{lists,archives}/partial "$new/bin"
: >"$work/apt/status" # as if nothing were installed: each package comes with all that it needs

# apt with lists and archives of its own; of this system's settings only proxies and the like count.
own_apt() {
    timeout --foreground --kill-after=10 600 apt-get -q -y -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" \
        -o Dir::Cache="$work/apt" -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=- \
        -o Acquire::Languages=none -o Acquire::Retries=1 -o Acquire::http::Timeout=15 -o Acquire::https::Timeout=15 \
        -o APT::Sandbox::User=root "$@" >"$work/apt.log" 2>&1 9<&-
}
for mirror in $(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | awk '!seen[$0]++') ''; do
    [[ -n $mirror ]] || fail "no source of this system's apt has Debian $release"
    echo "deb [signed-by=$keyring] $mirror $release main" >"$work/apt/sources.list"
    ! own_apt update --error-on=any || break
done
own_apt install --download-only --no-install-recommends "${packages[@]}" ||
    fail "apt cannot get the packages: $(grep -m 1 '^E:' "$work/apt.log" || tail -n 1 "$work/apt.log")"
for package in "$work"/apt/archives/*.deb; do
    dpkg-deb -x "$package" "$new" || fail "${package##*/} cannot be unpacked"
done
rm -rf "$new"/usr/share/{doc,man,locale}

framework=usr/share/php/Illuminate/Foundation/Application.php
version=$(sed -n "s/^ *const VERSION = '\(.*\)';/\1/p" "$new/$framework" || true)
[[ $version == "$major".* ]] || fail "Debian $release has Laravel ${version:-in another place} now"
# Debian's autoload.php files name each other by absolute paths, which would lead to this system's Laravel.
grep -rlIZ /usr/share/php/ "$new/usr/share/php" | xargs -0r sed -i "s|/usr/share/php/|$root/usr/share/php/|g"

cd "$new"
php=$(echo usr/bin/php[0-9].[0-9]) # such as usr/bin/php8.4
loader=$(find usr/lib* -name 'ld-linux*.so.*' -print -quit)
libraries=$(dirname "$(find usr/lib -name libc.so.6 -print -quit)")
extensions=$(dirname usr/lib/php/*/redis.so)
number=${php#usr/bin/php}
{
    cat "usr/lib/php/$number/php.ini-production.cli" # Debian's own php.ini of the command line
    echo "include_path = \".:$root/usr/share/php\""
    echo "extension_dir = \"$root/$extensions\""
    # The extensions in the order that Debian's maintainer scripts would give them.
    for ini in usr/share/"php$number"-*/*/*.ini etc/php/"$number"/mods-available/*.ini; do
        priority=$(sed -n 's/^; *priority=//p' "$ini")
        echo "${priority:-20} $ini"
    done | sort -n | cut -d ' ' -f 2 | xargs cat
} >php.ini
# -n -c: this php.ini and no other. --argv0: so that PHP_BINARY, by which PHP starts more of its kind, is this script.
cat >bin/php <<PHP
#!/bin/sh
exec "$root/$loader" --argv0 "$root/bin/php" --library-path "$root/$libraries" "$root/$php" -n -c "$root/php.ini" "\$@"
PHP
chmod 755 . bin/php
"./$loader" --library-path "$libraries" "$php" -n -r 'exit(0);' || fail "its PHP does not run on this system"
mv -T "$new" "$root"
echo "$root"
