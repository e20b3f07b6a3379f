//! The contract: every answer that a test gets is held against the OpenAPI document of the server.
//!
//! An answer belongs to an operation by its method and path, and the operation must have its status, its media type and, for JSON, a schema
//! that it fits. What is asked of no operation may only be refused, with a problem document.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::Answer;

const PROBLEM: &str = "application/problem+json";

static CONTRACT: LazyLock<Contract> = LazyLock::new(Contract::of_the_code);

struct Contract {
    document: Value,
    /// By the schema's own text.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// Fails unless the document has this answer to this request.
#[track_caller]
pub(super) fn check(method: &Method, path: &str, answer: &Answer) {
    if let Err(breach) = CONTRACT.check(method, path, answer) {
        let body = String::from_utf8_lossy(&answer.body);
        panic!("{method} {path} was answered with {}, and {breach}\n{body}", answer.status);
    }
}

impl Contract {
    fn of_the_code() -> Self {
        let document = serde_json::to_value(secateur::http::openapi_document()).expect("the document is JSON");
        Self { document, validators: Mutex::default() }
    }

    fn check(&self, method: &Method, path: &str, answer: &Answer) -> Result<(), String> {
        let Some(operation) = self.operation(method, path) else {
            let is_refused = answer.status.is_client_error() || answer.status.is_server_error();
            return match is_refused {
                true => self.check_body(answer, &Self::problem()),
                false => Err("the document has no such operation".to_owned()),
            };
        };
        let status = answer.status.as_str();
        let responses = &operation["responses"];
        let response = responses.get(status).or_else(|| responses.get(format!("{}XX", &status[..1])));
        let response = response.ok_or_else(|| format!("the document has only {:?}", keys(responses)))?;
        // An answer to HEAD says what GET would send, without sending it.
        if *method == Method::HEAD {
            return Ok(());
        }
        match response.get("content") {
            Some(content) => self.check_body(answer, content),
            None if answer.body.is_empty() => Ok(()),
            None => Err("the document has no body for it".to_owned()),
        }
    }

    /// The operation of a request: of several paths that fit the one with the fewest parameters.
    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let paths = self.document["paths"].as_object().expect("the document has paths");
        let fitting = paths.iter().filter(|(template, _)| fits(template, path));
        let (_, item) = fitting.min_by_key(|(template, _)| template.matches('{').count())?;
        // HEAD is answered wherever GET is.
        let fallback = (*method == Method::HEAD).then(|| item.get("get")).flatten();
        item.get(method.as_str().to_lowercase()).or(fallback)
    }

    /// `content` of a refusal.
    fn problem() -> Value {
        serde_json::json!({PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}})
    }

    fn check_body(&self, answer: &Answer, content: &Value) -> Result<(), String> {
        let media_type = answer.header(CONTENT_TYPE.as_str()).split(';').next().unwrap_or_default().trim();
        let Some(described) = content.get(media_type) else {
            return Err(format!("the document has it as {:?} and not as `{media_type}`", keys(content)));
        };
        let schema = described.get("schema").unwrap_or(&Value::Null);
        // A schema that allows everything is that of files, of which a part need not be JSON.
        if !media_type.ends_with("json") || keys(schema).is_empty() {
            return Ok(());
        }
        let body: Value =
            serde_json::from_slice(&answer.body).map_err(|error| format!("its body is not JSON: {error}"))?;
        let errors: Vec<String> = self
            .validator(schema)
            .iter_errors(&body)
            .map(|error| format!("{} at `{}` ({})", error, error.instance_path(), error.schema_path()))
            .collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("it does not fit its schema:\n{}", errors.join("\n"))) }
    }

    fn validator(&self, schema: &Value) -> Arc<Validator> {
        let mut validators = self.validators.lock().expect("nobody panics with the lock");
        let make = || {
            // References are to `#/components`, so the components stand beside the schema.
            let mut whole: Map<String, Value> = schema.as_object().expect("a schema is an object").clone();
            whole.insert("components".to_owned(), self.document["components"].clone());
            let options = jsonschema::draft202012::options().should_validate_formats(true);
            Arc::new(options.build(&Value::Object(whole)).expect("the document has valid schemas"))
        };
        validators.entry(schema.to_string()).or_insert_with(make).clone()
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    let fits = |(template, given): (&&str, &&str)| {
        template == given || (template.starts_with('{') && template.ends_with('}') && !given.is_empty())
    };
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// A check that lets everything pass would be worse than none.
#[test]
fn an_answer_that_the_document_does_not_have_is_found() {
    let answer = |status: u16, media_type: &str, body: &str| Answer {
        status: status.try_into().unwrap(),
        headers: [(CONTENT_TYPE, media_type.parse().unwrap())].into_iter().collect(),
        body: body.as_bytes().to_vec(),
    };
    let breach = |path: &str, answer: &Answer| CONTRACT.check(&Method::GET, path, answer).unwrap_err();
    let job = "/v1/jobs/job_0198c2f4000070008000000000000000";
    let page = answer(200, "application/json; charset=utf-8", r#"{"items": []}"#);
    assert_eq!(CONTRACT.check(&Method::GET, "/v1/jobs", &page), Ok(()));
    assert!(breach(job, &answer(200, "application/json", r#"{"id": 7}"#)).contains("does not fit its schema"));
    assert!(breach(job, &answer(200, "text/plain", "{}")).contains("not as `text/plain`"));
    assert!(breach(job, &answer(302, "text/plain", "")).contains("the document has only"));
    assert!(breach("/v1/gobs", &page).contains("no such operation"));
    let bare = answer(404, PROBLEM, r#"{"status": 404}"#);
    assert!(breach("/v1/gobs", &bare).contains("does not fit its schema"));
}
