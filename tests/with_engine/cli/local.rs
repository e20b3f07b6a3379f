//! `secateur prune` and `secateur inspect`: one job here and now, with the real engine.

use secateur_core::archive::preflight;
use serde_json::Value;

use super::secateur_with_engine;
use crate::cli::{copy_example, folder, stderr, stdout};
use crate::harness::example;

#[test]
fn prune_writes_model_and_report_and_prints_before_and_after() {
    let folder = folder();
    let (output_file, report_file) = (folder.path().join("out.pt"), folder.path().join("report.json"));
    let (page_file, triton_file) = (folder.path().join("report.html"), folder.path().join("triton.zip"));
    let output = secateur_with_engine()
        .arg("prune")
        .arg(example("vgg-digits.pt"))
        .args(["--flops", "0.5", "--method", "uniform", "--epochs", "1", "--mean", "4.9", "--std", "6.0"])
        // It would have to get better by more than there is.
        .args(["--max-drop", "-100"])
        .arg("--data")
        .arg(example("digits.npz"))
        .arg("-o")
        .arg(&output_file)
        .arg("--report")
        .arg(&report_file)
        .arg("--report-html")
        .arg(&page_file)
        .arg("--triton")
        .arg(&triton_file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    preflight(&output_file).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&report_file).unwrap()).unwrap();
    assert_eq!(report["pruned"]["bytes"], std::fs::metadata(&output_file).unwrap().len());
    assert_eq!((&report["winner"], &report["spec"]["fine_tune"]["epochs"]), (&"uniform".into(), &1.into()));
    let table = stdout(&output);
    assert!(table.contains("MACs") && table.contains("test accuracy"), "{table}");
    assert!(std::fs::read_to_string(&page_file).unwrap().contains("What was proved"));
    assert!(std::fs::metadata(&triton_file).unwrap().len() > std::fs::metadata(&output_file).unwrap().len());
    assert_eq!(report["spec"]["triton"]["name"], "model");
    assert!(table.contains("training: 1.0 epochs, as long as 0.5 of the original\n"), "{table}");
    assert!(stderr(&output).contains("tune: done"), "{}", stderr(&output));
}

#[test]
fn options_go_before_the_spec_file_and_the_output_has_a_usual_name() {
    let folder = folder();
    let model = copy_example("vgg-digits.pt", folder.path());
    let report = folder.path().join("report.json");
    let output = secateur_with_engine()
        .arg("prune")
        .arg(&model)
        .args(["--params", "0.3", "--no-fine-tune", "--input-shape", "1,8,8", "--seed", "7", "--preset", "quick"])
        .arg("--spec")
        .arg(example("spec-vgg.json"))
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.path().join("vgg-digits-pruned.pt").is_file());
    let report: Value = serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
    assert_eq!(report["spec"]["target"]["params_reduction"], 0.3);
    assert_eq!((&report["spec"]["name"], &report["seed"]), (&"vgg-digits".into(), &7.into()));
    assert_eq!(report["spec"]["fine_tune"], Value::Null);
    assert_eq!(report["spec"]["search"]["top_m"], 24, "the preset's");
}

/// How fast the layers are is the machine's business, and on a busy one no configuration may lie within a point of the
/// target. Both ends are right then; what must hold in each is asserted, and nothing of it is a measured time.
#[test]
fn prune_measures_a_table_for_a_latency_target_and_meets_it_or_says_what_is_near() {
    let folder = folder();
    let (output_file, report_file) = (folder.path().join("out.pt"), folder.path().join("report.json"));
    let output = secateur_with_engine()
        .arg("prune")
        .arg(example("vgg-digits.pt"))
        .args(["--latency", "0.2", "--threads", "1", "--method", "uniform", "--no-fine-tune", "--input-shape", "1,8,8"])
        .arg("-o")
        .arg(&output_file)
        .arg("--report")
        .arg(&report_file)
        .output()
        .unwrap();
    if output.status.success() {
        let report: Value = serde_json::from_slice(&std::fs::read(&report_file).unwrap()).unwrap();
        assert_eq!(report["spec"]["target"]["latency_reduction"], 0.2);
        assert!((report["latency"]["predicted_reduction"].as_f64().unwrap() - 0.2).abs() < 0.0101, "{report}");
        assert!(report["latency"]["measured_reduction"].is_f64() && report["latency"]["batch"] == 1);
        assert_eq!(report["latency"]["threads"], 1);
        assert!(stderr(&output).contains("latency: done"), "{}", stderr(&output));
        preflight(&output_file).unwrap();
    } else {
        let said = stderr(&output);
        let refused = [("error: target_unreachable: ", 3), ("error: worker_too_noisy: ", 1)];
        let refused = refused.iter().find(|(code, _)| said.contains(code)).map(|(_, exit)| *exit);
        assert_eq!((refused.is_some(), output.status.code()), (true, refused), "{said}");
        assert!(said.contains("`target.latency_reduction`"), "{said}");
        assert!(!output_file.exists() && !report_file.exists(), "a job that fails writes nothing");
    }
}

