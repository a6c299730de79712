# SPDX-License-Identifier: MIT
# `make demo` rolls a fleet of three nodes out on this machine; `make test` runs every test.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PLAYBOOK := $(BIN)/ansible-playbook

.DEFAULT_GOAL := help
.PHONY: help demo demo-stop test mutation molecule faults lint docs release lock wheelhouse venv venv-dev clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# Another checkout's demo may run on this machine: the first three free ports are taken, and kept until demo-stop.
define FIRST_PORT
import contextlib, socket
for first in range(17001, 18001, 10):
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        for port in range(first, first + 3):
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        print(first)
        break
endef
export FIRST_PORT

# Ansible reads no ansible.cfg from a folder in which everybody may write, unless it is named.
demo: $(VENV)/.controller ## roll out three nodes on this machine and show who reaches whom
	@mkdir -p .demo
	@[ -s .demo/first-port ] || $(BIN)/python -c "$$FIRST_PORT" >.demo/first-port
	@ANSIBLE_CONFIG="$(CURDIR)/ansible.cfg" $(PLAYBOOK) playbooks/site.yml
	@echo "The report is in .demo/report.json; the nodes go on running until: make demo-stop"

demo-stop: ## end the nodes of the demo
	@for dir in .demo/node*; do [ ! -d "$$dir" ] || $(BIN)/blixard stop --data-dir "$$dir"; done
	@rm -f .demo/first-port

test: $(VENV)/.dev ## run every check and every test
	@tests/run

mutation: $(VENV)/.dev ## put small faults into core files and name those that no test notices: all, or FILES="FILE..."
	@$(BIN)/python -m pip install --quiet --editable '.[dev,mutation]'
	@$(BIN)/python tools/mutation $(MUTATION) $(FILES)

molecule: $(VENV)/.dev ## run the scenarios in containers: all, or SCENARIO=NAME
	@tools/scenarios.py test $(SCENARIO)

faults: $(VENV)/.dev ## break a fleet in every way and write docs/faults.md
	@FAULTS=all tools/scenarios.py test faults

lint: $(VENV)/.dev ## run the static checks alone
	@tests/run lint

docs: $(VENV)/.controller ## build the documentation as a site: build/site
	@$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@$(BIN)/python tools/docs.py

release: $(VENV)/.controller ## check and build what a release consists of, from a clean tree: dist/
	@$(BIN)/python -m pip install --quiet --editable '.[controller,release]'
	@$(BIN)/python tools/release.py $(RELEASE)

lock: $(VENV)/.controller ## pin what hosts install, with digests: roles/blixard/files/requirements.lock
	@$(BIN)/python -m pip install --quiet --editable '.[controller,lock]'
	@tools/make-lock >build.lock && mv build.lock roles/blixard/files/requirements.lock || { rm -f build.lock; exit 1; }

export PYTHON_ON_HOSTS PLATFORM_OF_HOSTS
wheelhouse: $(VENV)/.controller ## the wheels of that for hosts without an index; prints the folder
	@tools/make-wheelhouse

venv: $(VENV)/.controller
venv-dev: $(VENV)/.dev

$(BIN)/python:
	@PYTHON="$(PYTHON)" tools/make-venv $(VENV)

# A stamp is older than pyproject.toml when the dependencies may have changed.
$(VENV)/.controller: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --editable '.[controller]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.controller

clean: demo-stop ## remove everything that was made here
	tools/scenarios.py clean --images
	rm -rf $(VENV) .venv-* .cache .ansible .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
