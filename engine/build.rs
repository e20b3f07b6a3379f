//! Compiles the C++ in `cpp/` and the calls to it that `cxx` generates, against the libtorch in `LIBTORCH`, and links libtorch.

use std::path::{Path, PathBuf};
use std::{env, fs};

const BRIDGE: &str = "src/torch/bridge.rs";
const OPERATORS: &str = "../core/src/archive/code/operators.txt";

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=cpp");
    let libtorch = env::var_os("LIBTORCH").map(PathBuf::from).filter(|path| path.join("include/torch").is_dir());
    let Some(libtorch) = libtorch else {
        eprintln!("LIBTORCH does not name a folder with libtorch; run `. scripts/env.sh`, or use make");
        std::process::exit(1);
    };
    println!("cargo:rerun-if-changed={OPERATORS}");
    let generated = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for what is generated"));
    write_operators(&generated.join("operators.inc"));
    compile(&libtorch, &generated);
    link(&libtorch.join("lib"));
}

/// Turns the list of operators, which the pre-flight in core reads as it is, into rows of a C++ table.
fn write_operators(target: &Path) {
    let list = fs::read_to_string(OPERATORS).expect("core has the list of operators");
    let families = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows = families.map(|line| {
        let (head, names) = line.split_once(" : ").expect("a family has a colon between overloads and names");
        let (namespace, overloads) = head.split_once(' ').expect("a family has a namespace and overloads");
        format!("{{\"{namespace}\", \"{overloads}\", \"{names}\"}},\n")
    });
    fs::write(target, rows.collect::<String>()).expect("the folder for what is generated can be written to");
}

fn compile(libtorch: &Path, generated: &Path) {
    let folder = fs::read_dir("cpp").expect("the package has a folder cpp");
    let mut sources: Vec<PathBuf> = folder
        .map(|entry| entry.expect("cpp can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cpp"))
        .collect();
    sources.sort();
    println!("cargo:rerun-if-changed={BRIDGE}");
    cxx_build::bridge(BRIDGE)
        .std("c++17")
        // libtorch's own headers do not compile cleanly under these.
        .flag("-isystem")
        .flag(libtorch.join("include").as_os_str())
        .flag("-isystem")
        .flag(libtorch.join("include/torch/csrc/api/include").as_os_str())
        .flag("-Wno-unused-parameter")
        .include(generated)
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
