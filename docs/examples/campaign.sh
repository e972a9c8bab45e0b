#!/bin/sh
# Gives all devices of one type a new target, waits until they run it, and says which don't, and why.
# FWSYNC=build/fwsync names a tool that isn't in PATH.
set -eu
unset FWSYNC_TABLE # what is read here is the tool's plain form: a line for each device, with tabs

usage() {
    cat >&2 <<'END'
usage: campaign.sh DEVICETYPE VERSION URL [MINUTES]

Exit code 0 when all run VERSION. 1 when nobody is on the way any more, or MINUTES (60) are over, or fwsyncd
doesn't answer: started again with the same words it tells them anew. 2 when the words aren't right.
END
    exit 2
}

[ $# -eq 3 ] || [ $# -eq 4 ] || usage
for word; do [ -n "$word" ] || usage; done
type=$1 version=$2 url=$3 minutes=${4:-60}
case $minutes in *[!0-9]*) usage ;; esac
fwsync=${FWSYNC:-fwsync}
tab=$(printf '\t')

these() { # these FILTER...: puts the campaign's devices that ... into $these, and their number into $count
    these=$("$fwsync" list --all --type "$type" "$@") || exit 1
    these=$(printf '%s\n' "$these" | sort -u -t "$tab" -k 1,1) # who changes from one --state to another comes twice
    count=$(printf '%s\n' "$these" | grep -c .) || true
}

json() { # each line as a JSON text
    sed 's/[\\"]/\\&/g; s/.*/"&"/'
}

write() { # write DEVICE SCOPE DATA: an operator's write, as an event
    printf '{"device":%s,"type":"ATTRIBUTES_UPDATED","scope":"%s_SCOPE","data":%s}\n' "$@"
}

these # looked for before anything is sent, so that a slip of the pen doesn't pass for a campaign that is done
[ "$count" -gt 0 ] || { echo "no device has the type $type; there are:" >&2; "$fwsync" count type >&2; exit 2; }
target=$(printf '%s\n' "$version" | json) address=$(printf '%s\n' "$url" | json)
printf '%s\n' "$these" | cut -f 1 | json | while read -r name; do # what it asks for, and what it is held against
    write "$name" SHARED "{\"targetFwVer\":$target,\"targetFwUrl\":$address}"
    write "$name" SERVER "{\"lastTargetFwVer\":$target,\"lastTargetFwUrl\":$address}"
done | "$fwsync" send -

# `failed`, `stuck` and `rolled-back` move no more by themselves; these do, from one to a later one. (Who goes back to
# the old version only later is missed here: `fwsync list --state rolled-back`.)
end=$(($(date +%s) + minutes * 60)) before=
while these --target "$version" --state never-reported --state pending --state newer --state different \
    --state updating && [ "$count" -gt 0 ] && [ "$(date +%s)" -lt "$end" ]; do
    [ "$count" = "$before" ] || echo "$count on the way"
    before=$count
    sleep 2
done

these --target "$version" --unsynced
[ "$count" -gt 0 ] || { echo "all devices of type $type run $version"; exit 0; }
printf 'not in sync:\n%s\n' "$(printf '%s\n' "$these" | cut -f 1,6,8)"
exit 1
