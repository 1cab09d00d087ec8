# Each target does all its own set-up: on a fresh machine `make demo` and `make test` just work.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test native browser clip-benchmark lint benchmark clean

demo: .venv/ready
	$(BIN)/python -m tclip.demo runs/demo

# One process a core and one thread each: the tests are many and small.
test: .venv/ready lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal

# The native code under sanitizers and on emulated ARM, each skipped where its tools are not installed.
native: .venv/ready
	$(BIN)/pytest -n 2 --dist worksteal -m toolchain

# The page of `tclip export web` in headless Chromium, skipped where node, npm or chromium are not installed.
browser: .venv/ready build/browser/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -m browser tests/browser

build/browser/ready: tests/browser/package.json
	mkdir -p build/browser && cp $< build/browser/
	! command -v npm > /dev/null || npm install --prefix build/browser --no-audit --no-fund
	touch $@

# The numbers of the clip-benchmark package beside ours; without what it asks for only to load models of its own.
clip-benchmark: .venv/ready
	$(BIN)/pip install --quiet --no-deps clip-benchmark webdataset braceexpand
	$(BIN)/pip install --quiet --constraint constraints.txt scikit-learn requests tqdm
	$(BIN)/pytest -q -rs tests/evaluate/test_clip_benchmark.py

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

benchmark: .venv/ready
	$(BIN)/pytest tests/benchmarks -s

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
