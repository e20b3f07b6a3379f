//! `secateur doctor`

use clap::Args;
use serde::Serialize;

use super::CliError;
use super::engine::EngineOptions;
use super::serve::StorageOptions;
use crate::doctor::{Finding, Installation, Verdict, examine};

/// The same as those of `secateur serve`, which they stand for.
#[derive(Debug, Args)]
pub(super) struct DoctorArguments {
    #[command(flatten)]
    storage: StorageOptions,
    /// `s3://bucket/prefix` for blobs [default: a folder in the data folder]
    #[arg(long, env = "SECATEUR_BLOBS", value_name = "URL")]
    blobs: Option<String>,
    /// What `serve` keeps free on the disk
    #[arg(long, env = "SECATEUR_RESERVE_BYTES", value_name = "BYTES", default_value_t = 256 << 20)]
    reserve_bytes: u64,
    /// Tasks of jobs that the server runs at once; with 0 no engine is looked for
    #[arg(long, env = "SECATEUR_SLOTS", value_name = "N", default_value_t = 1)]
    slots: usize,
    #[command(flatten)]
    engine: EngineOptions,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    findings: &'a [Finding],
}

pub(super) async fn doctor(arguments: DoctorArguments) -> Result<(), CliError> {
    let DoctorArguments { storage, blobs, reserve_bytes, slots, engine, json } = arguments;
    let findings = examine(&Installation {
        database_url: storage.database_url(),
        data_folder: storage.data_dir,
        blobs_url: blobs.filter(|url| !url.is_empty()),
        reserve_bytes,
        slots,
        engine: (slots > 0).then(|| engine.look_for()),
        device: engine.device(),
    })
    .await;
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok);
    match json {
        true => {
            let report = Report { verdict, findings: &findings };
            super::print(&serde_json::to_string_pretty(&report).expect("findings are texts"));
        }
        false => super::print(&lines(&findings)),
    }
    match findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count() {
        0 => Ok(()),
        1 => Err(CliError::new("there is a problem")),
        problems => Err(CliError::new(format!("there are {problems} problems"))),
    }
}

/// A line for each finding, with what to do below it.
fn lines(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.about.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
        };
        text += &format!("{verdict:<7}  {:<width$}  {}\n", finding.about, finding.says);
        if let Some(hint) = &finding.hint {
            text += &format!("         {:<width$}  -> {hint}\n", "");
        }
    }
    text
}