#[test]
fn a_job_that_misses_its_target_is_code_3_and_writes_nothing() {
    let folder = folder();
    let model = copy_example("vgg-digits.pt", folder.path());
    let output = secateur_with_engine()
        .arg("prune")
        .arg(&model)
        .args(["--flops", "0.999", "--no-fine-tune", "--input-shape", "1,8,8"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: target_unreachable: "), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the model is there");
}

/// Prunes with a judge and returns the report and what was said.
fn judged_by(command: &str, timeout_s: u32) -> (Value, String) {
    let folder = folder();
    let model = copy_example("vgg-digits.pt", folder.path());
    let (spec, report) = (folder.path().join("spec.json"), folder.path().join("report.json"));
    std::fs::write(&spec, serde_json::json!({"judge": {"timeout_s": timeout_s, "name": "bytes"}}).to_string()).unwrap();
    let output = secateur_with_engine()
        .arg("prune")
        .arg(&model)
        .args(["--flops", "0.5", "--method", "uniform", "--no-fine-tune", "--input-shape", "1,8,8"])
        .args(["--judge", command])
        .arg("--spec")
        .arg(&spec)
        .arg("--report")
        .arg(&report)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(folder.path().join("vgg-digits-pruned.pt").is_file());
    (serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap(), stderr(&output))
}

#[test]
fn a_command_judges_the_file_of_every_finalist() {
    let (report, said) = judged_by("echo loading; stat -c %s", 600);
    let judge = &report["judge"];
    assert_eq!((&judge["name"], &judge["decided_by"]), (&"bytes".into(), &"judge".into()));
    let score = serde_json::json!([{"candidate": 0, "score": report["pruned"]["bytes"].as_f64().unwrap()}]);
    assert_eq!(judge["scores"], score, "the last line that was printed");
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_command_that_gives_no_score_in_time_leaves_the_choice_to_our_own_metric_and_says_why() {
    for (command, timeout, reason) in [
        ("false", 600, "For finalist 0 the command ended with exit status: 1"),
        ("echo nan; true", 600, "For finalist 0 the command printed `nan`, not a finite number"),
        ("true", 600, "For finalist 0 the command printed nothing"),
        ("sleep 600; true", 1, "The judge had 1 s, and 0 of 1 finalists had a score"),
    ] {
        let (report, said) = judged_by(command, timeout);
        assert_eq!(
            (&report["judge"]["decided_by"], &report["judge"]["scores"]),
            (&"metric".into(), &serde_json::json!([]))
        );
        let told = report["judge"]["reason"].as_str().unwrap();
        assert!(told.starts_with(reason), "{told}");
        assert!(
            said.contains("warning: the job's own metric chose the network, not the judge.") && said.contains(told),
            "{said}"
        );
        assert!(report["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(told)));
    }
}

#[test]
fn inspect_prints_layers_and_totals_or_the_summary_itself() {
    let model = example("resnet20-digits.pt");
    let output = secateur_with_engine().arg("inspect").arg(&model).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let table = stdout(&output);
    for word in ["layer", "conv", "MACs", "total", "reachable", "prunable channels", "configurations", "cut together"] {
        assert!(table.contains(word), "{word} is missing:\n{table}");
    }
    let json = secateur_with_engine().arg("inspect").arg(&model).arg("--json").output().unwrap();
    let summary: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(summary["base"]["macs"].as_u64().unwrap() > 1_000_000);
    assert!(summary["reachable"]["flops_reduction"].as_f64().unwrap() > 0.5);
    assert!(summary["log10_space"].as_f64().unwrap() > 10.0);
    assert_eq!(summary["obstacles"], serde_json::json!([]));
}
