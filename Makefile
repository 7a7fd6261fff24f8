# Everything goes into the checkout: .tools (uv), .venv (the platform), var (what it keeps), staticfiles.
# CONTRIBUTING.md tells what each target is for.

.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
SHELL := /bin/sh

PORT ?= 8000
PG ?= auto
BROWSER ?= auto
CLIENTS ?= auto
# Of two processors: many tests wait, for other processes and for a browser. Measured: 4 took a tenth longer.
JOBS ?= 5
# These wait for little.
SQLITE_JOBS ?= 3
RERUNS ?= 0
R ?=
B ?= start
ONLY ?=
export PORT

UV := .tools/bin/uv
PY := .venv/bin/python
# `make check` has run these.
DONE := $(addprefix --ignore=tests/test_,imports.py lock.py)
# Whatever the shell says: the second run takes the tests as the first one compiled them.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -p no:cacheprovider
# Compiled once: each of many processes that begin at the same time would do it for itself.
SYNC := UV_PROJECT_ENVIRONMENT=.venv VIRTUAL_ENV= $(UV) sync --frozen --compile-bytecode

# A stamp for each group of packages, younger than the lock file: the second start looks at dates only.
RUN_READY := .venv/.run-ready
TEST_READY := .venv/.test-ready
# Written last by collectstatic, and what the pages look names up in.
STATIC_READY := staticfiles/staticfiles.json
STATIC_FILES := $(shell find static accounts/static generations/static -type f 2>/dev/null | sed 's/ /\\ /g')
MESSAGES := $(patsubst %.po,%.mo,$(wildcard locale/*/LC_MESSAGES/*.po))

.PHONY: run install test check bench prove screenshots

run: install
	@exec $(PY) manage.py demo

install: $(RUN_READY) $(MESSAGES) $(STATIC_READY)

test: check $(STATIC_READY)
	$(PYTEST) $(DONE) -n $(JOBS) --dist worksteal --reruns $(RERUNS) --pg=$(PG) --browser=$(BROWSER) --clients=$(CLIENTS)
	$(PYTEST) -n $(SQLITE_JOBS) --dist worksteal --reruns $(RERUNS) --db=sqlite --pg=$(PG) --browser=$(BROWSER) --clients=$(CLIENTS)

check: $(TEST_READY) $(MESSAGES)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy kling_platform accounts generations
	find templates -name '*.html' -exec .venv/bin/djade --check --target-version 5.2 {} +
	KLING_TESTING=1 VAR_DIR=.venv/check $(PY) manage.py makemigrations --check --dry-run
	DEBUG=0 SECRET_KEY="$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(50))')" \
		PUBLIC_URL=https://kling.example.com VAR_DIR=.venv/check OMNIMAAS_API_KEY=only-for-this-check \
		$(PY) manage.py check --deploy --fail-level WARNING
	$(PYTEST) -q --pg=off --browser=off --clients=off tests/test_imports.py tests/test_lock.py

bench: $(TEST_READY) $(STATIC_READY)
	$(PY) -m benchmarks.$(B)

prove: $(TEST_READY) $(STATIC_READY)
	$(PY) -m tests.prove $(R)

screenshots: $(TEST_READY) $(MESSAGES) $(STATIC_READY)
	ONLY='$(ONLY)' $(PY) -m tests.screenshots

# --- how each of them comes to be ---------------------------------------------

$(UV):
	@sh .ci/bootstrap

# Inexact: what the tests need may stay where both were installed.
$(RUN_READY): $(UV) uv.lock
	@echo "==> Installing the platform's packages into .venv"
	@$(SYNC) --inexact --python .tools/bin/python
	@touch $@

$(TEST_READY): $(UV) uv.lock
	@echo "==> Installing the packages for development and tests into .venv"
	@$(SYNC) --group dev --group test --group clients --group fuzz --python .tools/bin/python
	@touch $(RUN_READY) $@

%.mo: %.po | $(RUN_READY)
	@$(PY) -m babel.messages.frontend --quiet compile -i $< -o $@ -l $(word 2,$(subst /, ,$<))

$(STATIC_READY): $(STATIC_FILES) uv.lock | $(RUN_READY)
	@echo "==> Collecting and compressing static files"
	@$(PY) manage.py collectstatic --noinput --verbosity 0
	@touch $@
