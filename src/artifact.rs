//! Artifacts as users know them: which outputs of which stages a job offers, under which names.

use std::borrow::Cow;
use std::fmt::Write;

use secateur_core::stage::Stage;
use secateur_core::stage::export::{CONFIG, PRUNED_MODEL, TRITON};
use secateur_core::stage::import::GRAPH;
use secateur_core::stage::verify::REPORT;
use sqlx::PgPool;

use crate::blob::BlobKey;
use crate::database::DatabaseError;
use crate::digest::Sha256;
use crate::job::JobStatus;
use crate::report_page::REPORT_PAGE;
use crate::table::job::Job;
use crate::table::{artifact, task};

/// Where an artifact's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Blob(BlobKey),
    Text(String),
}

/// A file that a job offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArtifact {
    pub name: Cow<'static, str>,
    pub content_type: &'static str,
    pub sha256: Sha256,
    pub bytes: u64,
    pub content: Content,
}

/// What a job offers now. The pruned model, alone and in Triton's form, is offered once it was verified.
pub async fn of_job(pool: &PgPool, job: &Job) -> Result<Vec<PublicArtifact>, DatabaseError> {
    let mut offered: Vec<PublicArtifact> = artifact::list(pool, job.id)
        .await?
        .into_iter()
        .filter_map(|output| {
            let (name, content_type) = public_name(output.stage, &output.name)?;
            Some(PublicArtifact {
                name,
                content_type,
                sha256: output.sha256,
                bytes: output.bytes,
                content: Content::Blob(output.blob),
            })
        })
        .filter(|artifact| ![MODEL, TRITON].contains(&&*artifact.name) || job.status == JobStatus::Succeeded)
        .collect();
    let mut log = String::new();
    for (stage, index, text) in task::logs(pool, job.id).await? {
        let _ = writeln!(log, "== {} {index}\n{}", stage.as_str(), text.trim_end());
    }
    offered.push(PublicArtifact {
        name: "log.txt".into(),
        content_type: "text/plain; charset=utf-8",
        sha256: Sha256::of(log.as_bytes()),
        bytes: log.len() as u64,
        content: Content::Text(log),
    });
    Ok(offered)
}

pub const MODEL: &str = "model.pt";

/// The content type of a page.
pub const PAGE: &str = "text/html; charset=utf-8";

fn public_name(stage: Stage, name: &str) -> Option<(Cow<'static, str>, &'static str)> {
    match (stage, name) {
        (Stage::Export, PRUNED_MODEL) => Some((MODEL.into(), "application/octet-stream")),
        (Stage::Export, TRITON) => Some((TRITON.into(), "application/zip")),
        (Stage::Finalists, finalist) => Some((finalist.to_owned().into(), "application/octet-stream")),
        (Stage::Verify, REPORT) => Some((REPORT.into(), "application/json")),
        (Stage::Verify, REPORT_PAGE) => Some((REPORT_PAGE.into(), PAGE)),
        (Stage::Export, CONFIG) => Some(("config.json".into(), "application/json")),
        (Stage::Import, GRAPH) => Some(("graph.json".into(), "application/json")),
        _ => None,
    }
}
