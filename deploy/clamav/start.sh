#!/bin/sh
# Signatures first (clamd doesn't start without), then both daemons; the container ends with clamd.
set -eu
pause=300 # seconds: the mirrors shut out whom they see too often

has_signatures() {
    find /var/lib/clamav -maxdepth 1 -name '*.c[lv]d' -o -name '*.ndb' | grep -q .
}

trap 'exit 143' TERM
until has_signatures; do
    freshclam --config-file=/etc/clamav/freshclam.conf --stdout &
    if ! wait $!; then
        echo "no signatures: the next attempt is in $pause seconds"
        sleep "$pause" &
        wait $!
    fi
done
trap - TERM
freshclam --config-file=/etc/clamav/freshclam.conf --daemon --stdout &
exec clamd --config-file=/etc/clamav/clamd.conf
