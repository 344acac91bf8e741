# Everything from a fresh clone: only Python >= 3.10 and a C++ compiler are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt

# Where torch comes from. PyPI's build for Linux brings several GB of CUDA libraries; without a GPU, say
#   make quickstart TORCH_ARGS='--index-url https://download.pytorch.org/whl/cpu'
TORCH_ARGS ?=

# The quickstart's jets, run and results.
JETS ?= 10000
# Processes that share the tests.
WORKERS ?= 2
DATA := data/quickstart
RUN := runs/quickstart

.PHONY: help setup environment scatter quickstart test slow lint docs tutorials bench dist clean
.DELETE_ON_ERROR:

help:
	@echo "make setup       virtual environment in $(VENV), this package and its companions"
	@echo "make quickstart  generate jets, train an LGAE, write its tables and figures (5 minutes and a download)"
	@echo "make test        the tests"
	@echo "make slow        the slow studies among the tests"
	@echo "make lint        ruff, and the types of the public modules by mypy"
	@echo "make docs        the documentation, into docs/_build/html"
	@echo "make tutorials   the figures of the tutorials, by running the notebooks"
	@echo "make bench       benchmarks of loading, and of speed and memory of the models"
	@echo "make dist        the wheel, into dist/"

setup: $(VENV)/installed $(VENV)/scatter

# Its last file says whether pip is there as a whole: an interrupted run leaves an interpreter without it.
environment:
	@ls $(VENV)/lib/python3*/site-packages/pip-*.dist-info/RECORD >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg setup.py pyproject.toml .ci/constraints.txt | environment
	@echo "Installing PyTorch, this package and its companions into $(VENV); some minutes, once, and quietly."
	$(PIP) --upgrade pip setuptools wheel ninja
	$(PIP) $(TORCH_ARGS) torch  # by itself, so that TORCH_ARGS applies to it alone
	$(PIP) --no-build-isolation --editable '.[generator,jetnet,peers,compress,export,docs,dev]'
	@$(BIN)/python -c "import importlib.util as i; exit(i.find_spec('jetnet') is None)" \
		|| echo "no jetnet here (Python up to 3.12 has it): downloads of JetNet, FPND, FPD and KPD are left out."
	touch $@

# torch-scatter comes as source and needs torch to build (some minutes). Everything works without it, so a
# failure is reported and passed over (`make scatter` tries again), and the quickstart does not wait for it, nor for
# triton, in whose interpreter the tests run the GPU kernels.
$(VENV)/scatter: | $(VENV)/installed
	$(PIP) --no-build-isolation --editable '.[triton]' || echo "no triton here: the tests of the GPU kernels are left out."
	@echo "Building torch-scatter; some minutes, once."
	PATH="$(abspath $(BIN)):$$PATH" MAX_JOBS=2 $(PIP) --no-build-isolation torch-scatter \
		|| echo "torch-scatter could not be built; PyG's own scatter is used instead."
	touch $@

scatter:
	rm -f $(VENV)/scatter
	$(MAKE) $(VENV)/scatter

quickstart: $(VENV)/installed
	$(BIN)/lgae generate --classes g,q --jets $(JETS) --out $(DATA)
	$(BIN)/lgae train experiment=quickstart data.root=$(DATA) data.jets=$(JETS)
	$(BIN)/lgae evaluate $(RUN) --studies reconstruction --keep

test: setup
	$(BIN)/python -m pytest -n $(WORKERS)

slow: setup
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/mypy

# The figures of the tutorials, which are committed.
tutorials: $(VENV)/installed
	$(BIN)/python docs/draw_tutorials.py

docs: $(VENV)/installed
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# For example make bench BENCH='--quick'.
bench: setup
	$(BIN)/python data/benchmark_loading.py
	$(BIN)/python train/benchmarks/bench.py $(BENCH)

# build/ first goes: setuptools would pack files that were deleted since.
dist: $(VENV)/installed
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf $(VENV) build dist docs/_build *.egg-info .pytest_cache .hypothesis .ruff_cache
