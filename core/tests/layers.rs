//! The order of the modules: each imports only what stands above it, and no files import each other in a circle.
//!
//! `cargo test -p secateur-core --test layers -- --nocapture` prints how many there are of each. What counts is what the source text
//! says: every `use crate::…` and `use super::…`, and every path that begins so. A path is followed to the file that it names; what a
//! module re-exports belongs to the file that it comes from. A module and its own children know each other, since a module's file is
//! the door to its folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers of core, from the bottom to the top. A line is one layer, whose modules do not know each other.
const CORE: &[&[&str]] = &[
    &["plain_text", "json", "number", "statistics", "digest"],
    &["rejection"],
    &["untrusted"],
    &["archive", "dataset"],
    &["graph"],
    &["axes", "output"],
    &["operator"],
    &["group"],
    &["cost"],
    &["importance"],
    &["configuration"],
    &["surgery"],
    &["latency"],
    &["spec"],
    &["method"],
    &["search"],
    &["inspection"],
    &["recovery"],
    &["sandbox"],
    &["report"],
    &["triton"],
    &["stage"],
    &["wire"],
    &["testing"],
];

/// The layers of the engine.
const ENGINE: &[&[&str]] = &[
    &["guard"],
    &["torch"],
    &["error"],
    &["network"],
    &["process"],
    &["data", "prepare"],
    &["output", "proof", "reconstruction", "supervision"],
    &["measure"],
    &["encoder", "training"],
    &["stage"],
];

#[test]
fn no_module_of_core_imports_one_of_a_later_layer() {
    check_order(&Crate::read("core/src"), CORE);
}

#[test]
fn no_module_of_the_engine_imports_one_of_a_later_layer() {
    check_order(&Crate::read("engine/src"), ENGINE);
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for folder in ["core/src", "engine/src", "src", "postgres/src"] {
        let circles = Crate::read(folder).circles();
        println!("{folder}: {} circles", circles.len());
        found.extend(circles);
    }
    assert_eq!(found, Vec::<Vec<String>>::new());
}

/// A circle and an import that runs up are found where there are some.
#[test]
fn what_is_looked_for_would_be_found() {
    let file = |module: &str, text: &str| (module.split("::").map(str::to_owned).collect(), text.to_owned());
    let made = Crate::of(
        "made",
        [
            file("low", "mod inner;\nuse crate::high::Thing;\npub use inner::Part;"),
            file("low::inner", "use super::Whole;"),
            file("high", "use crate::low::{Part, inner::{self, Other}};\nmod left; mod right;"),
            file("high::left", "fn a() -> super::right::Right { crate::high::right::b() }"),
            file("high::right", "use super::left::Left;"),
            file("tests", "#[cfg(test)]\nmod tests {\n    use crate::high::Thing;\n}"),
        ],
    );
    let up: Vec<String> = made.upward(&[&["low"], &["high"], &["tests"]]);
    assert_eq!(up, ["low imports high"]);
    let circles = made.circles();
    assert_eq!(circles, [vec!["high".to_owned(), "low".to_owned()], vec!["high::left".into(), "high::right".into()]]);
}

fn check_order(source: &Crate, layers: &[&[&str]]) {
    let known: BTreeSet<&str> = layers.iter().flat_map(|layer| layer.iter().copied()).collect();
    let found: BTreeSet<&str> = source.files.keys().filter_map(|module| module.first()).map(String::as_str).collect();
    let unknown: Vec<&&str> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "{}: no layer is said for {unknown:?}", source.name);
    let upward = source.upward(layers);
    println!("{}: {} upward imports", source.name, upward.len());
    assert_eq!(upward, Vec::<String>::new(), "{}", source.name);
}

/// The path of a module below its crate.
type Module = Vec<String>;

/// The files of a crate, and which imports which.
struct Crate {
    name: String,
    files: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    /// Reads a folder of the repository; one that is not there has no files.
    fn read(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
        let mut paths = Vec::new();
        if root.exists() {
            collect(&root, &mut paths);
        }
        let sources = paths.into_iter().filter_map(|path| {
            let module = module_of(path.strip_prefix(&root).expect("it lies in the folder"))?;
            Some((module, fs::read_to_string(&path).expect("sources are readable")))
        });
        Self::of(folder, sources)
    }

    fn of(name: &str, sources: impl IntoIterator<Item = (Module, String)>) -> Self {
        let texts: BTreeMap<Module, String> =
            sources.into_iter().map(|(module, text)| (module, without_tests(&text))).collect();
        let names: BTreeSet<Module> = texts.keys().cloned().collect();
        let reexports =
            texts.iter().map(|(module, text)| (module.clone(), paths(text, module, &names, true))).collect();
        let files = texts.iter().map(|(module, text)| {
            let imported =
                paths(text, module, &names, false).into_iter().filter_map(|path| target(&path, &names, &reexports));
            (module.clone(), imported.filter(|other| other != module).collect())
        });
        Self { name: name.to_owned(), files: files.collect() }
    }

