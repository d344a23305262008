# Set-up, demo, tests and benchmark; everything else is plain `pulumi`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test test-fast lint bench lock

# The environment's programs come first; set-up is part of every target that needs it.
IN_ENV := lab/environment >/dev/null && export PATH="$$PWD/.venv/bin:$$PATH" VIRTUAL_ENV="$$PWD/.venv" &&

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## what the program needs: Python packages and the engine (demo and test do it themselves)
	@lab/environment --program >/dev/null
	@lab/engine/ensure >/dev/null

demo: ## the whole thing on one machine: lab, up, two pages through the tunnel (Debian 12, root)
	@lab/demo

demo-down: ## stops the lab; the machine is as it was (PURGE=1: the cache goes, too)
	@lab/down

test: lint ## everything, on real hosts in the lab (Debian 12, root)
	@lab/prepare
	@$(IN_ENV) .ci/test $(ARGS)

test-fast: ## settings, reach, components, command line, figures: no lab, no root, no engine
	@$(IN_ENV) HYPOTHESIS_PROFILE=fast python -m pytest -q tests/settings tests/reach tests/components \
	  tests/operate tests/benchmark $(ARGS)

lint: ## ruff, mypy, import-linter, shellcheck, shfmt, yamllint
	@$(IN_ENV) .ci/lint

bench: ## measures this and its alternatives in the lab, writes docs/benchmarks (Debian 12, root)
	@$(IN_ENV) lab/bench $(ARGS)

lock: ## requirements.lock anew, from pyproject.toml
	@uv_dir=$$(lab/environment --uv) && "$$uv_dir/uv" pip compile pyproject.toml --all-extras --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
	  --no-annotate --quiet --upgrade -o requirements.lock
