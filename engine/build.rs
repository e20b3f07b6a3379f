//! Compiles the C++ shim in `cpp/` against the libtorch in `LIBTORCH` and links libtorch.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=cpp");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).filter(|path| path.join("include/torch").is_dir());
    let Some(libtorch) = libtorch else {
        eprintln!("LIBTORCH does not name a folder with libtorch; run `. scripts/env.sh`, or use make");
        std::process::exit(1);
    };
    compile(&libtorch);
    link(&libtorch.join("lib"));
}

fn compile(libtorch: &Path) {
    let folder = fs::read_dir("cpp").expect("the package has a folder cpp");
    let mut sources: Vec<PathBuf> = folder
        .map(|entry| entry.expect("cpp can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cpp"))
        .collect();
    sources.sort();
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        // libtorch's own headers do not compile cleanly under these.
        .flag("-isystem")
        .flag(libtorch.join("include").as_os_str())
        .flag("-isystem")
        .flag(libtorch.join("include/torch/csrc/api/include").as_os_str())
        .flag("-Wno-unused-parameter")
        // Debug information of libtorch's templates is ten times the code.
        .debug(false)
        .opt_level(2)
        .files(sources)
        .compile("secateur_torch");
}

fn link(lib: &Path) {
    println!("cargo:rustc-link-search=native={}", lib.display());
    // No symbol of these is named by Rust code, so the linker would leave them out; what they register at start-up
    // (operators, kernels) is why they are there.
    println!("cargo:rustc-link-arg=-Wl,--no-as-needed");
    for library in ["torch", "torch_cpu", "c10"] {
        println!("cargo:rustc-link-lib=dylib={library}");
        println!("cargo:rustc-link-arg=-l{library}");
    }
    // `cargo run` and `cargo test` then find the libtorch that they were built with; LD_LIBRARY_PATH goes first.
    println!("cargo:rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", lib.display());
}
