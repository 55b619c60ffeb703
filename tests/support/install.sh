# Functions for tests/run and examples/laravel/run: which tools are missing, and installing them with apt. Sourced by
# bash; runs nothing by itself.

# find_python: prints the name of a Python of 3.11 or newer.
find_python() {
    local python
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        if command -v "$python" >/dev/null &&
            "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo "cannot find Python 3.11 or newer: install it, for example with: apt install python3.11" >&2
    return 1
}

# missing_packages PACKAGE...: prints those Debian packages whose program, module or file is not there, wherever the
# others came from.
missing_packages() {
    local package php_modules=""
    command -v php >/dev/null && php_modules=$(php -m 2>/dev/null)
    for package in "$@"; do
        case $package in
            php-cli) command -v php >/dev/null ;;
            php-redis) grep -qix redis <<<"$php_modules" ;;
            php-xml) grep -qix dom <<<"$php_modules" ;;
            php-mbstring) grep -qix mbstring <<<"$php_modules" ;;
            php-sqlite3) grep -qix pdo_sqlite <<<"$php_modules" ;;
            php-laravel-framework)
                [[ -f examples/laravel/vendor/autoload.php ]] || {
                    command -v php >/dev/null &&
                        php -r 'exit(stream_resolve_include_path("Illuminate/autoload.php") === false ? 1 : 0);'
                }
                ;;
            redis-server) command -v redis-server >/dev/null ;;
            supervisor) command -v supervisord >/dev/null ;;
            gcc) command -v gcc >/dev/null ;;
            libc6-dev) [[ -f /usr/include/stdio.h ]] ;;
            chromium) command -v chromium >/dev/null ;;
            procps) command -v ps >/dev/null ;;
            # What a venv is made with; Debian's Python comes without it.
            python3-venv) "$(find_python)" -c 'import ensurepip, venv' 2>/dev/null ;;
            *) dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ;;
        esac || echo "$package"
    done
}

# install_packages PACKAGE...: installs those that are missing. No service is started by it, and nothing is touched when
# all is there.
install_packages() {
    local missing sudo=()
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ! command -v apt-get >/dev/null; then
        echo "cannot install ${missing[*]}: there is no apt here; install what they hold by the means of this system" >&2
        return 1
    fi
    if ((EUID)); then
        if ! command -v sudo >/dev/null; then
            echo "cannot install ${missing[*]}: run this as root, or install sudo" >&2
            return 1
        fi
        sudo=(sudo)
    fi
    echo "installing ${missing[*]}"
    # A file of its own: when this shell is interrupted, apt still ends in good order and the policy is put back.
    "${sudo[@]}" bash -s -- "${missing[@]}" <<'ROOT'
set -u
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
kept=$policy.before-queuepool
log=$(mktemp)
# Debian's own switch against services that start on installation (/usr/share/doc/init-system-helpers/README.policy-rc.d.gz).
restore() {
    rm -f "$policy" "$log"
    [[ ! -e $kept ]] || mv "$kept" "$policy"
}
trap restore EXIT
trap 'exit 130' INT TERM HUP
[[ ! -e $policy || -e $kept ]] || mv "$policy" "$kept"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"
if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "cannot install $*: apt failed (its last lines are above)" >&2
    exit 1
fi
ROOT
}

# make_venv DIRECTORY EXTRAS: a virtual environment with this checkout in it, editable. It is used again for as long as
# pyproject.toml, the checkout's path and the Python stay the same. EXTRAS: such as "[test]", or "".
make_venv() {
    local directory=$1 extras=$2 python stamp lock result=0
    python=$(find_python) || return
    stamp="$("$python" -VV) $PWD $extras $(cksum <pyproject.toml)"
    mkdir -p "$directory"
    # Two runs at once must not both make it.
    exec {lock}<"$directory"
    ! command -v flock >/dev/null || flock "$lock"
    if [[ ! -x $directory/bin/queuepool || $(cat "$directory/made-for" 2>/dev/null) != "$stamp" ]]; then
        echo "making $directory"
        rm -f "$directory/made-for"
        if "$python" -m venv --clear "$directory" &&
            PIP_ROOT_USER_ACTION=ignore "$directory/bin/python" -m pip install \
                --disable-pip-version-check --no-input --editable ".$extras" >"$directory/pip.log" 2>&1; then
            echo "$stamp" >"$directory/made-for"
        else
            result=1
            tail -n 20 "$directory/pip.log" >&2 || true
            echo "cannot make $directory (the last lines of pip are above)" >&2
        fi
    fi
    exec {lock}<&-
    return $result
}
