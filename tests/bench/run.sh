#!/bin/sh
# The rows of `make bench`: the sample chain over small and large fleets, many events a request and one.
#
#   tests/bench/run.sh BUILD_FOLDER
set -eu
build=$1
folder=$(mktemp -d "$build/bench-data.XXXXXX")
trap 'rm -rf "$folder"' EXIT INT TERM

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(uname -sr)"
echo "sample chain, changing versions, fsync on, checkpoint each second, load generator included"
echo "  devices    events batch window   acked/s applied/s   p50 ms   p99 ms    rest    anon    file   busy"
echo "                                                                          MiB     MiB     MiB"
row() {
    rm -rf "$folder/data"
    "$build/tests/bench/bench" "$build/fwsyncd" "$folder/data" "$@"
}
row 10000 3000000 100 64
row 1000000 3000000 100 64
row 10000 1000000 1 1000
row 1000000 1000000 1 1000
