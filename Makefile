# fwsync - build, test, install. `make help` lists the targets.
#
#   make test SAN=address,undefined     another build in its own folder, with sanitizers
#   make CC=clang WERROR=1              another compiler, likewise; warnings stop it
#   make test TESTS=json                only the test programs whose path contains `json`

VERSION := 0.1.0
PREFIX  := /usr/local
DESTDIR :=
SAN     :=
WERROR  :=
TESTS   :=
V       :=
FUZZ_SECONDS := 30
BENCH   :=

ifeq ($(origin CC),default)
CC := gcc
endif
PYTHON := /usr/bin/python3# Debian's, which has python3-zmq; not the first one in PATH

# --- what Debian 12 packages it takes ----------------------------------------------------------------

PACKAGES_BUILD := gcc libc6-dev make pkg-config libzmq3-dev liblmdb-dev libcjson-dev libyaml-dev
PACKAGES_CLANG := clang libclang-rt-dev
PACKAGES_TEST  := g++ graphviz libcmocka-dev libjansson-dev python3 python3-zmq iproute2
PACKAGES_CHECK := cppcheck mandoc $(PACKAGES_CLANG)
PACKAGES_BUDGET := valgrind
ifneq ($(findstring clang,$(CC)),)
PACKAGES_BUILD += $(PACKAGES_CLANG)
endif

# --- one build folder per compiler and set of sanitizers ---------------------------------------------

comma := ,
B := build$(if $(filter gcc,$(CC)),,/$(notdir $(CC)))$(if $(SAN),/san-$(subst $(comma),-,$(SAN)))

# Empty until `make deps` has run; targets that install first call make again afterwards.
PKGS := libzmq libcjson yaml-0.1
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
PKG_CFLAGS := $(subst -I/,-isystem /,$(shell pkg-config --cflags $(PKGS) 2>/dev/null))

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wold-style-definition -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla
HARDENING := $(if $(SAN),,-D_FORTIFY_SOURCE=2) -fstack-protector-strong
SANITIZE  := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

# NDEBUG is never set: asserts stay on.
CFLAGS  := -O2 -g
COMPILE  = $(CC) -std=c11 -D_GNU_SOURCE -DFWSYNC_VERSION='"$(VERSION)"' -I. $(PKG_CFLAGS) \
    $(WARNINGS) $(if $(WERROR),-Werror) $(HARDENING) $(SANITIZE) -pthread $(CFLAGS)
LINK     = $(CC) $(SANITIZE) -pthread $(CFLAGS) $(LDFLAGS) -Wl,--as-needed
LDLIBS   = $(LIBS) -llmdb -lm
LIBRARY_PKGS := libzmq libcjson
# In libfwsync.pc these are Libs.private, not Requires.private: what Debian 12's norm.pc, which libzmq.pc asks for,
# says for a static link names a file that isn't there.
LIBRARY_LIBS := $(shell pkg-config --libs $(LIBRARY_PKGS) 2>/dev/null) -lm

# --- sources by folder -------------------------------------------------------------------------------

