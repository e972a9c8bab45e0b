# The bench beside others: Redis, PostgreSQL, and a bare loop on our own libraries. Part of the Makefile.

PACKAGES_PEERS := redis-server libhiredis-dev postgresql-15 libpq-dev
PEERS_C := $(wildcard tests/bench/peers/*.c)
PEERS   := $(PEERS_C:%.c=$B/%)
POLICY  := /usr/sbin/policy-rc.d

.PHONY: bench-peers deps-peers packages-peers

bench-peers: deps-peers
	@$(MAKE) all $(PEERS) $B/tests/bench/bench $B/tests/bench/bare_loop
	@FWSYNC_BUILD=$B $(PYTHON) tests/bench/peers.py $(BENCH)

# Debian starts a server as soon as it is installed, and these must not run beside what is measured. So
# this says no for as long as the installation takes, in Debian's own way. Who has such a file keeps it.
# With systemd they start at the next boot: `systemctl disable redis-server postgresql` prevents that.
deps-peers: deps-test
	@if [ -e $(POLICY) ] || \
	    { [ -x /usr/bin/redis-server ] && [ -x /usr/lib/postgresql/15/bin/postgres ]; }; then \
	    exec $(MAKE) packages-peers; \
	fi; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	trap '$$sudo rm -f $(POLICY)' EXIT; trap 'exit 1' INT TERM; \
	printf '#!/bin/sh\nexit 101\n' | $$sudo tee $(POLICY) >/dev/null && \
	    $$sudo chmod 755 $(POLICY) && $(MAKE) packages-peers

packages-peers:
	$(call install-packages,$(PACKAGES_PEERS))

$(PEERS): $B/%: $B/obj/%.o $(BENCH_PARTS) $(CORE)
	@mkdir -p $(@D)
	$(say)$(LINK) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	    $(LDLIBS) -lhiredis -lpq

-include $(PEERS_C:%.c=$B/obj/%.d)
