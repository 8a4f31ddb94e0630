# `make demo` and `make test` need nothing but Python: the first call makes .venv and installs into
# it, later calls install nothing unless pyproject.toml or constraints.txt have changed.

PYTHON ?= python3
ARGS ?=
# Processes that share the tests, one thread each: one more than two cores, since tests in a browser
# wait a lot. JOBS=0 runs them in one process (for --pdb).
JOBS ?= 3
# How long `make fuzz` tries.
MINUTES ?= 30
BIN := .venv/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo studio test test-processors fuzz lint docs clean

help: ## list the targets
	@echo "make PYTHON=python3.12 ... picks the Python for a new .venv; ARGS=... is passed on."
	@sed -n 's/^\([a-z-]*\):.*## /  \1: /p' Makefile

demo: .venv/.installed-demo ## train on real digits, compare with rivals, write a report
	$(BIN)/insphere demo $(ARGS)
	@echo "In a browser: make studio" >&2

studio: .venv/.installed-studio ## choose, train and compare in a browser
	$(BIN)/insphere studio $(ARGS)

test: .venv/.installed-dev ## run the tests, for example with ARGS="-k data"
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-processors: .venv/.installed-dev ## run the numerical tests as on other processors (an hour)
	PYTHON=$(BIN)/python .ci/processors -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

fuzz: .venv/.installed-dev ## try odd inputs for MINUTES=30, or until one is not answered well
	@end=$$(($$(date +%s) + 60 * $(MINUTES))); \
	while [ $$(date +%s) -lt $$end ]; do \
	    timeout $$((end - $$(date +%s) + 1)) \
	        $(BIN)/python -m pytest tests/fuzz -x -q \
	        --hypothesis-profile=fuzz -n $(JOBS) $(ARGS); \
	    code=$$?; [ $$code -eq 124 ] && break; [ $$code -eq 0 ] || exit $$code; \
	done

lint: .venv/.installed-dev ## check style, format, types and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

docs: .venv/.installed-dev ## build the documentation site into site/; a warning is an error
	$(BIN)/mkdocs build --strict $(ARGS)
	@echo "site/index.html" >&2

clean: ## remove .venv and what the tools leave behind
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed-demo: pyproject.toml constraints.txt
	@$(make-venv)
	$(BIN)/python -m pip install -c constraints.txt -e ".[digits]"
	@touch $@

.venv/.installed-studio: pyproject.toml constraints.txt
	@$(make-venv)
	$(BIN)/python -m pip install -c constraints.txt -e ".[digits,studio]"
	@touch .venv/.installed-demo $@

# All that the demo needs is among the tools for development.
.venv/.installed-dev: pyproject.toml constraints.txt
	@$(make-venv)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch .venv/.installed-demo .venv/.installed-studio $@

# Keeps a .venv that works, replaces one that was left half-made, refuses an old Python.
define make-venv
set -e; \
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
    command -v "$(PYTHON)" >/dev/null || { \
        echo "insphere needs Python 3.11 or newer, but there is no $(PYTHON): install it, or name another with make PYTHON=python3.12." >&2; \
        exit 1; \
    }; \
    "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
        echo "insphere needs Python 3.11 or newer, but $(PYTHON) is $$("$(PYTHON)" -c 'import platform; print(platform.python_version())'): name another with make PYTHON=python3.12." >&2; \
        exit 1; \
    }; \
    echo "Making .venv; the first installation downloads PyTorch and takes a few minutes."; \
    "$(PYTHON)" -m venv --clear .venv || { \
        rm -rf .venv; \
        echo "$(PYTHON) cannot make virtual environments: on Debian and Ubuntu install python3-venv." >&2; \
        exit 1; \
    }; \
fi
endef