CORE_C    := $(wildcard engine/base/*.c store/*.c rules/*.c rules/nodes/*.c)
SERVICE_C := $(wildcard engine/service/*.c)
CLIENT_C  := $(wildcard engine/client/*.c)
TOOL_C    := $(wildcard engine/tool/*.c)
LIBRARY_C := $(CLIENT_C) $(filter-out %/crc32c.c %/log.c %/problems.c %/thread.c %/yaml.c,$(wildcard engine/base/*.c))
TEST_C    := $(wildcard tests/unit/*.c tests/prop/*.c)
LIBTEST_C := $(wildcard tests/lib/*.c)# programs that use the library as others do
BENCH_C   := $(wildcard tests/bench/*.c)
FAULT_C   := $(wildcard tests/fault/*.c)
FUZZ_C    := $(wildcard tests/fuzz/*.c)

objects = $(patsubst %.c,$B/obj/%.o,$1)
CORE    := $B/libfwsync-core.a
SERVICE := $B/libfwsync-service.a# for tests: the daemon without its main.c
TOOL    := $B/libfwsync-tool.a#    the tool likewise, with the library
SONAME  := libfwsync.so.0# another number whenever a struct in fwsync.h or a function changes

TEST_PROGRAMS := $(TEST_C:%.c=$B/%)
LIBTEST_PROGRAMS := $(LIBTEST_C:%.c=$B/%)
BENCH_MAINS := $(shell grep -ls '^int main\b' $(BENCH_C) /dev/null)# the others are parts of them
BENCH_PROGRAMS := $(BENCH_MAINS:%.c=$B/%)
BENCH_PARTS := $B/libfwsync-bench.a
FAULT_LIBRARIES := $(FAULT_C:%.c=$B/%.so)
FUZZ_PROGRAMS := $(FUZZ_C:%.c=$B/%)

# `make V=1` shows whole commands.
say = $(if $V,,@echo ' ' $@;)

# As many jobs as processors, unless asked otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: all help deps deps-test deps-node deps-check node-packages run test check bench fuzz install uninstall clean \
    build-tests build-bench build-fuzz libraries FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $B/fwsyncd $B/fwsync $B/$(SONAME) $B/libfwsync.a

help:
	@echo 'make            build build/fwsyncd, build/fwsync and the library libfwsync'
	@echo 'make run        install what is missing, build, and show a small fleet'
	@echo 'make test       install what is missing, build, and run every test'
	@echo 'make check      install what is missing, and look at the sources: layers, warnings, cppcheck'
	@echo 'make bench      measure, some minutes; BENCH="--quick" or "--only latency" for less, "--help" for more'
	@echo 'make bench-peers  the same work by fwsync, Redis and PostgreSQL, some minutes; installs them; BENCH as above'
	@echo 'make check-budget  count the instructions an event takes, and hold them against tests/bench/budget.txt'
	@echo 'make flamegraph    draw where the time goes, into OUT=build/flamegraph.svg; takes linux-perf'
	@echo 'make fuzz       every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS)'
	@echo 'make deps       install the Debian packages that a build needs and that are missing'
	@echo 'make install    to PREFIX=$(PREFIX), below DESTDIR; make uninstall takes it away again'
	@echo 'make clean      remove build/'
	@echo 'Options: SAN=address,undefined | SAN=thread, CC=clang, WERROR=1, V=1, TESTS=part-of-a-path'

# --- packages ----------------------------------------------------------------------------------------

# Touches the network only when something is missing.
define install-packages
@missing=; for package in $1; do \
    dpkg-query -W -f '$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed \
        || missing="$$missing $$package"; \
done; \
[ -z "$$missing" ] && exit 0; \
sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
echo "installing:$$missing"; \
{ $$sudo apt-get -q update \
    && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $$missing; \
} </dev/null || { echo "cannot install; as root: apt-get install$$missing" >&2; exit 1; }
endef

deps:
	$(call install-packages,$(PACKAGES_BUILD))
deps-test:
	$(call install-packages,$(PACKAGES_BUILD) $(PACKAGES_TEST))
deps-node:
	$(if $(and $(shell command -v node),$(shell command -v npm)),,$(call install-packages,nodejs npm))
deps-check:
	$(call install-packages,$(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_CHECK))

# For the Node.js example, which is not tested where the package can't be had.
NODE_PACKAGES := build/node/node_modules/.package-lock.json
node-packages: deps-node
	@$(MAKE) $(NODE_PACKAGES)
$(NODE_PACKAGES): docs/examples/package.json docs/examples/package-lock.json
	@mkdir -p build/node && cp $^ build/node
	$(say)npm ci --prefix build/node --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@ \
	    || { rm -rf build/node; echo 'npm ci failed: the Node.js example is not tested' >&2; }

ifeq ($(LIBS),)
$B/flags: no-libraries
.PHONY: no-libraries
no-libraries:
	@echo 'libzmq, libcjson or libyaml is missing: run `make deps`' >&2; exit 1
endif

# --- building ----------------------------------------------------------------------------------------

# Objects depend on this file; it changes when the command line of the compiler does.
$B/flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILE))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(COMPILE))' >$@

$B/obj/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(say)$(COMPILE) -MMD -MP -c -o $@ $<

# The shipped chains are assembled into the program.
$B/obj/rules/shipped.o: $(wildcard rules/chains/*.yaml)

$(CORE): $(call objects,$(CORE_C))
$(SERVICE): $(call objects,$(filter-out %/main.c,$(SERVICE_C)))
$(TOOL): $(call objects,$(CLIENT_C) $(filter-out %/main.c,$(TOOL_C)))
$(BENCH_PARTS): $(call objects,$(filter-out $(BENCH_MAINS),$(BENCH_C)))
%.a:
	@rm -f $@
	$(say)ar rcs $@ $^

# Plugins find fwsync_* in the program that loads them, so all of the core is in it.
$B/fwsyncd: $(call objects,$(SERVICE_C)) $(CORE)
	$(say)$(LINK) -Wl,--export-dynamic-symbol='fwsync_*' -o $@ $(filter %.o,$^) \
	    -Wl,--whole-archive $(CORE) -Wl,--no-whole-archive $(LDLIBS)

$B/fwsync: $(call objects,$(CLIENT_C) $(TOOL_C)) $(CORE)
	$(say)$(LINK) -o $@ $^ $(LDLIBS)

# The library: only what fwsync.h declares is seen from outside. For the static one that takes a single object,
# in which the other names are made local, so that they don't meet a program's own.
pic = $(patsubst %.c,$B/pic/%.o,$1)
$B/pic/%.o: %.c $B/flags
	@mkdir -p $(@D)
	$(say)$(COMPILE) -fPIC -fvisibility=hidden -MMD -MP -c -o $@ $<

$B/$(SONAME): $(call pic,$(LIBRARY_C))
	$(say)$(LINK) -shared -Wl,-soname,$(@F) $(if $(SAN),,-Wl,-z,defs) -o $@ $^ $(LIBRARY_LIBS)

$B/libfwsync.o: $(call pic,$(LIBRARY_C))
	$(say)$(CC) -nostdlib -r -o $@ $^ && objcopy --localize-hidden $@

$B/libfwsync.a: $B/libfwsync.o

# A test that includes a header of the daemon's or the tool's gets that library too.
including = $(patsubst %.c,$B/%,$(shell grep -ls '"engine/$1/' $(TEST_C) $(BENCH_C) /dev/null))
$(call including,service): $(SERVICE)
$(call including,client) $(call including,tool): $(TOOL)
$(BENCH_PROGRAMS): $(BENCH_PARTS)
$(TEST_PROGRAMS) $(BENCH_PROGRAMS): $B/%: $B/obj/%.o $(CORE)
	@mkdir -p $(@D)
	$(say)$(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(LDLIBS) -lcmocka -ljansson

$(LIBTEST_PROGRAMS): $B/%: $B/obj/%.o $B/libfwsync.a
	@mkdir -p $(@D)
	$(say)$(LINK) -o $@ $^ $(LIBRARY_LIBS)

# Loaded with LD_PRELOAD: never with a sanitizer inside.
$(FAULT_LIBRARIES): $B/%.so: %.c $B/flags
	@mkdir -p $(@D)
	$(say)$(filter-out -fsanitize=%,$(COMPILE)) -fPIC -shared -MMD -MP -o $@ $<

$(FUZZ_PROGRAMS): $B/%: $B/obj/%.o $(CORE)
	@mkdir -p $(@D)
	$(say)$(LINK) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)

libraries: $(CORE) $(SERVICE) $(TOOL)
build-tests: all $(TEST_PROGRAMS) $(LIBTEST_PROGRAMS) $(FAULT_LIBRARIES)
build-bench: all $(BENCH_PROGRAMS)
build-fuzz: $(FUZZ_PROGRAMS)

# --- running -----------------------------------------------------------------------------------------
# Each installs first and then calls make again, because only then the libraries can be found.

run: deps
	@$(MAKE) all
	@FWSYNC_BUILD=$B docs/demo/run.sh

test: deps-test deps-node
	@$(MAKE) build-tests $(NODE_PACKAGES)
	@FWSYNC_BUILD=$B FWSYNC_SAN=$(SAN) $(PYTHON) tests/run.py $(TESTS)

check: deps-check
	@MAKE='$(MAKE)' tests/check.sh

bench: deps-test
	@$(MAKE) build-bench
	@FWSYNC_BUILD=$B $(PYTHON) tests/bench/run.py $(BENCH)

include tests/bench/peers.mk
include tests/bench/budget.mk

# Every input that made a program fail is left in build/fuzz/, and stops the run.
fuzz: deps-check
	@$(MAKE) CC=clang SAN=fuzzer-no-link,address,undefined build-fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh build/clang/san-fuzzer-no-link-address-undefined/tests/fuzz

# --- installing --------------------------------------------------------------------------------------

BIN     := $(DESTDIR)$(PREFIX)/bin
INCLUDE := $(DESTDIR)$(PREFIX)/include/fwsync
LIB     := $(DESTDIR)$(PREFIX)/lib
PC      := $(LIB)/pkgconfig
DOC     := $(DESTDIR)$(PREFIX)/share/doc/fwsync
SHARE   := $(DESTDIR)$(PREFIX)/share/fwsync
BASH    := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
MAN     := $(DESTDIR)$(PREFIX)/share/man
PAGES   := $(wildcard docs/man/*.[1-8])
UNITS   := $(LIB)/systemd/system
# libfwsync(3) is the page of each function that it names.
FUNCTIONS := $(shell sed -n 's/^\.Nm \(fwsync_[a-z_]*\).*/\1/p' docs/man/libfwsync.3)

# So that programs find the shared library at once. Below a DESTDIR it is for whoever unpacks that.
tell-the-linker = $(if $(DESTDIR),,[ "$$(id -u)" != 0 ] || PATH="$$PATH:/usr/sbin:/sbin" ldconfig)

install: all
	install -d $(BIN) $(INCLUDE) $(PC) $(DOC)/docs/decisions $(DOC)/docs/demo $(DOC)/docs/examples \
	    $(DOC)/rules/chains/tests $(SHARE)/rules/tests $(BASH) $(UNITS)
	install -m 755 $B/fwsyncd $B/fwsync $(BIN)
	install -m 644 plugins/fwsync_plugin.h engine/client/fwsync.h $(INCLUDE)
	install -m 644 $B/$(SONAME) $B/libfwsync.a $(LIB)
	ln -sf $(SONAME) $(LIB)/libfwsync.so
	install -m 644 README.md CHANGELOG.md SECURITY.md LICENSE $(DOC)
	install -m 644 $(wildcard docs/*.md) $(DOC)/docs
	install -m 644 $(wildcard docs/decisions/*.md) $(DOC)/docs/decisions
	install -m 644 docs/demo/fleet.ndjson $(DOC)/docs/demo
	install -m 644 $(wildcard docs/examples/*.*) $(DOC)/docs/examples
	install -m 644 $(wildcard rules/chains/*.yaml) $(DOC)/rules/chains
	install -m 644 $(wildcard rules/chains/tests/*.yaml) $(DOC)/rules/chains/tests
	install -m 644 $(wildcard rules/chains/*.yaml) $(SHARE)/rules
	install -m 644 $(wildcard rules/chains/tests/*.yaml) $(SHARE)/rules/tests
	$B/fwsync completion bash >$(BASH)/fwsync
	sed 's|/usr/local/bin/|$(PREFIX)/bin/|' docs/examples/fwsyncd.service >$(UNITS)/fwsyncd.service
	for page in $(PAGES); do install -D -m 644 -t $(MAN)/man$${page##*.} $$page || exit; done
	for name in $(FUNCTIONS); do echo '.so man3/libfwsync.3' >$(MAN)/man3/$$name.3 || exit; done
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include/fwsync' '' 'Name: fwsync' \
	    'Description: Firmware sync daemon; this is what a rule node plugin needs' \
	    'Version: $(VERSION)' 'Cflags: -I$${includedir}' >$(PC)/fwsync.pc
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include/fwsync' 'libdir=$${prefix}/lib' '' \
	    'Name: libfwsync' 'Description: Send events to fwsyncd, ask it, and follow what changes' \
	    'Version: $(VERSION)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lfwsync' \
	    'Libs.private: $(LIBRARY_LIBS)' >$(PC)/libfwsync.pc
	$(tell-the-linker)

uninstall:
	rm -f $(BIN)/fwsyncd $(BIN)/fwsync $(PC)/fwsync.pc $(PC)/libfwsync.pc $(BASH)/fwsync \
	    $(LIB)/$(SONAME) $(LIB)/libfwsync.so $(LIB)/libfwsync.a $(UNITS)/fwsyncd.service \
	    $(FUNCTIONS:%=$(MAN)/man3/%.3) \
	    $(foreach page,$(PAGES),$(MAN)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))
	rm -rf $(INCLUDE) $(DOC) $(SHARE)
	$(tell-the-linker)

clean:
	rm -rf build

-include $(patsubst %.c,$B/pic/%.d,$(LIBRARY_C)) $(patsubst %.c,$B/obj/%.d,$(CORE_C) $(SERVICE_C) \
    $(CLIENT_C) $(TOOL_C) $(TEST_C) $(LIBTEST_C) $(BENCH_C) $(FUZZ_C)) \
    $(FAULT_C:%.c=$B/%.d)
