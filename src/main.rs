//! `secateur`: one binary, its roles are subcommands.

fn main() -> std::process::ExitCode {
    secateur::cli::main()
}
