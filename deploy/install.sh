#!/bin/sh
# Makes a virtual environment and installs a lock file into it: install.sh PYTHON VENV LOCK
set -eu
python=$1 venv=$2 lock=$3

if ! command -v "$python" >/dev/null 2>&1; then
    echo "packetboat: $python is missing; install the package python3 (3.11 or newer)" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "packetboat: $("$python" --version) is too old; install Python 3.11 or newer and say make PYTHON=python3.11" >&2
    exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "packetboat: Python's venv module is missing; install the package python$version-venv" >&2
    exit 1
fi
if [ ! -x "$venv/bin/pip" ]; then
    echo "making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi
total=$(grep -c '==' "$lock")
echo "installing $total packages from $lock (once)"
{ "$venv/bin/pip" install --disable-pip-version-check --require-hashes -r "$lock" 2>&1 || echo "PIP FAILED"; } | {
    count=0 failed=''
    while IFS= read -r line; do
        case $line in
            Collecting*)
                count=$((count + 1))
                printf '\r  %d/%d %-50.50s' "$count" "$total" "${line#Collecting }" ;;
            "Installing collected"*) printf '\r  %-60s' "unpacking" ;;
            "PIP FAILED") failed=1 ;;
            ERROR*|error*) printf '\n%s\n' "$line" >&2 ;;
        esac
    done
    printf '\r%-70s\r' ''
    [ -z "$failed" ]  # a pipeline's status is its last command's
} || {
    echo "packetboat: the installation failed (see above); is a package index reachable?" >&2
    exit 1
}
"$venv/bin/pip" install --disable-pip-version-check -q --no-build-isolation --no-deps -e .
echo "installed"
