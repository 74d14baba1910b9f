#!/bin/sh
# Pins requirements.lock and requirements-dev.lock. Run by `make lock` with the oldest Python supported
# (Debian 12's 3.11.2), because redis needs async-timeout there and newer ones install it harmlessly.
set -eu
python=${PYTHON:-python3}
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11, 3))'; then
    echo "$python is $("$python" --version): lock with 3.11.2, say PYTHON=/usr/bin/python3 on Debian 12" >&2
    exit 1
fi
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
"$tools/bin/pip" install -q pip-tools
compile() {
    "$tools/bin/pip-compile" -q --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options "$@" pyproject.toml
}
compile --extra install -o requirements.lock
compile --extra install --extra dev -c requirements.lock -o requirements-dev.lock
if grep -nE 'https?://|--(extra-)?index-url|--find-links' requirements.lock requirements-dev.lock; then
    echo "a lock file names a host" >&2
    exit 1
fi