    /// Imports from an earlier layer into a later one, and within a layer.
    fn upward(&self, layers: &[&[&str]]) -> Vec<String> {
        let layer = |module: &str| layers.iter().position(|layer| layer.contains(&module));
        let mut found = BTreeSet::new();
        for (module, imported) in &self.files {
            let Some(own) = module.first() else { continue };
            for other in imported.iter().filter_map(|other| other.first()).filter(|other| *other != own) {
                if layer(other) >= layer(own) {
                    found.insert(format!("{own} imports {other}"));
                }
            }
        }
        found.into_iter().collect()
    }

    /// Sets of files that import each other, directly or through others.
    fn circles(&self) -> Vec<Vec<String>> {
        let is_family = |a: &Module, b: &Module| a.starts_with(b) || b.starts_with(a);
        let edges: BTreeMap<&Module, Vec<&Module>> = self
            .files
            .iter()
            .map(|(module, imported)| (module, imported.iter().filter(|other| !is_family(module, other)).collect()))
            .collect();
        let reach = |from| {
            let mut seen: BTreeSet<&Module> = BTreeSet::new();
            let mut left: Vec<&Module> = edges[from].clone();
            while let Some(next) = left.pop() {
                if seen.insert(next) {
                    left.extend(&edges[next]);
                }
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, reach(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, others) in reached.iter().filter(|(module, others)| others.contains(**module)) {
            let members = others.iter().filter(|other| reached[**other].contains(*module));
            circles.insert(members.map(|member| member.join("::")).collect::<Vec<_>>());
        }
        circles.into_iter().collect()
    }
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// `search/ranking/mod.rs` is `search::ranking`. The crate's own file declares modules and imports none; tests and programs may know
/// everything.
fn module_of(path: &Path) -> Option<Module> {
    let mut parts: Module = path.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.iter().any(|part| part == "tests") {
        return None;
    }
    match parts.last().map(String::as_str) {
        Some("mod") => drop(parts.pop()),
        Some("lib" | "main") if parts.len() == 1 => return None,
        _ => {}
    }
    Some(parts)
}

/// The text without its comments and without what comes after `#[cfg(test)] mod tests {`, which ends the files that have it.
fn without_tests(text: &str) -> String {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or_default()).fold(String::new(), |mut code, line| {
            code.push_str(line);
            code.push('\n');
            code
        });
    let end = code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len());
    code[..end].to_owned()
}

/// Every path that begins with `crate` or `super`, or with a child of the module; only those of `pub use` when asked.
fn paths(text: &str, module: &Module, names: &BTreeSet<Module>, only_reexports: bool) -> Vec<Module> {
    let mut found = Vec::new();
    for statement in uses(text) {
        let is_public = statement.starts_with("pub");
        let Some((_, tree)) = statement.split_once("use ") else { continue };
        if is_public || !only_reexports {
            found.extend(leaves(tree).into_iter().filter_map(|path| absolute(&path, module, names)));
        }
    }
    if !only_reexports {
        for start in ["crate::", "super::"] {
            for (at, _) in text.match_indices(start) {
                let path: String =
                    text[at..].chars().take_while(|&c| c.is_alphanumeric() || c == '_' || c == ':').collect();
                let path: Module = path.trim_end_matches(':').split("::").map(str::to_owned).collect();
                found.extend(absolute(&path, module, names));
            }
        }
    }
    found
}

/// The `use` statements, `pub` included, without line breaks.
fn uses(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ") {
            let mut statement = line.to_owned();
            while !statement.contains(';') {
                let Some(more) = lines.next() else { break };
                statement.push_str(more);
            }
            statements.push(statement.split(';').next().unwrap_or_default().to_owned());
        }
    }
    statements
}

/// `a::{b, c::{self, d}}` is `a::b`, `a::c` and `a::c::d`.
fn leaves(tree: &str) -> Vec<Module> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        let parts =
            path.split("::").map(|part| part.trim().to_owned()).filter(|part| part != "self" && !part.is_empty());
        return vec![parts.collect()];
    };
    let inside = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, symbol) in inside.char_indices() {
        match symbol {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&inside[start..]);
    let items = items.into_iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| leaves(&format!("{prefix}{}", item.trim()))).collect()
}

/// A path below the crate; `None` for one into another crate.
fn absolute(path: &[String], module: &Module, names: &BTreeSet<Module>) -> Option<Module> {
    match path.first().map(String::as_str) {
        Some("crate") => Some(path[1..].to_vec()),
        Some("super") => {
            let up = path.iter().take_while(|part| *part == "super").count();
            let parent = module.len().checked_sub(up)?;
            Some(module[..parent].iter().chain(&path[up..]).cloned().collect())
        }
        Some(first) => {
            let child: Module = module.iter().cloned().chain([first.to_owned()]).collect();
            names.contains(&child).then(|| module.iter().chain(path).cloned().collect())
        }
        None => None,
    }
}

/// The file that a path leads to: that of its longest prefix which is a module, or where that module has what it re-exports from.
fn target(path: &Module, names: &BTreeSet<Module>, reexports: &BTreeMap<Module, Vec<Module>>) -> Option<Module> {
    let module = (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|prefix| names.contains(prefix))?;
    let name = path.get(module.len());
    let origin = name.and_then(|name| reexports[&module].iter().find(|origin| origin.last() == Some(name)));
    match origin {
        Some(origin) if origin != path => target(origin, names, reexports),
        _ => Some(module),
    }
}
