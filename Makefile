# Everything that is done with leadcrm, by name. Needs git, make and Python 3.11 or newer, nothing else.

PY := .venv/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input
# The environments of run and serve differ by the embedded PostgreSQL alone; test holds both.
run_requirements := requirements/run.txt
test_requirements := requirements/test.txt
bench_requirements := requirements/bench.txt
# None of the caller's settings changes the result of a test; its database and keys are apart from those of `make run`.
APART := @env $(addprefix -u ,DATABASE_URL SECRET_KEY ENCRYPTION_KEYS DEBUG ALLOWED_HOSTS PORT HTTPS TIME_ZONE \
	KAPSO_WEBHOOK_SECRET KAPSO_API_KEY KAPSO_API_BASE_URL METRICS_TOKEN RETENTION_DAYS SITE_URL EMAIL_URL \
	EMAIL_FROM API_REQUESTS_PER_MINUTE PGBOUNCER WORKER_DATABASE_URL REPLICA_URL)

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1 \t/p' $(MAKEFILE_LIST) | expand -t 18

install: ## make the environment in .venv (PYTHON=... chooses the interpreter)
	@$(call installed,$(run_requirements))

run: install ## try leadcrm out: database, login, demo (PORT=8001 make run for another port)
	@$(PY) manage.py run

serve: install ## serve in production: DATABASE_URL, SECRET_KEY, ALLOWED_HOSTS, KAPSO_WEBHOOK_SECRET
	@exec $(PY) manage.py serve

work: install ## do background jobs in production, beside `make serve` (same settings)
	@exec $(PY) manage.py work

# Three at a time: some wait for a browser or a server. Few are given out at a time, as those with a browser come last.
test: export LOCAL_DIR := $(CURDIR)/.local/tests
test: ## check style, types, migrations and settings, and run the tests
	@$(call installed,$(test_requirements))
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	$(APART) $(PY) -m mypy .
	$(APART) $(PY) -W error manage.py makemigrations --check --dry-run
	$(APART) HTTPS=on SECRET_KEY=$$($(PY) -c 'import secrets; print(secrets.token_urlsafe(50))') \
		$(PY) -W error manage.py check --deploy --fail-level WARNING
	$(APART) $(PY) -m pytest -n 3 --maxschedchunk 4 -m "not prove and not alone"
	$(APART) $(PY) -m pytest -m "alone and not prove"

prove: export LOCAL_DIR := $(CURDIR)/.local/tests
prove: ## what takes too long for `make test`: thousands of histories, 100,000 deliveries, fuzzing
	@$(call installed,$(test_requirements))
	$(APART) $(PY) -m pytest -n 2 -m "prove and not alone"
	$(APART) $(PY) -m pytest -m "prove and alone"

screenshots: export LOCAL_DIR := $(CURDIR)/.local/tests
screenshots: ## take the pictures of docs/screenshots anew
	@$(call installed,$(test_requirements))
	$(APART) LEADCRM_REQUIRE_BROWSER=1 LEADCRM_SCREENSHOTS=docs/screenshots $(PY) -m pytest -q \
		tests/test_browser_looks.py -k pictures

chaos: ## kill the server and its database while webhooks arrive, and count what is lost (minutes)
	@$(call installed,$(test_requirements))
	$(APART) $(PY) -m tests.chaos

bench: ## measure leadcrm against the bare limit and the usual way (PART="webhooks lists", SIZE=large for 1M leads)
	@$(call installed,$(bench_requirements))
	@$(APART) $(PY) -m benchmarks $(PART) --size $(or $(SIZE),quick) $(if $(ROUNDS),--rounds $(ROUNDS))

fmt: ## format the code, and mend what the linter can
	@$(call installed,$(test_requirements))
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

words: export LOCAL_DIR := $(CURDIR)/.local/tests
words: ## collect the words to translate into locale/, and compile their translations (needs GNU gettext)
	@command -v xgettext >/dev/null && command -v msgmerge >/dev/null && command -v msgfmt >/dev/null || { \
		echo "make words needs GNU gettext: install it (Debian: apt install gettext)" >&2; exit 1; }
	@$(call installed,$(test_requirements))
	@$(APART) $(PY) manage.py makemessages --locale es --locale pt_BR --no-location --no-wrap --no-obsolete \
		--ignore .venv --ignore .local --ignore tests
	@for po in locale/*/LC_MESSAGES/django.po; do \
		sed '/^"POT-Creation-Date:/d' $$po >$$po.new && mv $$po.new $$po || exit 1; done
	@$(APART) $(PY) manage.py compilemessages --ignore .venv --ignore .local

.PHONY: help install run serve work test prove screenshots chaos bench fmt words

# Installs the requirements in $(1) unless a copy of them in .venv says that they are installed already.
define installed
	if cmp -s $(1) .venv/$(notdir $(1)) && $(PY) -c '' 2>/dev/null; then exit 0; fi; \
	if ! $(PY) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		$(find_python) \
		"$$python" -m venv --clear .venv || exit 1; \
	fi; \
	echo "Installing $(1) into .venv; this takes a minute, once ..."; \
	$(PIP) install --root-user-action=ignore --require-hashes --requirement $(1) && cp $(1) .venv/
endef

define find_python
	python=; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			python=$$candidate; break; \
		fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "leadcrm needs Python 3.11 or newer: install it (Debian: apt install python3 python3-venv) or name it: PYTHON=/path/to/python3 make install" >&2; exit 1; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$$python has no venv module: install it (Debian: apt install python3-venv)" >&2; exit 1; \
	fi;
endef
