#!/bin/bash
# Runs every fuzz program of a folder for FUZZ_SECONDS, starting from tests/fuzz/corpus/NAME.
#   tests/fuzz/run.sh FOLDER              normally through `make fuzz`
# What it finds interesting is kept in build/fuzz/corpus/NAME for the next run, and an input that made a
# program fail in build/fuzz/NAME-crash-*; running the program with that file repeats the failure.
set -u
cd "$(dirname "$0")/../.."
folder=$1
seconds=${FUZZ_SECONDS:-30}
passed=0 failed=0
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    kept=build/fuzz/corpus/${name#fuzz_}
    mkdir -p "$kept"
    echo "== $name, $seconds s"
    log=build/fuzz/$name.log
    if "$folder/$name" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/$name-" \
        "$kept" "tests/fuzz/corpus/${name#fuzz_}" >"$log" 2>&1 </dev/null; then
        grep -E 'number_of_executed_units' "$log"
        echo "ok $name"
        passed=$((passed + 1))
    else
        tail -n 60 "$log"
        echo "not ok $name: see $log"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
