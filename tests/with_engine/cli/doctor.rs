//! `secateur doctor` with an engine.

use serde_json::Value;

use super::secateur_with_engine;
use crate::cli::{folder, stdout};

#[test]
fn the_engine_says_its_libtorch_its_device_and_what_confines_it() {
    let folder = folder();
    let mut doctor = secateur_with_engine();
    doctor
        .args(["doctor", "--json", "--reserve-bytes", "0", "--device", "cpu", "--data-dir"])
        .arg(folder.path().join("data"));
    let output = doctor.output().unwrap();
    let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let finding = |about: &str| {
        let findings = report["findings"].as_array().unwrap();
        findings.iter().find(|finding| finding["about"] == about).unwrap_or_else(|| panic!("{about}: {report:#}"))
    };
    assert_eq!(finding("libtorch")["verdict"], "ok", "{report:#}");
    let says = finding("libtorch")["says"].as_str().unwrap();
    assert!(says.contains("libtorch 2.") && says.contains("computes on cpu"), "{says}");
    assert!(finding("sandbox")["says"].as_str().unwrap().contains("seccomp"), "{report:#}");
    assert_eq!(finding("engine")["verdict"], "ok");
}
