#!/bin/sh
# The demonstration behind `make run`: starts fwsyncd on ./fwsync-demo, loads the sample fleet into an
# empty folder, shows who runs what, and keeps serving until Ctrl-C.
#
# Environment: FWSYNC_BUILD (build), FWSYNC_DATA (./fwsync-demo), and the endpoints FWSYNC_EVENTS,
# FWSYNC_QUERY, FWSYNC_RESULTS, which may end in `:*` for free ports.
set -eu

build=${FWSYNC_BUILD:-build}
data=${FWSYNC_DATA:-./fwsync-demo}
fleet=$(dirname "$0")/fleet.ndjson
daemon=
folder=$(mktemp -d)

stop() {
    trap - EXIT
    if [ -n "$daemon" ] && kill -TERM "$daemon" 2>/dev/null; then
        wait "$daemon" || true
    fi
    rm -rf "$folder"
}
trap stop EXIT
trap 'echo; echo "stopping"; exit 0' INT TERM
trap 'exit 0' HUP # the terminal is gone, and nobody is left to tell; fwsyncd itself would read its rules again

# In the background a shell's children ignore Ctrl-C, so the daemon stops when this script says so.
mkfifo "$folder/ready"
"$build/fwsyncd" --data "$data" \
    --events "${FWSYNC_EVENTS:-tcp://127.0.0.1:7601}" \
    --query "${FWSYNC_QUERY:-tcp://127.0.0.1:7602}" \
    --results "${FWSYNC_RESULTS:-tcp://127.0.0.1:7603}" >"$folder/ready" 2>"$folder/log" &
daemon=$!

if ! read -r ready <"$folder/ready"; then
    code=0
    wait "$daemon" || code=$?
    daemon=
    cat "$folder/log" >&2
    echo "fwsyncd did not start. Does another one run here, or something on these ports?" >&2
    exit "$code"
fi

# ready events=tcp://... query=tcp://... results=tcp://...
for word in $ready; do
    case $word in
    events=*) FWSYNC_EVENTS=${word#*=} ;;
    query=*) FWSYNC_QUERY=${word#*=} ;;
    results=*) FWSYNC_RESULTS=${word#*=} ;;
    esac
done
export FWSYNC_EVENTS FWSYNC_QUERY FWSYNC_RESULTS
export FWSYNC_TABLE=1

echo "fwsyncd serves from $data"
echo "  events $FWSYNC_EVENTS   query $FWSYNC_QUERY   results $FWSYNC_RESULTS"
echo
case $("$build/fwsync" count --json) in
*'"devices":0}'*)
    echo "The folder is empty: loading the sample fleet."
    "$build/fwsync" send - <"$fleet"
    echo
    ;;
esac

echo "The fleet:"
"$build/fwsync" count
echo
echo "What they run:"
"$build/fwsync" count currentFwVer
echo
echo "The first that do not run what they should:"
"$build/fwsync" list --unsynced --limit 8
echo
echo "Try this in another terminal:"
[ "$FWSYNC_QUERY" = tcp://127.0.0.1:7602 ] ||
    echo "  export FWSYNC_EVENTS=$FWSYNC_EVENTS FWSYNC_QUERY=$FWSYNC_QUERY FWSYNC_RESULTS=$FWSYNC_RESULTS"
cat <<END
  $build/fwsync get ESP32-0001
  $build/fwsync watch sync
  $build/fwsync send ESP32-0001 currentFwVer=v1.1
  $build/fwsync list --unsynced --type ESP32_CAM
  $build/fwsync list --state failed
Ctrl-C stops fwsyncd; the data stays in $data. Next, when it is stopped: docs/tutorial.md
END

# `wait` comes back when a signal was handled; a daemon that ends by itself says why.
code=0
wait "$daemon" || code=$?
daemon=
cat "$folder/log" >&2
exit "$code"
