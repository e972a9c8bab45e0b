#!/bin/bash
# Looks at the sources: layers, headers, warnings of a second compiler, cppcheck, scripts, links.
# Normally through `make check`, which installs the tools. Prints ok / not ok per check, and what is wrong
# below it; the last line is `N passed, N failed`.
set -u
cd "$(dirname "$0")/.."
make=${MAKE:-make}
jobs=$(nproc)
log=$(mktemp)
trap 'rm -f "$log" "$log.make"' EXIT
passed=0 failed=0

check() { # check NAME COMMAND...: passes when the command exits with 0
    local name=$1
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        echo "ok $name"
        passed=$((passed + 1))
    else
        echo "not ok $name"
        sed 's/^/   | /' "$log"
        failed=$((failed + 1))
    fi
}

headers_compile_alone() { # headers_compile_alone COMPILER
    # From a line that includes it, because a header as the main file gets other warnings.
    find engine rules store plugins tests -name '*.h' -print0 |
        xargs -0 -r -n 1 -P "$jobs" sh -c 'echo "#include \"$1\"" |
            "$0" -fsyntax-only -x c -std=c11 -D_GNU_SOURCE -I. -Wall -Wextra -Werror -' "$1"
}

builds() { # builds ARGUMENTS FOR MAKE...: shows what the compiler says, not what is compiled
    $make -k WERROR=1 "$@" >"$log.make" 2>&1
    local status=$?
    grep -v '^  build/' "$log.make"
    return $status
}

cppcheck_finds_nothing() {
    mkdir -p build/cppcheck
    cppcheck -q -j "$jobs" --cppcheck-build-dir=build/cppcheck --std=c11 --language=c -D_GNU_SOURCE -I. \
        '-DFWSYNC_VERSION="0"' --enable=warning,portability,performance --inline-suppr \
        --error-exitcode=1 --suppressions-list=tests/cppcheck.suppress engine rules store plugins tests
}

scripts_parse() {
    local script status=0
    for script in .ci/run $(find docs tests plugins -name '*.sh'); do
        bash -n "$script" || status=1
        [ -x "$script" ] || { echo "$script: not executable"; status=1; }
    done
    for script in $(find docs tests plugins -name '*.py'); do
        /usr/bin/python3 -c 'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")' \
            "$script" || status=1
    done
    return $status
}

manual_pages_have_no_lint() {
    mandoc -T lint -W warning docs/man/*.[1-8]
}

check 'headers compile alone (gcc)' headers_compile_alone gcc
check 'headers compile alone (clang)' headers_compile_alone clang
# In folders of their own, so that `make` needn't build everything anew afterwards.
check 'everything builds without a warning (gcc)' builds CC=gcc B=build/check/gcc build-tests build-bench
# Unoptimised, because its warnings don't depend on that.
check 'everything builds without a warning (clang), fuzz targets too' builds CC=clang B=build/check/clang \
    CFLAGS='-O0 -U_FORTIFY_SOURCE' build-tests build-bench build-fuzz
check 'cppcheck finds nothing' cppcheck_finds_nothing
check 'scripts parse' scripts_parse
check 'manual pages have no lint' manual_pages_have_no_lint

/usr/bin/python3 tests/check_sources.py >"$log" 2>&1
status=$?
cat "$log"
passed=$((passed + $(grep -c '^ok ' "$log")))
broken=$(grep -c '^not ok ' "$log")
[ "$status" = 0 ] || [ "$broken" != 0 ] || broken=1 # it died
failed=$((failed + broken))

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
