# make            what can be made
# make demo       three real nodes that survive a failover before your eyes; make demo-stop ends them
# make bench      the same faults on Tanist and on Patroni, and what each costs
# make test       all that must pass before a change is merged (.ci/run runs this)

SHELL = /bin/bash
CARGO ?= cargo
# The whole cluster, its tests and the demo run one set of binaries, built once.
PROFILE = --profile swarm
# Stands in the header of every recording: the commit that the agent was built on.
export BUILD_COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help plan servers servers-patroni binaries demo demo-stop demo-ci bench fmt clippy unit scenarios stage mutants hunt cargo-mutants canaries swarm determinism bench-sim fidelity browser madsim cluster stalled-disk test test-all
help:
	@sed -n '/^#/!q;s/^# //p' Makefile

servers:
	@real/demo/servers
servers-patroni:
	@real/demo/servers patroni

# The agent, its fencer, its command line and the demonstration. Cargo shows its own progress.
binaries:
	$(CARGO) build $(PROFILE) -p tanist --bins

DEMO ?= watch
demo: plan servers binaries
	@target/swarm/tanist-demo $(DEMO)
plan:
	@cat real/demo/plan
demo-stop:
	@$(CARGO) run $(PROFILE) --quiet -p tanist --bin tanist-demo -- stop
demo-ci:
	@$(MAKE) --no-print-directory demo DEMO=ci

# Tanist and Patroni 4.1.5 in turns; writes reports/bench.md from the rows in reports/bench.tsv, adding to them.
# `make bench BENCH="switchover pmkill" N=2`. Wants the machine for itself.
N ?= 5
BENCH ?=
bench: servers-patroni binaries
	@target/swarm/tanist-bench --rounds $(N) $(BENCH)

fmt:
	$(CARGO) fmt --all --check

# The cluster tests are no default target (they need the machine for themselves), so they are named.
clippy:
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy -p tanist --test cluster -- -D warnings
	$(CARGO) clippy -p tanist-sim --test mutants --test every_mutant -- -D warnings

unit: servers
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --workspace --no-fail-fast
else
	$(CARGO) test --workspace --no-fail-fast
endif

# Each story as it was told before, down to the last line.
scenarios:
	$(CARGO) run $(PROFILE) --quiet -p tanist-sim -- run

# The same stories on real servers: those whose acts this machine can do, both worlds compared on a page. In real time.
STAGE ?= $(addprefix scenarios/,switchover fencing network rewind dcs config)
stage: servers
	$(CARGO) build $(PROFILE) -p tanist -p tanist-sim -p tanist-stage --bins
	target/swarm/tanist-sim run --on real --page reports/both-worlds.md $(STAGE)

# A copy of the sources with deliberate bugs inside: each scenario must fail on its own.
mutants:
	$(CARGO) test $(PROFILE) -p tanist-sim --test mutants

# The same bugs, and the swarm alone: how many drawn runs until it comes upon each? Goes on where it was ended; writes
# reports/mutants.md; takes hours. `make hunt MINUTES=60`.
HUNT ?= 20000
hunt: export TANIST_HUNT_RUNS = $(HUNT)
hunt: export TANIST_HUNT_MINUTES = $(MINUTES)
hunt: mutants

# Every change that cargo-mutants knows to make to what decides, in one build: does a test, a story or a boxed swarm notice?
# Goes on where it was ended; writes reports/cargo-mutants.md; takes hours. `make cargo-mutants ONLY=decide,tenure EVERY=10 MINUTES=30`.
# MINUTES=0 writes the page anew.
cargo-mutants:
	@cargo-mutants --version >/dev/null || $(CARGO) install cargo-mutants --version 27.1.0 --locked
	TANIST_ONLY=$(ONLY) TANIST_EVERY=$(EVERY) TANIST_MINUTES=$(MINUTES) $(CARGO) test -p tanist-sim --test every_mutant

