# Fupan's commands. `make help` lists them.
#   make run   [DATA=folder] [HOST=name] [PORT=8000] [MODELS=none]
SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV ?= .venv
export VENV
# The inference library would otherwise report to its maker: docs/decisions/0007.
export ORT_DISABLE_TELEMETRY := 1
# Thousands of processes start in a test run: each would compile the whole product again.
unexport PYTHONDONTWRITEBYTECODE
BIN := $(VENV)/bin
HOST ?= localhost
PORT ?= 8000
DATA ?= $(shell [ "$$(id -u)" = 0 ] && echo /var/lib/fupan || echo "$${XDG_DATA_HOME:-$$HOME/.local/share}/fupan")
CACHE ?= $(HOME)/.cache/fupan
MODELS ?= default
CLIP ?=
LANGUAGE ?=

.PHONY: help run models test test-long check format smoke bench bench-vault promises screenshots lock translations demo-clip

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'settings, as in `make run PORT=9000`:'
	@echo '  DATA=folder   where everything is kept (now $(DATA))'
	@echo '  HOST=name     the name browsers use (now $(HOST)); another than localhost switches to TLS'
	@echo '  PORT=number   staff pages; candidates get the next one (now $(PORT))'
	@echo '  MODELS=none   leave out the model pack: recordings are replayed, not analysed'
	@echo '  CLIP=file     what `make smoke` films and records; LANGUAGE=zh when Mandarin is spoken'

run: ## start everything on this machine and say where to go
	@installer/bootstrap.sh $(if $(filter none,$(MODELS)),runtime,models)
	@$(MAKE) --no-print-directory models
	@exec $(BIN)/fupan run --data "$(DATA)" --host "$(HOST)" --port "$(PORT)"

# Exit code 3 means that a source is gone: the product works without a pack.
models: ## build the model pack into DATA (sources are kept in CACHE)
ifeq ($(MODELS),none)
	@echo 'fupan: no model pack (MODELS=none): recordings are replayed, not analysed'
else
	@installer/bootstrap.sh models
	@$(BIN)/python -m installer.model_packs build --out "$(DATA)/models" --cache "$(CACHE)" || [ $$? -eq 3 ]
endif

test: ## set up what tests need and run them all
	@installer/bootstrap.sh development
	@$(MAKE) --no-print-directory test-models
	@$(BIN)/python -m tests.run

test-long: ## fuzzing, soak and real machines
	@installer/bootstrap.sh development
	@$(MAKE) --no-print-directory test-models
	@$(BIN)/python -m pytest -m long

.PHONY: test-models
test-models:
	@$(BIN)/python -m installer.model_packs build --out "$(CACHE)/models" --cache "$(CACHE)" || [ $$? -eq 3 ]
	@$(BIN)/python -m installer.model_packs fetch-test-model --cache "$(CACHE)" || [ $$? -eq 3 ]

check: ## format, lint, types, import rules; fastest first
	@installer/bootstrap.sh development
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: ## let ruff format and fix what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

smoke: ## the real product, once through: record in a browser, seal, analyse, replay (CLIP=file.mp4)
	@installer/bootstrap.sh development
	@$(MAKE) --no-print-directory test-models
	@$(BIN)/python -m tests.smoke $(if $(CLIP),--clip "$(CLIP)") $(if $(LANGUAGE),--language "$(LANGUAGE)") \
		--models "$(CACHE)/models"

bench: ## measure, one line a figure; also in build/bench.json
	@installer/bootstrap.sh development
	@$(MAKE) --no-print-directory test-models
	@FUPAN_MODELS="$(CACHE)/models" $(BIN)/python -m tests.bench

bench-vault: ## the vault's own figures alone, against plain files, age and nginx
	@installer/bootstrap.sh development
	@$(BIN)/python -m tests.bench vault

promises: ## run tests/promises and print each promise with its figure
	@installer/bootstrap.sh development
	@$(BIN)/python -m pytest -q -p no:randomly tests/promises

screenshots: ## every page in both languages, two sizes, light and dark, into build/screenshots
	@installer/bootstrap.sh development
	@$(BIN)/python -m tests.screenshots build/screenshots

demo-clip: ## make the demo's clip anew (needs flite)
	@installer/bootstrap.sh development
	@$(BIN)/python -m installer.demo_clip

translations: ## collect the strings for people, update the Chinese catalogue and compile it
	@installer/bootstrap.sh development
	@mkdir -p build
	@$(BIN)/pybabel -q extract -F webui/translations/babel.cfg --add-location=file --project Fupan \
		--msgid-bugs-address CONTRIBUTING.md -o build/messages.pot .
	@$(BIN)/pybabel -q update -i build/messages.pot -d webui/translations --no-fuzzy-matching --ignore-obsolete \
		--ignore-pot-creation-date --width 110
	@$(BIN)/pybabel -q compile -f -d webui/translations

lock: ## pin and hash the dependencies anew from installer/requirements/*.in
	@installer/bootstrap.sh development
	@for name in build runtime models development; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
			--custom-compile-command 'make lock' \
			--output-file installer/requirements/$$name.txt installer/requirements/$$name.in || exit 1; \
	done
