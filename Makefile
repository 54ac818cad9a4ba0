# Pickture. `make help` lists what there is; `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m app
export TF_CPP_MIN_LOG_LEVEL ?= 3
# OpenBLAS waits actively; on shared cores more threads are far slower (docs/decisions/0006-svm-solver.md).
export OPENBLAS_NUM_THREADS ?= 1
# Where it is set, every process compiles anew what it imports: seconds a start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt requirements-dev.txt constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing; install Python 3.11 or set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt -r requirements-dev.txt -c constraints.txt
	@touch $@

setup: $(VENV)/.installed ## Make the virtual environment with everything in it

demo: setup ## Rendered catalogue -> training -> a search and a recommendation over HTTP
	$(RUN) demo

run: setup migrate ## Serve what is in PICKTURE_HOME (default ./var) with the pages; prints a QR code for phones
	PICKTURE_HOST=$${PICKTURE_HOST:-0.0.0.0} PICKTURE_WEB=$${PICKTURE_WEB:-true} \
		PICKTURE_ADMIN_WEB=$${PICKTURE_ADMIN_WEB:-local} $(RUN) serve

# Each process of the tests has an embedded database of its own; one given database can serve only one process.
TEST_PROCESSES ?= $(if $(PICKTURE_TEST_DATABASE_URL),0,auto)

test: setup ## Run the tests, in as many processes as there are cores: TEST_PROCESSES=N
	$(BIN)/python -m pytest -q -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

check: setup ## Format, lint, types, import rules, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(RUN) db check --scratch

migrate: setup ## Bring the database to this code's revision
	$(RUN) db upgrade

train-bottlenecks: setup migrate ## Prepare the backbone and store all bottlenecks (resumable)
	$(RUN) bottlenecks

train: setup migrate ## Train on the stored bottlenecks and publish the bundle
	$(RUN) train

pretrain: setup ## Make backbone weights from random values (resumable): ARGS="--catalog DIR --teacher FILE.h5 ..."
	$(RUN) pretrain $(ARGS)

finetune: setup migrate ## Adapt the backbone to the catalogue, as new weights beside those in use (resumable)
	$(RUN) finetune $(ARGS)

imagenet-weights: setup ## Fetch Keras' ImageNet weights (needs a network) for PICKTURE_WEIGHTS=imagenet
	$(BIN)/python -m models.backbone.fetch_imagenet $${PICKTURE_HOME:-var}

yardstick: setup ## Compare weights with the network frozen: ARGS="--train A.csv --test B.csv --weights SOURCE ..."
	$(RUN) yardstick $(ARGS)

bench: setup ## Load the service and show every figure beside its yardstick: ARGS="--only one --workers 2 ..."
	$(BIN)/python -m tests.bench.load $(ARGS)

bench-rendered: setup ## Measure a served demonstration on rendered phone photos and foreign products
	$(BIN)/python -m tests.bench.rendered

bench-retrain: setup ## Measure retraining: new products, new photos, picks good and poisoned, the swap: ARGS="--labels N ..."
	$(BIN)/python -m tests.bench.retrain $(ARGS)

chaos: setup ## Kill worker and database and fill the disk in the middle of retrainings (as root): ARGS="--kills N ..."
	$(BIN)/python -m tests.bench.chaos $(ARGS)

fuzz: setup ## Send mutated photos and made-up requests: ARGS="--files 10000 --examples 200 ..."
	$(BIN)/python -m tests.app.api.fuzz $(ARGS)

messages: setup ## Bring the translations of the pages up to date with the pages
	@mkdir -p var
	$(BIN)/pybabel -q extract --no-wrap --add-location=file -F app/web/translations/babel.cfg -o var/messages.pot app/web
	for file in app/web/translations/*.po; do $(BIN)/pybabel -q update --no-wrap --no-fuzzy-matching \
		--ignore-obsolete --omit-header -i var/messages.pot -o $$file -l $$(basename $$file .po) || exit 1; done

.PHONY: help setup demo run test check migrate train-bottlenecks train pretrain finetune imagenet-weights yardstick bench bench-rendered bench-retrain chaos fuzz messages
