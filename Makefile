# `make demo` and `make test` do everything that a fresh checkout needs, set-up included.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-fast fuzz serve bench bench-search zoo bench-methods bench-study bench-recover bench-step bench-queue crash-test test-upgrade test-partition test-trace test-deploy load-test test-contract hostile-table fmt test-client test-recipes test-browser screenshots figures

ENV := . scripts/env.sh

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## fetch libtorch and, where there is none, PostgreSQL (once, into ~/.cache/secateur)
	@$(ENV); printf 'LIBTORCH=%s\nCARGO_TARGET_DIR=%s\npostgres: %s\n' "$$LIBTORCH" "$$CARGO_TARGET_DIR" "$$(scripts/setup-postgres.sh)"

build: ## release build of server and engine
	@$(ENV); cargo build --release --workspace --bins

demo: ## prune a real network through the API, watch it, print the before/after table
	@started=$$SECONDS; $(ENV); printf 'set-up: %d s\n' $$((SECONDS - started)); \
	started=$$SECONDS; cargo build --release --workspace --bins; printf 'build: %d s\n' $$((SECONDS - started)); \
	python3 scripts/demo.py --server-binary "$$CARGO_TARGET_DIR/release/secateur" $(DEMO)

test: ## format, lints, dependency rules, build, all tests, a minute of fuzzing and one of made-up requests
	@scripts/test.sh

test-fast: ## the inner loop: format, lints and all tests that need neither libtorch nor a browser
	@scripts/test.sh --fast

test-browser: ## the dashboard in Chromium, with real jobs, and what other sites' pages can do (BROWSER="submit")
	@$(ENV); unset DATABASE_URL; SECATEUR_CHROMIUM="$$(scripts/setup-chromium.sh)"; SECATEUR_AXE="$$(scripts/setup-axe.sh)"; \
	export SECATEUR_CHROMIUM SECATEUR_AXE; cargo build --workspace --bins; \
	cargo test -p secateur --test server browser::$(BROWSER) -- --test-threads 1

screenshots: ## pictures of every page of the dashboard, into docs/images (minutes)
	@$(ENV); unset DATABASE_URL; SECATEUR_CHROMIUM="$$(scripts/setup-chromium.sh)"; export SECATEUR_CHROMIUM; \
	cargo build --workspace --bins; \
	SECATEUR_SCREENSHOTS="$$PWD/docs/images" cargo test -p secateur --test server with_engine::browser::view::pictures -- --ignored

figures: ## draw the figures of docs/concepts.md from real jobs, into docs/images (minutes; fetches PyTorch where examples/shapes.npz is missing)
	@$(ENV); cargo build --release --workspace --bins; \
	[ -f examples/shapes.npz ] || "$$(scripts/setup-python.sh)" examples/make_shapes.py; \
	python3 docs/figures.py "$$CARGO_TARGET_DIR/release/secateur"

fuzz: ## everything that reads a stranger's bytes, a minute in all (FUZZ_SECONDS=3600 for longer, FUZZ_TARGETS="pickle code")
	@scripts/fuzz.sh

serve: ## run the server on 127.0.0.1:8080 with its data in ./data (SERVE="--listen ..." for more)
	@$(ENV); cargo build --release --workspace --bins; \
	exec "$$CARGO_TARGET_DIR/release/secateur" serve --listen 127.0.0.1:8080 --data-dir data $(SERVE)

bench: ## benchmarks
	@$(ENV); cargo bench --workspace

bench-search: ## the SACP search against the same encoder in plain PyTorch (fetches PyTorch, 5 GB)
	@$(ENV); cargo build --release -p secateur-core --features testing --bench search; \
	rust="$$(ls -t "$$CARGO_TARGET_DIR"/release/deps/search-* | grep -v '\.d$$' | head -n 1)"; \
	python3 benches/search/compare.py "$$rust" "$$(scripts/setup-python.sh)"

zoo: ## prune a model of every family of torchvision, timm and more, write docs/coverage.md (hours; goes on where it stopped; ZOO="--only resnet")
	@$(ENV); cargo build --release --workspace --bins; \
	python="$$(scripts/setup-zoo.sh)"; \
	env -u LD_LIBRARY_PATH HF_HUB_OFFLINE=1 "$$python" scripts/zoo "$$CARGO_TARGET_DIR/release/secateur" \
		--folder "$$CARGO_TARGET_DIR/zoo" --page docs/coverage.md $(ZOO)

bench-methods: ## sacp against the classical methods on the digits, one seed (METHODS="--study tau ..." for more)
	@$(ENV); cargo build --release --workspace --bins; \
	python3 benches/methods/compare.py "$$CARGO_TARGET_DIR/release/secateur" --results data/methods.jsonl \
		$(or $(METHODS),--networks resnet20-digits --seeds 0 --epochs 5)

