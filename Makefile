# Everything a person or CI does here. `make help` lists it.

# Cargo's target folder and the Python tools outlive the clone, so that a second clone compiles only its own code.
MAYFLY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mayfly
export CARGO_TARGET_DIR ?= $(MAYFLY_CACHE)/target
# Another list of tools is another folder.
VENV := $(MAYFLY_CACHE)/tools-$(firstword $(shell cksum requirements.txt))
export MAYFLY_TOOLS := $(VENV)/bin
# This clone's own copies, because clones that share a target folder overwrite each other's programs there.
export MAYFLY_PROGRAMS = $(CURDIR)/target/programs/$(PROFILE)
export SAM_CLI_TELEMETRY := 0
export PATH := $(MAYFLY_TOOLS):$(PATH)

FUNCTIONS := $(notdir $(patsubst %/,%,$(wildcard functions/*/)))
PROGRAMS := $(FUNCTIONS) mayfly mayfly-cloud mayfly-worker
# Of the functions, as the template has it: --x86-64 or --arm64.
PROCESSOR := --$(subst _,-,$(shell sed -n 's/^ *Architectures: \[\(.*\)\]/\1/p' template.yaml))
# The worker's, which runs in images of any kind: without a library of theirs, on either of Fargate's processors.
STATIC := x86_64-unknown-linux-musl aarch64-unknown-linux-musl
# Two clones may prepare the same cache at the same time.
LOCKED := $(if $(shell command -v flock),flock --close $(MAYFLY_CACHE)/lock,)
# Cargo tells a member's sources apart by time, not by clone: another clone's build must not pass for this one's.
CLAIMED = test "$$(cat $(CARGO_TARGET_DIR)/.clone 2>/dev/null)" = $(CURDIR) \
  || { git ls-files -z "*.rs" "*.toml" | xargs -0 touch && echo $(CURDIR) > $(CARGO_TARGET_DIR)/.clone; } || exit 1
# Cargo's bar is for terminals only, and elsewhere it says nothing for the minutes that aws-sdk-ec2 takes.
TICKING = test -t 2 || { while sleep 30 >/dev/null 2>&1 && kill -0 $$$$; do echo "   Compiling, at $$(date +%T)" >&2; done \
  & trap "kill $$!" EXIT; }
# All tests have this one; what a person waits for is built sooner in Cargo's own.
TESTED := simulation
PROFILE := dev
BUILT = $(CARGO_TARGET_DIR)/$(subst dev,debug,$(PROFILE))
TEST = cargo test --profile $(TESTED) --workspace --quiet
SIMULATE = $(TEST) --test simulate
# Of targets that `make test` runs by their names, all the others take no notice.
LINT = cargo clippy --profile $(TESTED) --workspace --all-targets --test simulate --test e2e --quiet -- -D warnings
JOB ?= events/run-job.json
STACK ?= mayfly
EGRESS ?= nat
SEED ?= 1
JOBS ?= 1000
FUZZER := $(MAYFLY_CACHE)/cargo-fuzz-0.13.2
TARGET ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
SECONDS ?= 60
# Of a seed that is named, one run.
RUNS ?= $(if $(filter file,$(origin SEED)),10000,1)

.DEFAULT_GOAL := help
.PHONY: help run cloud test test-end-to-end test-others test-simulation fuzz simulate load mutants bench critical-path transform fmt check build sizes worker push-worker copy-image deploy delete tools programs

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

run: programs ## Run a job on a local cloud: make run [JOB=events/run-job.json]
	@$(MAYFLY_PROGRAMS)/mayfly-cloud run $(JOB)

cloud: programs ## Keep a local cloud up and print the environment to export
	@$(MAYFLY_PROGRAMS)/mayfly-cloud up

test: PROFILE := $(TESTED)
test: programs ## Run all tests; ARGS='name' picks some
	@$(LOCKED) sh -c '$(TICKING); $(TEST) --no-run && $(SIMULATE) --test e2e --no-run && $(TEST) --no-run --bench "*"'
	@$(MAKE) --no-print-directory --keep-going --jobs 3 PROFILE=$(PROFILE) test-end-to-end test-others test-simulation

# It waits most of the time: meanwhile the others have the processors, as long as it wants none, and the simulation what they leave.
# Cargo misses Make's jobs where they are not handed to it, with a +.
test-end-to-end:
	+@$(TEST) --test e2e -- $(ARGS)

test-others:
	+@nice -n 5 $(TEST) --no-fail-fast -- $(ARGS) > target/$@.log 2>&1; ended=$$?; cat target/$@.log; exit $$ended

test-simulation:
	+@nice -n 10 $(SIMULATE) -- $(ARGS) > target/$@.log 2>&1; ended=$$?; cat target/$@.log; exit $$ended

# What is found is kept in the cache, and what fails in fuzz/artifacts.
fuzz: ## Feed the parsers with what nobody has thought of: make fuzz [TARGET=document] [SECONDS=60]
	@rustup run nightly rustc --version > /dev/null 2>&1 || { echo "make fuzz needs a nightly compiler and one of C++:" \
	  "rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	@test -x $(FUZZER)/bin/cargo-fuzz || cargo +nightly install --quiet --locked --root $(FUZZER) \
	  --version $(lastword $(subst -, ,$(FUZZER))) cargo-fuzz
	@set -e; for target in $(TARGET); do mkdir -p $(MAYFLY_CACHE)/fuzz/corpus/$$target; \
	  PATH="$(FUZZER)/bin:$$PATH" cargo +nightly fuzz run --fuzz-dir fuzz --target-dir $(MAYFLY_CACHE)/fuzz/target $$target \
	  $(MAYFLY_CACHE)/fuzz/corpus/$$target fuzz/corpus/$$target events -- -max_total_time=$(SECONDS); done

simulate: ## Run jobs on virtual time while everything goes wrong: make simulate [SEED=1] [RUNS=10000] [MODE=public]
	@$(SIMULATE) -- $(if $(MODE),--matrix $(MODE),--seed $(SEED) --runs $(RUNS))

load: ## See what an account of 20 vCPUs carries: make load [JOBS=1000]
	@$(SIMULATE) -- --load $(JOBS)

mutants: ## See that the simulation finds mistakes that are made again in a copy of the product; ARGS='NAME' picks some
	@$(SIMULATE) -- --mutants $(ARGS)

bench: tools ## Measure cold starts and the worker's transfers, in release builds; ARGS='create-queue' picks functions
	cargo build --release --package create-queue --package dispatch-job --package register-task --package mayfly-worker
	@MAYFLY_PROGRAMS=$(CARGO_TARGET_DIR)/release $(TEST) --bench bench -- $(ARGS)

critical-path: programs ## See how long a job with a private network waits for its container, and for whom: make critical-path [EGRESS=nat]
	@cargo test --workspace --quiet --bench critical-path -- $(EGRESS)

transform: tools ## Write the template as SAM hands it to CloudFormation, for the simulation
	@UPDATE_EXPECT=1 $(TEST) --test tidy -- the_simulation_has_the_template_as_it_is_now

fmt: ## Lay out the sources and the state machines
	cargo fmt --all
	cargo run --quiet --package mayfly-layout -- statemachine/*.asl.json

check: tools ## Formatting, lints and the template
	cargo fmt --all --check
	$(LINT)
	AWS_DEFAULT_REGION=us-east-1 sam validate --lint

# SAM's builder links one function after the other, and compiles the SDKs twice since plan-job has them with other features.
# Cargo does all at once, and what `sam build` would leave is the template's own layout, with programs in place of sources.
build: tools ## Build every function for AWS
	@mkdir -p $(CARGO_TARGET_DIR)
	@$(LOCKED) sh -c '$(CLAIMED); $(TICKING); cargo lambda build --release $(PROCESSOR) --workspace --exclude "mayfly*" --exclude "local-*" \
	  && rm -rf .aws-sam/build && mkdir -p .aws-sam/build/functions && cp -R template.yaml statemachine .aws-sam/build \
	  && cp -R $(FUNCTIONS:%=$(CARGO_TARGET_DIR)/lambda/%) .aws-sam/build/functions'

sizes: ## Print the size of every function that `make build` has built, and of its package
	@cd .aws-sam/build/functions && for name in *; do \
	  echo $$name $$(wc -c < $$name/bootstrap) $$(gzip -c $$name/bootstrap | wc -c); done | sort -n -k 2 \
	  | awk '{ printf "%-26s %5.1f MB, zipped %4.1f MB\n", $$1, $$2 / 1e6, $$3 / 1e6 }'

# Zig is the linker, and the C compiler for aws-lc, of targets that this machine has no tools for.
worker: tools ## Build the worker as a static program, for both processors
	@rustup target add $(STATIC) || { echo "make worker needs Rust's standard library for $(STATIC), which rustup" \
	  "could not fetch: see that this machine reaches Rust's servers, or name a mirror in RUSTUP_DIST_SERVER" >&2; exit 1; }
	@mkdir -p $(CARGO_TARGET_DIR)
	@$(LOCKED) sh -c '$(CLAIMED); $(TICKING); cargo zigbuild --release --locked --package mayfly-worker $(STATIC:%=--target %)'

push-worker: worker ## Push that to the stack's repository, without a container engine: make push-worker [STACK=mayfly]
	cargo run --quiet --bin mayfly -- image push-worker --stack $(STACK) \
	  --amd64 $(CARGO_TARGET_DIR)/$(firstword $(STATIC))/release/mayfly-worker \
	  --arm64 $(CARGO_TARGET_DIR)/$(lastword $(STATIC))/release/mayfly-worker

# Of the parameter that the stack has: blob by blob, so that the image is there in every network mode.
copy-image: ## Copy the stack's default image into its repository: make copy-image [STACK=mayfly]
	cargo run --quiet --bin mayfly -- image copy --stack $(STACK)

# An account's first cluster fails while ECS is still making its own role, and its first load balancer wants a right to make
# one that no function has.
# Source: github.com/aws/containers-roadmap/issues/2614, github.com/kubernetes/kops/issues/16218.
deploy: build worker ## Deploy to the AWS account of your credentials, worker and default image too: make deploy [STACK=mayfly]
	@aws iam get-role --role-name AWSServiceRoleForECS >/dev/null 2>&1 \
	  || aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com >/dev/null
	@aws iam get-role --role-name AWSServiceRoleForElasticLoadBalancing >/dev/null 2>&1 \
	  || aws iam create-service-linked-role --aws-service-name elasticloadbalancing.amazonaws.com >/dev/null
	sam deploy --guided --stack-name $(STACK)
	$(MAKE) push-worker copy-image

# A NAT gateway of a job whose teardown went with the stack would bill for ever.
delete: tools ## Wait for the jobs that run (ARGS=--stop stops them), see that nothing is left, and delete the stack: make delete [STACK=mayfly]
	cargo run --quiet --bin mayfly -- drain --stack $(STACK) $(ARGS)
	sam delete --stack-name $(STACK)

tools: $(VENV)/.complete

$(VENV)/.complete:
	@mkdir -p $(MAYFLY_CACHE)
	@$(LOCKED) sh -c 'test -e $@ || { echo "Installing the Python tools ..."; python3 -m venv $(VENV) \
	  && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt && touch $@; }'

programs: tools
	@mkdir -p $(MAYFLY_PROGRAMS) $(CARGO_TARGET_DIR)
	@test -n "$(wildcard $(BUILT)/deps/libaws_sdk_ec2-*.rlib)" || echo "The first build takes 5 to 12 minutes" \
	  "on two cores, and that of the tests twice as long, most of it for aws-sdk-ec2; later ones compile only what has changed."
	@$(LOCKED) sh -c '$(CLAIMED); $(TICKING); cargo build --profile $(PROFILE) && for program in $(PROGRAMS); do \
	  test $(MAYFLY_PROGRAMS)/$$program -nt $(BUILT)/$$program \
	  || strip -o $(MAYFLY_PROGRAMS)/$$program $(BUILT)/$$program || exit 1; done'
