#!/bin/sh
# Signatures first (clamd doesn't start without), then both daemons; the container ends with clamd.
set -eu
if ! ls /var/lib/clamav/*.c[lv]d /var/lib/clamav/*.ndb >/dev/null 2>&1; then
    freshclam --config-file=/etc/clamav/freshclam.conf --stdout
fi
freshclam --config-file=/etc/clamav/freshclam.conf --daemon --stdout &
exec clamd --config-file=/etc/clamav/clamd.conf
