#!/bin/bash
# Gives all devices of one type a new target, waits until they run it, and says which don't, and why.
#
#     campaign.sh DEVICETYPE VERSION URL [MINUTES]
#
# Exit code 0 when all run VERSION. Otherwise 1: nobody is on the way any more, or MINUTES (60) are over;
# started again with the same words it tells them anew. FWSYNC=build/fwsync names a tool that isn't in PATH.
set -euo pipefail

type=$1 version=$2 url=$3 minutes=${4:-60}
fwsync=${FWSYNC:-fwsync}

json() { # each line as a JSON text
    sed 's/[\\"]/\\&/g; s/.*/"&"/'
}

write() { # write DEVICE SCOPE DATA: an operator's write, as an event
    printf '{"device":%s,"type":"ATTRIBUTES_UPDATED","scope":"%s_SCOPE","data":%s}\n' "$@"
}

events() { # what the device asks for, and what it is held against
    local name target address
    target=$(json <<<"$version") address=$(json <<<"$url")
    "$fwsync" list --all --type "$type" | cut -f 1 | json | while read -r name; do
        write "$name" SHARED "{\"targetFwVer\":$target,\"targetFwUrl\":$address}"
        write "$name" SERVER "{\"lastTargetFwVer\":$target,\"lastTargetFwUrl\":$address}"
    done
}

these() { # these FILTER...: the campaign's devices that ...
    "$fwsync" list --all --type "$type" --target "$version" "$@"
}

events | "$fwsync" send -

# `failed`, `stuck` and `rolled-back` move no more by themselves; these do. (Who goes back to the old version only
# later is missed here: `fwsync list --state rolled-back`.)
moving=(--state pending --state newer --state different --state updating --state never-reported)
end=$((SECONDS + minutes * 60)) before=
while left=$(these "${moving[@]}" | wc -l) && [ "$left" -gt 0 ] && [ "$SECONDS" -lt "$end" ]; do
    [ "$left" = "$before" ] || echo "$left on the way"
    before=$left
    sleep 2
done

behind=$(these --unsynced | cut -f 1,6,8)
if [ -z "$behind" ]; then
    echo "all devices of type $type run $version"
else
    printf 'not in sync:\n%s\n' "$behind"
    exit 1
fi
