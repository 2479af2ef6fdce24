# Two commands do all set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1
unexport PYTHONDONTWRITEBYTECODE # else every process compiles the package again

.PHONY: demo paper test lint bench clean

.venv/installed: pyproject.toml constraints.txt src/pathosig/slides/_resample.c
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: .venv/installed # on real tissue where PATHOSIG_DATA names a folder with labelled tiles
	$(BIN)/pathosig demo demo-study --workers 2 $(if $(PATHOSIG_DATA),--tiles "$(PATHOSIG_DATA)/tiles")

paper: .venv/installed
	$(BIN)/pathosig demo paper-study --study paper --workers 2

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

bench: .venv/installed # about ten minutes on two quiet cores
	$(BIN)/python benchmarks/bench.py
	$(BIN)/python docs/generate_evidence.py

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist demo-study paper-study
