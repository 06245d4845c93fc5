# Bare `make` lists what there is. `make demo` and `make test` need nothing before them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell for v in python3.12 python3.11 python3.13 python3; do command -v $$v >/dev/null 2>&1 && $$v -c 'import sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && { echo $$v; break; }; done)
BIN := .venv/bin

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: .venv/installed ## prepare .venv: every package pinned and hashed in requirements.lock

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "citywatch needs Python 3.11, 3.12 or 3.13 on the PATH; install one, or name it: make PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m detectors.warm
	@touch $@

.PHONY: demo
demo: venv ## a simulated city, found live: incidents on the terminal, addresses of broker, Redis and HTTP (Ctrl-C ends it)
	$(BIN)/citywatch demo

.PHONY: test
test: venv lint ## what CI runs: ruff, mypy, import-linter, doctests, unit, contract, property and end-to-end tests, every fault once
	$(BIN)/python -m pytest -m "not slow" --ignore tests/e2e --ignore tests/benchmarks -n 2
	$(BIN)/python -m pytest -m "not slow" tests/e2e tests/benchmarks -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: lint
lint: venv ## ruff, mypy (strict on the pure core), import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: slow
slow: venv ## the long tests: seeded kill -9 on Apache Kafka, five unseen cities, replay equals live
	$(BIN)/python -m pytest -m slow

.PHONY: faults
faults: venv ## the fault lab: ONLY=zombie for one of them, TIMES=1 (20 unless said), SEED=n to repeat; writes docs/reliability.md
	$(BIN)/python -m tests.e2e.faults --write $(if $(ONLY),--keep --only $(ONLY)) $(if $(TIMES),--times $(TIMES)) $(if $(SEED),--seed $(SEED))

.PHONY: bench
bench: venv ## throughput, latency, fences, vehicles and incidents beside their ceilings or goals, in one run
	$(BIN)/python -m benchmarks

.PHONY: bench-peers
bench-peers: venv .venv-peers/installed ## the same with Quix Streams, Bytewax and Pathway in the throughput table
	$(BIN)/python -m benchmarks --peers

.PHONY: load
load: venv ## a city's full load on one worker, ten minutes and a burst: SCALE=0.1 for a share of it, FOR=60 for a minute
	$(BIN)/python -m benchmarks.load $(if $(SCALE),--scale $(SCALE)) $(if $(FOR),--seconds $(FOR))

.PHONY: soak
soak: venv ## six simulated weeks in one process: whether memory and state stop growing (WEEKS=1 for one)
	$(BIN)/python -m benchmarks.soak $(if $(WEEKS),--weeks $(WEEKS))

.PHONY: takeover
takeover: venv ## a worker dies, another takes over the state of 100,000 sensors: for how long nothing is decided
	$(BIN)/python -m benchmarks.takeover

.PHONY: back-pressure
back-pressure: venv ## a broker that is faster than the worker, a sink that is slower: memory, and that nothing is lost
	$(BIN)/python -m benchmarks.back_pressure

.PHONY: bench-growth
bench-growth: venv ## cost and weight by the city's size, a profile, instructions of a reading (needs valgrind), speed of replay
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.hot_path
	$(BIN)/python -m benchmarks.instructions
	$(BIN)/python -m benchmarks.replay_speed $(if $(wildcard .venv-peers/installed),--peers)

# An environment of their own: they want other versions of what citywatch uses.
.venv-peers/installed: requirements-peers.lock
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	@touch $@

.PHONY: format
format: venv ## let ruff format and sort
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: contract
contract: venv ## generate the reference pages under docs from what runs
	$(BIN)/python -m streams.publish docs
	$(BIN)/python -m topologies.publish docs

.PHONY: lock
lock: venv ## resolve pyproject.toml into requirements.lock and requirements-peers.lock anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --group peers -o requirements-peers.lock

.PHONY: clean
clean: ## remove .venv and everything made by runs
	rm -rf .venv .venv-peers var build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
