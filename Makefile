# mta: everything an operator or a reader does with this tree. `make help` says what there is.

# The first Python on the path that is new enough; another one: make PYTHON=/usr/bin/python3.12 setup
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV    := .venv
READY   := $(VENV)/.ready
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKS   := requirements.lock tests/requirements.lock
COMPILE  = CUSTOM_COMPILE_COMMAND='make lock' build/lock/bin/pip-compile --quiet --upgrade --generate-hashes \
	--strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# What to pass on: make test ARGS='-k starttls', make bench ARGS=--quick, make run ARGS='--set application.debug=true'
ARGS    ?=

DESTDIR ?=
PREFIX  ?= /usr/local
# yes: make install links the program as sendmail and mailq too, for other programs
SENDMAIL ?=
UNITS   ?= $(PREFIX)/lib/systemd/system
# The program and what it needs, as plain folders: no path of this machine stands in them.
LIBRARY := $(PREFIX)/lib/mta
HERE    := $(DESTDIR)$(LIBRARY)

.PHONY: help setup run test faults lint type fmt bench man install lock clean
.PHONY: install-program install-files
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## make .venv with everything for running and testing

$(READY): $(LOCKS)
	@test -n "$(PYTHON)" || { echo "mta needs Python 3.11 or later (make PYTHON=...)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --require-hashes -r tests/requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY) ## start the server on etc/mta.conf, in the foreground
	$(BIN)/mta -f etc/mta.conf $(ARGS)

test: $(READY) ## run all tests; at the end stands what was skipped, and for want of what
	$(BIN)/python -m pytest -rs $(ARGS)

faults: $(READY) ## the fault tests at full length, as root: kills, power cuts, full disks, errors of the system
	FAULTS=long $(BIN)/python -m pytest -rs tests/faults $(ARGS)

lint: $(READY) man ## ruff, and mandoc on the manual pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(READY) ## mypy --strict
	$(BIN)/mypy

fmt: $(READY) ## put the sources into their form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure against the servers that are installed; table in var/bench.md
	$(BIN)/python -m tests.bench $(ARGS)

man: ## check the manual pages (read one: man ./man/mta.8)
	@if command -v mandoc >/dev/null; then mandoc -Tlint -Wwarning man/*.[1-8]; \
	else echo "mandoc is not installed: manual pages not checked"; fi

install: install-program install-files ## install under DESTDIR and PREFIX (/usr/local), and configuration, unit, logrotate file

install-program: $(READY)
	rm -rf build/lib build/wheel "$(HERE).new" "$(HERE).old"
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PIP) install --no-compile --target "$(HERE).new" --require-hashes -r requirements.lock
	$(PIP) install --no-compile --target "$(HERE).new" --no-deps build/wheel/mta-*.whl
	rm -rf "$(HERE).new/bin"
	if [ -e "$(HERE)" ]; then mv "$(HERE)" "$(HERE).old"; fi
	mv "$(HERE).new" "$(HERE)"
	rm -rf "$(HERE).old"
	$(BIN)/python -m compileall -q -s "$(DESTDIR)" -p / "$(HERE)"

install-files:
	install -d build "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(UNITS)" "$(DESTDIR)/etc/logrotate.d" "$(DESTDIR)/etc/mta"
	{ echo "#!$$($(PYTHON) -c 'import os, sys; print(os.path.realpath(sys.executable))') -sP"; \
	  echo 'import sys'; echo 'sys.path.insert(0, "$(LIBRARY)")'; \
	  echo 'from mta.cli.main import main'; echo 'sys.exit(main())'; } > build/mta
	install -m 755 build/mta "$(DESTDIR)$(PREFIX)/bin/mta"
ifeq ($(SENDMAIL),yes)
	install -d "$(DESTDIR)$(PREFIX)/sbin"
	ln -sf ../bin/mta "$(DESTDIR)$(PREFIX)/sbin/sendmail"
	ln -sf mta "$(DESTDIR)$(PREFIX)/bin/mailq"
endif
	for page in man/*.[1-8]; do \
	  install -D -m 644 "$$page" "$(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}"; done
	sed 's|/usr/local/bin/mta|$(PREFIX)/bin/mta|g' etc/mta.service > build/mta.service
	install -m 644 build/mta.service "$(DESTDIR)$(UNITS)/mta.service"
	install -m 644 etc/mta.logrotate "$(DESTDIR)/etc/logrotate.d/mta"
	sed -e 's|"\.\./var/run/|"/run/mta/|' -e 's|"\.\./var/log/|"/var/log/mta/|' \
	  -e 's|\(["/]\)\.\./var/|\1/var/lib/mta/|' etc/mta.conf > build/mta.conf
	@! grep -n '\.\./' build/mta.conf || { echo "a relative path is left in mta.conf" >&2; exit 1; }
	install -D -m 644 build/mta.conf "$(DESTDIR)$(PREFIX)/share/doc/mta/mta.conf"
	install -m 644 etc/mta-grafana.json "$(DESTDIR)$(PREFIX)/share/doc/mta/mta-grafana.json"
	@if [ -e "$(DESTDIR)/etc/mta/mta.conf" ]; then echo "kept: $(DESTDIR)/etc/mta/mta.conf"; \
	else install -m 644 build/mta.conf "$(DESTDIR)/etc/mta/mta.conf"; fi

lock: ## resolve the dependencies of pyproject.toml anew
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip --disable-pip-version-check --quiet install pip-tools
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra test,dev,bench --constraint requirements.lock --output-file tests/requirements.lock pyproject.toml

clean: ## remove what was made here, never mail or logs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find mta tests -name __pycache__ -type d -prune -exec rm -rf {} +
