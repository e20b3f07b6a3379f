use secateur_core::report::Report;
use time::macros::datetime;

use super::*;

fn origin() -> Origin {
    Origin { job: None, written_at: datetime!(2026-01-02 03:04:05.678 UTC) }
}

fn made_up(change: impl FnOnce(&mut serde_json::Value)) -> Report {
    let mut report = serde_json::to_value(Report::sample()).unwrap();
    change(&mut report);
    serde_json::from_value(report).unwrap()
}

#[test]
fn a_report_without_data_is_whole() {
    let page = page(&Report::sample(), &origin());
    for text in ["50.0\u{a0}%", "2026-01-02T03:04:05Z", "How good it still is was not measured", "How to do it again"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    assert!(!page.contains("<script"), "{page}");
    assert!(page.contains(r#"http-equiv="Content-Security-Policy" content="default-src 'none'"#), "{page}");
}

#[test]
fn texts_of_strangers_are_no_markup() {
    let hostile = "<script>alert(1)</script>\u{202e}";
    let report = made_up(|report| {
        report["spec"]["name"] = hostile.into();
        report["spec"]["labels"] = serde_json::json!({"team": hostile});
        report["warnings"] = serde_json::json!([hostile]);
        report["model_sha256"] = hostile.into();
        report["versions"] = serde_json::json!({hostile: hostile});
        report["base"]["latency_ms"]["device"] = hostile.into();
        report["pruned"]["latency_ms"]["device"] = hostile.into();
        report["layers"] = serde_json::json!([{
            "layer": hostile, "type": hostile, "channels_before": 4, "channels_after": 2, "macs_before": 8, "macs_after": 2
        }]);
        report["export"] = serde_json::json!({
            "kind": "patched", "lost": [hostile], "methods": [{"name": hostile, "called": true, "problem": hostile}],
            "edits": [{"module": hostile, "operator": hostile, "argument": hostile, "before": hostile, "after": hostile}]
        });
        report["sandbox"] = serde_json::json!({"mode": "auto", "layers": [hostile], "missing": [hostile]});
    });
    let page = page(&report, &origin());
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains('\u{202e}'));
    assert!(page.matches("&lt;script&gt;").count() >= 12, "{page}");
}

#[test]
fn candidates_and_epochs_are_drawn() {
    let candidate = |index: usize, origin: &str, macs: u64, accuracy: f64| {
        serde_json::json!({"index": index, "origin": origin, "macs": macs, "params": 10, "reduction": 0.5, "screened_accuracy": 0.5,
            "tuned_accuracy": accuracy})
    };
    let report = made_up(|report| {
        report["candidates"] =
            serde_json::json!([candidate(0, "uniform", 100, 0.9), candidate(1, "sensitivity", 90, 0.95)]);
        report["metric"] = serde_json::json!({
            "name": "accuracy", "higher_is_better": true, "base": {"val": 0.97, "test": 0.96}, "pruned": {"val": 0.95, "test": 0.94}
        });
        let epoch = |epoch: u32| serde_json::json!({"epoch": epoch, "train_loss": 1.0 / f64::from(epoch), "val_accuracy": 0.9, "seconds": 1.0});
        report["epochs"] = serde_json::json!([epoch(1), epoch(2), epoch(3)]);
        report["best_epoch"] = 2.into();
        report["recipe"] = serde_json::json!({
            "optimizer": "adamw", "lr": 5e-4, "batch_norm": "frozen", "precision": "float32", "micro_batch": 16
        });
    });
    let page = page(&report, &origin());
    assert!(
        page.contains("Candidate 1, search by sensitivity: 90.0 MACs (−50.0\u{a0}%), 95.00\u{a0}% fully trained"),
        "{page}"
    );
    // The uniform one has the result's costs and origin.
    assert_eq!(page.matches("winner\"").count(), 1, "{page}");
    assert_eq!(page.matches("<polyline").count(), 2);
    assert!(page.contains("after epoch 2 were the best"), "{page}");
    assert!(page.contains("It ran with AdamW at a learning rate of 0.0005, with batch norm frozen."), "{page}");
    assert!(page.contains("its accuracy went from 96.00\u{a0}% to <strong>94.00\u{a0}%"), "{page}");
}

/// An engine may send any number that is one in JSON.
#[test]
fn no_number_breaks_the_page() {
    for odd in [0.0, -1.0, 1e308, -1e308, 5e-324] {
        let report = made_up(|report| {
            for network in ["base", "pruned"] {
                report[network]["macs"] = 0.into();
                report[network]["latency_ms"]["p50"] = odd.into();
            }
            report["candidates"] = serde_json::json!([
                {"index": 0, "origin": "uniform", "macs": 0, "params": 0, "reduction": odd, "screened_accuracy": odd},
                {"index": 1, "origin": "uniform", "macs": u64::MAX, "params": 0, "reduction": odd, "screened_accuracy": -odd},
            ]);
            report["times"] = serde_json::json!({"import": {"waiting": odd, "setting_up": odd, "computing": odd}});
            report["seconds"] = serde_json::json!({"import": odd});
        });
        assert!(page(&report, &origin()).ends_with("</html>"));
    }
}