bench-study: ## sacp beside the classical methods and Torch-Pruning, on shapes and Fashion-MNIST (hours; goes on where it stopped; STUDY="--seeds 0")
	@$(ENV); cargo build --release --workspace --bins; \
	python="$$(scripts/setup-zoo.sh)"; packages="$$(scripts/setup-recover.sh "$$python")"; rival="$$(scripts/setup-rival.sh "$$python")"; \
	[ -f examples/shapes.npz ] || "$$python" examples/make_shapes.py; \
	env -u LD_LIBRARY_PATH "$$python" benches/methods/compare.py "$$CARGO_TARGET_DIR/release/secateur" --results data/study.jsonl \
		--packages "$$packages" --rival "$$rival" --prepared "$$CARGO_TARGET_DIR/study" --epochs 5 \
		--networks resnet20-shapes fashion-resnet20 fashion-vgg fashion-mobilenet fashion-vit $(STUDY); \
	python3 benches/methods/figure.py data/study.jsonl docs/images/methods.svg

bench-recover: ## what recovery brings back on published networks, beside an expert's script (fetches PyTorch and the networks; RECOVER="--subjects pitch")
	@$(ENV); cargo build --release --workspace --bins; \
	python="$$(scripts/setup-zoo.sh)"; packages="$$(scripts/setup-recover.sh "$$python")"; \
	env -u LD_LIBRARY_PATH "$$python" benches/recover/compare.py "$$CARGO_TARGET_DIR/release/secateur" --packages "$$packages" $(RECOVER)

bench-step: ## an epoch of fine-tuning beside PyTorch's (fetches PyTorch, 5 GB; STEP="--networks reader" for more)
	@$(ENV); cargo build --release -p secateur-engine --bench step; \
	step="$$(ls -t "$$CARGO_TARGET_DIR"/release/deps/step-* | grep -v '\.d$$' | head -n 1)"; \
	"$$(scripts/setup-python.sh)" benches/step/compare.py "$$step" $(STEP)

bench-queue: ## tasks a second of the queue with 1 to 512 workers, and what a long history costs (QUEUE="1 8 --history 100000")
	@$(ENV); cargo bench -p secateur --features secateur-core/testing --bench queue -- $(QUEUE)

crash-test: ## kill engine, worker, server and PostgreSQL at random in the middle of real jobs, 500 times (hours; CRASH="--kills 50")
	@$(ENV); cargo build --release --workspace --bins; \
	python3 scripts/crash_test.py "$$CARGO_TARGET_DIR/release/secateur" $(CRASH)

test-upgrade: ## upgrade a server under a worker of an older version (OLD=path/to/the/older/secateur)
	@$(ENV); cargo build --release --workspace --bins; \
	python3 scripts/upgrade_test.py "$(OLD)" "$$CARGO_TARGET_DIR/release/secateur"

test-trace: ## look at the spans of a job, with the feature `otlp`
	@$(ENV); cargo build --release --workspace --bins --features otlp; \
	python3 scripts/trace_test.py "$$CARGO_TARGET_DIR/release/secateur"

test-partition: ## cut a worker in a network namespace of its own off from PostgreSQL and S3 in mid-task (root; PARTITION="--rounds 5")
	@$(ENV); cargo build --release --workspace --bins; \
	export SECATEUR_PG_BIN="$$(scripts/setup-postgres.sh)"; python="$$(scripts/setup-partition.sh)"; \
	"$$python" scripts/partition/test.py "$$CARGO_TARGET_DIR/release/secateur" $(PARTITION)

test-deploy: ## build the images, run a job through compose.yaml, the pods of deploy/kubernetes and a Slurm (root; DEPLOY="--only slurm")
	@$(ENV); cargo build --release --workspace --bins; \
	export SECATEUR_PG_BIN="$$(scripts/setup-postgres.sh)"; python="$$(scripts/setup-deploy.sh)"; \
	"$$python" scripts/deploy/test.py "$$CARGO_TARGET_DIR/release/secateur" $(DEPLOY)

load-test: ## 1000 event streams, 500 status requests a second, then 1000 jobs in a burst (LOAD="--seconds 10 --streams 100")
	@$(ENV); cargo build --release --workspace --bins; \
	python3 scripts/load_test.py "$$CARGO_TARGET_DIR/release/secateur" $(LOAD)

test-contract: ## hold the API against its own description with thousands of made-up requests (fetches Schemathesis; CONTRACT="--seconds 600")
	@$(ENV); cargo build --release -p secateur; \
	python="$$(scripts/setup-contract.sh)"; \
	"$$python" scripts/contract/test.py "$$CARGO_TARGET_DIR/release/secateur" $(CONTRACT)

test-client: ## types and tests of the Python client against a real server (fetches PyTorch; CLIENT="-k upload")
	@$(ENV); cargo build --workspace --bins; scripts/test-client.sh $(CLIENT)

test-recipes: ## run the recipes of docs/recipes with the real other programs (fetches PyTorch, MLflow, Prometheus and more; RECIPES="-k mlflow")
	@$(ENV); cargo build --release --workspace --bins; scripts/test-recipes.sh $(RECIPES)

hostile-table: ## try every hostile file on every layer alone and write tests/hostile/table.md (minutes)
	@$(ENV); cargo build --workspace --bins; \
	SECATEUR_WRITE_HOSTILE_TABLE=1 cargo test -p secateur --test server hostile:: -- --test-threads 1

fmt: ## format the code, in Rust, Python and C++
	@cargo fmt --all
	@scripts/lint.sh --fix
