# Counting instructions, and the picture of where the time goes. Part of the Makefile.

BUDGET :=
OUT    := $B/flamegraph.svg

.PHONY: check-budget flamegraph

check-budget:
	$(call install-packages,$(PACKAGES_BUILD) $(PACKAGES_TEST) $(PACKAGES_BUDGET))
	@$(MAKE) $B/tests/bench/sample_path
	@$(PYTHON) tests/bench/budget.py $(BUDGET) $B/tests/bench/sample_path

# linux-perf isn't installed here: it has to fit a kernel, and needs a permission. The script says so.
flamegraph: deps-test
	@$(MAKE) $B/fwsyncd $B/tests/bench/bench
	@$(PYTHON) tests/bench/flamegraph.py $B $(OUT)
