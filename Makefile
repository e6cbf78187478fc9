# Every target works as the first command in a fresh clone. It needs uv, or Python >= 3.11.
VENV ?= .venv
PYTHON ?=
NOTEBOOKS ?=
# Most of a test is compilation, on one core each. A file stays in one process, with what it compiled.
PYTEST_ARGS ?= -n 2 --dist loadfile

RUN := $(VENV)/bin/python
READY := $(VENV)/.mmjax-ready

.DEFAULT_GOAL := help
.PHONY: help setup notebooks test lab work grade book check refresh lock clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## install everything into .venv

$(READY): requirements.lock pyproject.toml tools/setup.sh
	@sh tools/setup.sh "$(VENV)" "$(PYTHON)"
	@touch $@

notebooks: $(READY)  ## run every notebook in order, then build the book from them
	@$(RUN) -m tools.run_notebooks $(NOTEBOOKS)
	@$(RUN) -m tools.build_book

test: $(READY)  ## run the tests (PYTEST_ARGS="-k masks" for some of them)
	@$(RUN) -m pytest $(PYTEST_ARGS)

work: $(READY)  ## copy the notebooks to work/, for you to change; overwrites nothing
	@$(RUN) -m tools.notebooks

lab: work  ## open your copies of the notebooks in Jupyter
	@$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/work

grade: $(READY)  ## instructors: grade submitted notebooks (FILES="folder or files", GRADE_ARGS=--say)
	@$(if $(strip $(FILES)),,$(error nothing to grade. Say what: make grade FILES="a folder, or files"))
	@$(RUN) -m tools.grade $(GRADE_ARGS) $(FILES)

book: $(READY)  ## build the book from the notebooks' latest outputs
	@$(RUN) -m tools.build_book

check: $(READY)  ## style, and outputs older than the code they show; runs nothing
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m tools.run_notebooks --check $(NOTEBOOKS)

refresh: $(READY)  ## maintainers: run the notebooks and keep their outputs in notebooks/
	@$(RUN) -m tools.run_notebooks --write $(NOTEBOOKS)

lock:  ## maintainers, needs uv: renew uv.lock and requirements.lock from pyproject.toml
	@env -u UV_DEFAULT_INDEX -u UV_INDEX -u UV_INDEX_URL -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
		uv lock --no-config $(LOCK_ARGS)
	@uv export --no-config --frozen --quiet --format requirements.txt --no-emit-project \
		--no-header --output-file requirements.lock

clean:  ## remove what was built, and the environment
	rm -rf build $(VENV)
