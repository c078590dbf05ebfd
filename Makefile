# make            what can be made
# make demo       three real nodes that survive a failover before your eyes; make demo-stop ends them
# make test       all that must pass before a change is merged (.ci/run runs this)

SHELL = /bin/bash
CARGO ?= cargo
# The whole cluster, its tests and the demo run one set of binaries, built once.
PROFILE = --profile swarm
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help servers servers-patroni fmt clippy unit cluster test
help:
	@sed -n '/^#/!q;s/^# //p' Makefile

servers:
	@real/demo/servers
servers-patroni:
	@real/demo/servers patroni

fmt:
	$(CARGO) fmt --all --check

# The cluster tests are no default target (they need the machine for themselves), so they are named.
clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p tanist --test cluster -- -D warnings

unit: servers
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace --no-fail-fast
else
	$(CARGO) test --workspace --no-fail-fast
endif

# Real servers, one test at a time. `make cluster T=frozen` runs those whose names hold the word.
cluster: servers-patroni
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --cargo-profile swarm -p tanist --test cluster --no-fail-fast $(T)
else
	$(CARGO) test $(PROFILE) -p tanist --test cluster --no-fail-fast -- --test-threads 1 $(T)
endif

test:
	@.ci/steps fmt clippy unit cluster
