#!/usr/bin/env bash
# Prints the path of promtool, Prometheus' own checker: the one in PATH, else that of Debian's package prometheus, of which
# nothing but this file is unpacked; nothing is installed, and no service is there to start. The first time takes some
# seconds (19 MB are fetched). Where that cannot work, the reason is printed in place of the path, and the exit code is 1.
#
#     bash tests/support/promtool.sh
set -euo pipefail
umask 022
exec </dev/null

fail() {
    echo "cannot get promtool: $*"
    exit 1
}
if command -v promtool; then exit; fi

if [[ -n ${QUEUEPOOL_TEST_ROOTS:-} ]]; then
    cache=$(realpath -m -- "$QUEUEPOOL_TEST_ROOTS")
elif ((EUID == 0)); then
    cache=/var/cache/queuepool-tests
else
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/queuepool-tests
fi
mkdir -p "$cache" || fail "$cache cannot be made"
found=$cache/promtool
# Two runs at once must not both fetch it. The lock ends with this script.
exec 9<"$cache"
! command -v flock >/dev/null || flock 9
if [[ -x $found ]]; then
    echo "$found"
    exit
fi

for tool in apt-get dpkg-deb; do
    command -v "$tool" >/dev/null || fail "there is no $tool here"
done
work=$(mktemp -d "$cache/promtool.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
cd "$work"
download() { timeout --foreground 120 apt-get -q -o APT::Sandbox::User=root download prometheus >"$work/log" 2>&1 9<&-; }
if ! download; then
    ((EUID)) || timeout --foreground 120 apt-get -q update >/dev/null 2>&1 9<&- || true # the lists may be old
    download || fail "$(grep -m 1 '^E:' log || tail -n 1 log)"
fi
dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool || fail "the package has no promtool"
./usr/bin/promtool --version >/dev/null 2>&1 || fail "it does not run on this system"
mv usr/bin/promtool "$found"
echo "$found"