# Deliberate bugs at a member's boundary, in drawn plans and in the stories that name them; writes reports/canaries.md.
canaries:
	$(CARGO) run $(PROFILE) --quiet -p tanist-sim -- canaries --runs 300 --report reports/canaries.md

# Drawn plans, as many as fit into the box, from a seed of this commit's own, so that each commit looks at others.
# `make swarm BOX=15m`, `make swarm SEED=1 RUNS=100000 REPORT=reports/coverage.md`.
BOX ?= 90s
SEED ?= $(or $(shell git rev-parse --short=12 HEAD 2>/dev/null),1)
swarm:
	$(CARGO) run $(PROFILE) --quiet -p tanist-sim -- swarm --seed-from $(SEED) \
		$(if $(RUNS),--seeds $(RUNS),--for $(BOX)) $(if $(REPORT),--report $(REPORT))

# 200 seeds, each in a process of a debug build and in one of the other profile: the same traces, byte for byte.
determinism:
	$(CARGO) build $(PROFILE) -p tanist-sim
	TANIST_SEEDS=200 TANIST_OTHER_SIMULATOR=$(CURDIR)/target/swarm/tanist-sim \
		$(CARGO) test -p tanist-sim --test determinism

# How fast the simulator is on one core. Wants the machine for itself.
bench-sim:
	$(CARGO) run $(PROFILE) --quiet -p tanist-sim -- bench --page reports/bench-sim.md

# Records anew what real etcd and real PostgreSQL answer to the scripts that the simulator's fakes are held to.
fidelity: servers
	TANIST_RECORD=1 $(CARGO) test -p tanist --test etcd_contract fidelity
	TANIST_RECORD=1 $(CARGO) test -p tanist --test postgres_contract fidelity
	$(CARGO) test -p tanist-sim --test fidelity --test postgres_fidelity

# The picture of a run in a real browser (Debian's chromium).
browser:
	@.ci/browser

# The production driver on madsim's tasks, among the simulator's fakes: a build of its own, since the flag
# changes what it touches. `make madsim SEEDS=1000` for more seeds of each story.
madsim:
	RUSTFLAGS="--cfg madsim -D warnings" CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 \
	$(if $(SEEDS),TANIST_MADSIM_SEEDS=$(SEEDS)) \
	$(CARGO) test --locked -p tanist-madsim --target-dir target/madsim

# Real servers, one test at a time. Recordings are replayed by a build of the other profile, too.
# `make cluster T=frozen` runs those whose names hold the word.
# A test may be tried again, a promise that was broken in any attempt fails the step.
cluster: export TANIST_OTHER_BUILD = $(CURDIR)/target/debug/tanist
cluster: export TANIST_BROKEN_PROMISES = $(CURDIR)/target/broken-promises
cluster: servers-patroni
	@rm -f $(TANIST_BROKEN_PROMISES)
	$(CARGO) build -p tanist --bin tanist
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --cargo-profile swarm -p tanist --test cluster --no-fail-fast $(T)
else
	$(CARGO) test $(PROFILE) -p tanist --test cluster --no-fail-fast -- --test-threads 1 $(T)
endif
	@! grep . $(TANIST_BROKEN_PROMISES) 2>/dev/null

# A primary whose data lies on a file system that stands still. Makes one in a file: wants root and a loop device.
stalled-disk: servers
	$(CARGO) test $(PROFILE) -p tanist --test cluster -- --ignored primary_whose_processes_cannot_even_be_killed

# Before a merge the swarm runs the same plans every time; `make swarm` and `make test-all` look at others.
TESTS = fmt clippy unit scenarios mutants swarm cluster demo-ci
test:
	@SEED=1 RUNS=3000 .ci/steps $(TESTS)

# And what takes longer: every fault on a real cluster at default timings, new plans for the swarm, the second tier.
# Its rows are the page reports/test-all.md.
test-all: servers
	@.ci/all $(TESTS)
