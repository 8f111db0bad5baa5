# Every target works on a fresh checkout; STACK names the lab.

STACK ?= dev
# what is installed follows from the stack; USES=up is enough for a system platform with a named image
STATES = $(shell grep -sE $(1) Pulumi.$(STACK).yaml)
USES ?= $(if $(call STATES,'docker_host: *"?unix'),docker,up bundled $(if $(call STATES,'kind: *"?container'),container,vm))
OVERLAB = .venv/bin/overlab --stack $(STACK)
BUILD_CLI = .venv/bin/python -m overlab.platform.toolchain >/dev/null
MAKE_IMAGES = 'from overlab.core.progress import Progress; from overlab.platform import container_images; container_images.ensure(Progress())'
FAST = not root and not slow and not e2e
# many tests wait more than they compute
IN_PARALLEL = -n 4 --dist worksteal
SHELL_SCRIPTS = $(shell find . -type f -not -path './.venv/*' -not -path './.git/*' -not -path './.*_cache/*' -not -name '*.j2' \
	-exec awk 'FNR == 1 { if (/^\#!.*\/(env )?(ba)?sh( |$$)/) print FILENAME; nextfile }' {} +)

.PHONY: up try preview refresh down doctor test check policy lint types fast fuzz lock bootstrap

up: bootstrap ## bring the lab up; a second run changes nothing
	@$(OVERLAB) up

try: ## the stack STACK on node containers, as a separate lab: seconds instead of minutes
	@host=$$("$$(scripts/bootstrap --python)" -m overlab.platform.docker_info) || exit 1; \
	if [ -n "$$host" ]; then scripts/bootstrap docker; else scripts/bootstrap up bundled container; fi && \
	{ test -f Pulumi.try.yaml || .venv/bin/overlab new try --from $(STACK) --set machine.kind=container \
		$${host:+--set "platform.docker_host=$$host"}; }
	@.venv/bin/overlab --stack try up

preview: bootstrap ## preview the changes that `up` would make
	@$(OVERLAB) preview

refresh: bootstrap ## update the state from the deployed resources
	@$(OVERLAB) refresh

down: ## destroy the lab; PLATFORM=1 removes its platform too
	@scripts/bootstrap $(firstword $(USES))
	@$(OVERLAB) down $(if $(PLATFORM),--platform) || [ $$? -eq 3 ] # 3: nothing to destroy

doctor: ## what this machine can run, and what is missing for it; installs nothing
	@python=$$(scripts/bootstrap --python) && "$$python" -m overlab.platform.setups
	@test ! -f .venv/.overlab-stamp || $(OVERLAB) doctor

bootstrap:
	@scripts/bootstrap $(USES)

test: ## all tests, whole labs included
	@scripts/bootstrap up bundled vm container test check
	@-$(BUILD_CLI)
	@-.venv/bin/python -c $(MAKE_IMAGES) # Consul is in one of them
	.venv/bin/pytest -m '$(FAST)' $(IN_PARALLEL)
	.venv/bin/pytest -m 'not ($(FAST))' $(PYTEST_ARGS)

check: ## linters, types and the fast tests, side by side
	@scripts/bootstrap up bundled vm container test check
	@$(MAKE) --no-print-directory -j --output-sync=target types fast lint

policy: ## the policy pack: linters, types, every rule with a violating program
	@scripts/bootstrap up bundled vm container test check
	.venv/bin/ruff check policy tests/policy
	.venv/bin/ruff format --check policy tests/policy
	.venv/bin/mypy policy tests/policy
	@-$(BUILD_CLI)
	.venv/bin/pytest tests/policy

lint:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	shellcheck $(SHELL_SCRIPTS)

types:
	.venv/bin/mypy

.PHONY: bench-scale bench-up schema
bench-scale: ## how the program grows with the nodes; writes docs/scale.md
	@scripts/bootstrap up test check
	.venv/bin/python -m benchmarks.scale

bench-up: ## time a warm `up` beside a script by hand, RUNS each, nodes of KIND; writes docs/performance.md
	@scripts/bootstrap up bundled vm container
	.venv/bin/python -m benchmarks.up --kind $(or $(KIND),container) --runs $(or $(RUNS),5)

schema: ## write the JSON Schema of stack files, after a change of the settings
	.venv/bin/overlab schema

fast:
	.venv/bin/pytest tests/unit tests/components -m '$(FAST)' $(IN_PARALLEL)

fuzz: ## hostile content with examples that no run has had before
	@scripts/bootstrap up bundled vm container test check
	.venv/bin/pytest tests/unit/test_hostile_content.py --hypothesis-profile=random

.PHONY: explore-faults explore-edits explore-kills
SEEDS ?= 5
explore-faults: ## histories of faults from FIRST on, one up after each; EXPLORE="--replay SEED" runs one again
	@scripts/bootstrap up bundled container test check
	.venv/bin/python -m tests.explorers.faults --seeds $(SEEDS) --first $(or $(FIRST),1) $(EXPLORE)

explore-edits: ## pairs of stack files from FIRST on, up of one and then of the other
	@scripts/bootstrap up bundled container test check
	.venv/bin/python -m tests.explorers.edits --seeds $(SEEDS) --first $(or $(FIRST),1) $(EXPLORE)

explore-kills: ## up and down stopped at every EVERY-th resource event
	@scripts/bootstrap up bundled container test check
	.venv/bin/python -m tests.explorers.kills --every $(or $(EVERY),10) $(EXPLORE)

lock: ## resolve pyproject.toml into requirements.lock; says which of Pulumi's packages are a quarter behind
	@scripts/lock
