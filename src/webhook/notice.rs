//! The document that a webhook is sent: what happened to which job, and no more than fits into a message.

use std::collections::BTreeMap;

use secateur_core::spec::WebhookEvent;
use serde::Serialize;
use time::OffsetDateTime;

use crate::id::JobId;
use crate::job::{Event, JobError, JobResult, JobStatus};
use crate::table::job::Job;

/// A message, in the shape that Standard Webhooks recommends.
#[derive(Debug, Serialize)]
pub struct Notice<'a> {
    /// `job.succeeded`, `job.failed`, `job.cancelled` or `job.judging`.
    #[serde(rename = "type")]
    kind: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    timestamp: OffsetDateTime,
    data: JobNotice<'a>,
}

#[derive(Debug, Serialize)]
struct JobNotice<'a> {
    job_id: JobId,
    status: JobStatus,
    name: Option<&'a str>,
    labels: &'a BTreeMap<String, String>,
    /// Of a job that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a JobResult>,
    /// Of a job that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a JobError>,
    /// Of a job that waits for its judge.
    #[serde(skip_serializing_if = "Option::is_none")]
    judgement: Option<JudgementNotice<'a>>,
}

#[derive(Debug, Serialize)]
struct JudgementNotice<'a> {
    finalists: &'a [usize],
    #[serde(with = "time::serde::rfc3339")]
    deadline: OffsetDateTime,
    url: String,
}

impl<'a> Notice<'a> {
    /// What is told of a job that is as the event has left it.
    pub fn of(job: &'a Job, kind: WebhookEvent, event: &'a Event) -> Self {
        let judgement = match event {
            Event::JudgementAsked { finalists, deadline } => {
                let url = format!("/v1/jobs/{}/judgements", job.id);
                Some(JudgementNotice { finalists, deadline: *deadline, url })
            }
            _ => None,
        };
        Self {
            kind: format!("job.{}", kind.as_str()),
            timestamp: job.finished_at.unwrap_or_else(OffsetDateTime::now_utc),
            data: JobNotice {
                job_id: job.id,
                status: job.status,
                name: job.name.as_deref(),
                labels: &job.labels,
                result: job.result.as_ref(),
                error: job.error.as_ref(),
                judgement,
            },
        }
    }

    /// As it is signed and sent.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("our own types have string keys and serialise without errors")
    }
}
