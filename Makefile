# Everything runs in a virtual environment of its own, which the first target that needs it builds.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
# the interpreters of the lanes: of several the first that runs
OLDEST ?= python3.11
NEWEST ?= python3.14 python3.13 $(lastword $(wildcard $(HOME)/.pyenv/versions/3.13.*/bin/python))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers

.DEFAULT_GOAL := help
.PHONY: help figures test notebooks quick types oldest newest bench gpu docs lab check lock clean

# Processes take whole files, in the order of collection: types and long notebooks first (notebooks/conftest.py),
# so that none is left alone with one at the end. There is one more than jobs, since some tests wait for others.
PYTEST = -m pytest --numprocesses $(shell expr $(JOBS) + 1) --dist loadscope --no-loadscope-reorder
QUICK = -m 'not slow and not notebook' --no-header tests curse_of_memory README.md

help:  ## say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */|/' | awk -F'|' '{printf "  make %-9s %s\n", $$1, $$2}'

figures: $(READY)  ## regenerate every figure from its notebook (fast preset); PRESET=paper for full scale
	$(BIN)/curse-of-memory figures --jobs $(JOBS) $(if $(PRESET),--preset $(PRESET))

# one thread a process: two processes share the cores, and sums come out the same on every machine
test notebooks quick oldest newest: export OMP_NUM_THREADS = 1
# who starts us may have said that no compiled code is to be written: every process would compile it all again,
# and packages are compiled only as they are used (--no-compile, which installs in half the time)
export PYTHONDONTWRITEBYTECODE =
test: $(READY)  ## run every test: theory, models, notebooks, style, types (minutes)
	$(BIN)/python $(PYTEST)

# in `test` those that take long run at a tiny size, and what they print is not compared
notebooks: $(READY)  ## run every notebook as it stands, and compare what it prints and shows (minutes)
	NOTEBOOKS=whole $(BIN)/python $(PYTEST) notebooks

quick: $(READY)  ## run the tests for the edit loop: theory, layers, measures, contracts (under two minutes)
	$(BIN)/python $(PYTEST) $(QUICK)

types: $(READY)  ## check the types of the package, the benchmarks, the site and most tests
	$(BIN)/basedpyright --level error --pythonpath $(BIN)/python

oldest: LOCK = requirements-oldest.lock
oldest:  ## run the quick tests on the oldest versions that pyproject.toml admits (minutes; gigabytes)
	$(call lane,$(OLDEST))

newest: LOCK = requirements.lock
newest:  ## run the quick tests on the newest Python at hand (minutes; gigabytes)
	$(call lane,$(NEWEST))

# What others deprecate is no error in a lane, and style is not asked for: both are tested with the locked versions.
# With which versions a lane has passed is written down, so that .ci/run knows when there are others.
LANE = --ignore tests/test_style.py -W default::DeprecationWarning -W default::PendingDeprecationWarning
define lane
	@for python in $(1); do \
	  if $$python -c '' 2>/dev/null; then \
	    set -ex; rm -rf $(VENV)-$@; $$python -m venv $(VENV)-$@; \
	    $(VENV)-$@/bin/python -m pip install --quiet --no-compile --requirement $(LOCK); \
	    $(VENV)-$@/bin/python -m pip install --quiet --no-deps --editable .; \
	    $(VENV)-$@/bin/python $(PYTEST) $(QUICK) $(LANE); \
	    sha256sum $(LOCK) > .ci/$@.sha256; rm -rf $(VENV)-$@; exit 0; \
	  fi; \
	done; echo "$@: skipped, there is none of: $(1)"
endef

bench: $(READY) $(PEERS)  ## measure the fast ways against the plain ones and other packages; keep the table
	$(BIN)/python -m benchmarks

# BUDGET: seconds for everything, its environment included; INTO: the folder for logs, summary and an archive of files
DEVICE ?= cuda
BUDGET ?= 540
INTO ?= build/gpu
gpu:  ## in ten minutes on a GPU: its tests, the benchmarks, what fits of full scale; DEVICE=cpu tries it
	@since=$$(date +%s); python=$$($(PYTHON) benchmarks/gpu/environment.py --device $(DEVICE) --venv $(VENV) \
	    $(MAKE) --no-print-directory $(READY)) \
	  && $$python -m benchmarks.gpu --device $(DEVICE) --seconds $(BUDGET) --since $$since --into $(INTO)

# warnings are errors, links within the site included; nothing is fetched, and notebooks are shown as they are
docs: $(READY)  ## build the site: guides, theory, API, gallery; into docs/_build/html
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env --jobs $(JOBS) \
	  --doctree-dir docs/_build/read docs docs/_build/html

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

check: $(READY)  ## do parameters, presets and notebooks agree?
	$(BIN)/curse-of-memory check

lock:  ## resolve the newest and the oldest versions that pyproject.toml admits into the two locks
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet torch==2.13.0 --editable '.[chinese,cluster,data,docs,figures,lab,models,test]'
	$(VENV)-lock/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf $(VENV)-lock
	$(OLDEST) -m venv $(VENV)-lock
	grep -oE '"[A-Za-z0-9-]+>=[0-9.]+' pyproject.toml | tr -d '"' | sed 's/>=/==/' > $(VENV)-lock/lower-bounds
	$(VENV)-lock/bin/python -m pip install --quiet --requirement $(VENV)-lock/lower-bounds
	$(VENV)-lock/bin/python -m pip freeze | grep -vE '^(cuda|nvidia|triton)' > requirements-oldest.lock
	rm -rf $(VENV)-lock

clean:  ## remove the environment and all caches
	rm -rf $(VENV) $(VENV)-* docs/_build docs/gallery docs/api/names docs/api/inside .pytest_cache .ruff_cache .hypothesis .import_linter_cache figures/.batch figures/*/.batch
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# a whole list without dependencies: no version that is locked is replaced
$(PEERS): benchmarks/peers.txt $(READY)
	@if $(BIN)/python -m pip install --quiet --no-deps --requirement $<; then touch $@; \
	else echo "bench: other packages could not be installed; rows say what was not there"; fi

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
