//! Commands that cannot be carried out.

use super::{folder, secateur, stderr, stdout};
use crate::harness::example;

#[test]
fn wrong_usage_is_code_2_and_names_the_option() {
    for (arguments, word) in [
        (vec!["prune", "m.pt"], "--flops"),
        (vec!["prune", "m.pt", "--flops", "0.5", "--params", "0.5"], "--params"),
        (vec!["prune", "m.pt", "--flops", "much"], "much"),
        (vec!["inspect", "m.pt", "--input-shape", "3xx32"], "3,32,32"),
        (vec!["serve", "--listen", "nowhere"], "--listen"),
        (vec!["dance"], "dance"),
    ] {
        let output = secateur().args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(word), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_refused_spec_or_file_is_code_1_with_a_reason() {
    let model = example("vgg-digits.pt");
    let output = secateur().arg("prune").arg(&model).args(["--flops", "1.5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: ") && stderr(&output).contains("1.5"), "{}", stderr(&output));

    let folder = folder();
    let file = folder.path().join("x.pt");
    std::fs::write(&file, "hello").unwrap();
    let output = secateur().arg("inspect").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: "), "{}", stderr(&output));
}

#[test]
fn a_missing_engine_is_said_with_what_to_do() {
    let output = secateur()
        .arg("inspect")
        .arg(example("vgg-digits.pt"))
        .args(["--engine", "/nowhere/secateur-engine"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("/nowhere/secateur-engine") && said.contains("\nhint: "), "{said}");
}

#[test]
fn a_webhook_in_the_spec_of_a_job_without_a_server_is_ignored_with_a_warning() {
    let folder = folder();
    let spec = folder.path().join("spec.json");
    let json = r#"{"target": {"flops_reduction": 0.5}, "webhook": {"url": "https://ci.example/hook"}}"#;
    std::fs::write(&spec, json).unwrap();
    let output = secateur()
        .args(["prune", "--engine", "/nowhere/secateur-engine", "--spec"])
        .arg(&spec)
        .arg(example("vgg-digits.pt"))
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(said.starts_with("warning: `webhook` in the spec is for servers; nobody is told"), "{said}");
    assert!(said.contains("/nowhere/secateur-engine"), "the job goes on: {said}");
}

#[test]
fn a_worker_without_a_database_it_can_reach_ends_with_a_hint() {
    let folder = folder();
    let output = secateur()
        .arg("worker")
        .args(["--database-url", "postgres://nobody@127.0.0.1:1/none", "--engine", env!("CARGO_BIN_EXE_secateur")])
        .arg("--blobs")
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: is DATABASE_URL right"), "{}", stderr(&output));
}

#[test]
fn a_server_that_cannot_have_the_sandbox_that_it_requires_does_not_start() {
    let folder = folder();
    let output = secateur()
        .args(["serve", "--listen", "127.0.0.1:0", "--sandbox", "require"])
        // It starts, and has nothing to say about any sandbox.
        .args(["--engine", "/bin/true"])
        .arg("--data-dir")
        .arg(folder.path().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("the sandbox is required") && said.contains("\nhint: `--sandbox auto`"), "{said}");
}

#[test]
fn a_spec_with_a_judge_needs_a_command_that_judges() {
    let folder = folder();
    let spec = folder.path().join("spec.json");
    std::fs::write(&spec, r#"{"target": {"flops_reduction": 0.5}, "judge": {}}"#).unwrap();
    let output = secateur().arg("prune").arg(example("vgg-digits.pt")).arg("--spec").arg(&spec).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("`judge` in the spec waits for scores") && said.contains("hint: give --judge COMMAND"),
        "{said}"
    );
}
