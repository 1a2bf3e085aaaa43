#!/bin/sh
# Prepare what the make targets need: installer/bootstrap.sh runtime|models|development [DATA]
#   runtime       .venv with the pinned, hashed dependencies and the command `fupan`
#   models        the same and what builds the model pack (npm too)
#   development   the same and what tests, checks and screenshots need (Chromium, nginx, PostgreSQL 15, ...)
# Missing Debian packages are installed when root, else named. Does nothing that was done before.
set -eu

cd "$(dirname "$0")/.."
requirements=installer/requirements
venv=${VENV:-.venv}
stamps=$venv/stamps

fail() {
    echo "fupan: $*" >&2
    exit 1
}

# need COMMAND PACKAGE: put a Debian package on the list unless its command is there already.
missing=""
need() {
    command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || missing="$missing $2"
}

install_missing() {
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "fupan: installing Debian packages:$missing"
        log=$(mktemp)
        export DEBIAN_FRONTEND=noninteractive
        # shellcheck disable=SC2086 # the list is meant to be split
        if ! { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >"$log" 2>&1; then
            tail -n 5 "$log" >&2
            [ "${1:-}" = optional ] || fail "apt could not install:$missing (its output is in $log)"
            echo "fupan: going on without:$missing" >&2
        fi
    elif [ "${1:-}" = optional ]; then
        echo "fupan: going on without:$missing (as root: apt install$missing)" >&2
    else
        fail "please install first (as root): apt install$missing"
    fi
    missing=""
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$candidate"
            return
        fi
    done
}

make_venv() {
    if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        return 0
    fi
    python=$(find_python)
    if [ -z "$python" ]; then
        found=$(python3 --version 2>/dev/null || echo "no Python")
        fail "Python 3.11 or newer is needed and this is $found. Install one and name it: make run PYTHON=/path/to/python3.11"
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        missing="$missing python3-venv"
        install_missing
    fi
    echo "fupan: creating the environment in $venv"
    "$python" -m venv --clear "$venv" || fail "cannot create $venv"
}

# The stamp holds the hash of the lock that was installed, so a changed lock is installed again.
stamp_is_current() {
    [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$(sha256sum <"$requirements/$1.txt")" ]
}

# install_lock NAME: each lock is a superset of the one before it.
install_lock() {
    case $1 in
    runtime) supersets="runtime models development" ;;
    models) supersets="models development" ;;
    *) supersets=$1 ;;
    esac
    for lock in $supersets; do
        if stamp_is_current "$lock"; then return 0; fi
    done
    echo "fupan: installing the pinned dependencies ($1); the first time takes a minute or two"
    # srt, which vosk needs, is the one that ships no wheel: it is built by the pinned setuptools.
    for file in build "$1"; do
        "$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes \
            --no-build-isolation --only-binary :all: --no-binary srt -r "$requirements/$file.txt" ||
            fail "the dependencies could not be installed; run the same command again to go on"
    done
    mkdir -p "$stamps"
    sha256sum <"$requirements/$1.txt" >"$stamps/$1"
}

install_command() {
    # `fupan` and the packages, straight from this checkout.
    [ -x "$venv/bin/fupan" ] && [ -f "$stamps/checkout" ] && [ "$(cat "$stamps/checkout")" = "$PWD" ] && return 0
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e . ||
        fail "the command fupan could not be installed into $venv"
    mkdir -p "$stamps"
    echo "$PWD" >"$stamps/checkout"
}

compile_translations() {
    catalogue=webui/translations/zh_Hans_CN/LC_MESSAGES/messages
    [ -f $catalogue.po ] || return 0
    [ $catalogue.mo -nt $catalogue.po ] && return 0
    "$venv/bin/pybabel" -q compile -f -d webui/translations >/dev/null 2>&1 ||
        fail "the Chinese translation could not be compiled"
}

case ${1:-} in
runtime) ;;
models)
    need npm npm
    install_missing optional
    ;;
development)
    need npm npm
    need chromium chromium
    need /usr/sbin/nginx nginx
    need /usr/lib/postgresql/15/bin/initdb postgresql-15
    need strace strace
    need /usr/lib/softhsm/libsofthsm2.so softhsm2
    need age age
    need flite flite
    need espeak-ng espeak-ng
    need /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc fonts-noto-cjk
    install_missing
    ;;
*) fail "usage: installer/bootstrap.sh runtime|models|development" ;;
esac

make_venv
install_lock "$1"
install_command
compile_translations
