//! Requests and what is expected of every answer.

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

use super::{contract, example, pictures_part};

/// Talks to one server, with or without a key.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Option<String>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(base: String) -> Self {
        Self { http: reqwest::Client::new(), base, key: None }
    }

    /// The same server with a key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// Host and port of the server.
    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Answer {
        send(json_body(self.request(Method::POST, path), body)).await
    }

    pub(crate) async fn post_form(&self, path: &str, form: Form) -> Answer {
        send(self.request(Method::POST, path).multipart(form)).await
    }

    /// Uploads a body as it is.
    pub(crate) async fn upload(&self, path: &str, body: Vec<u8>) -> Answer {
        send(self.request(Method::POST, path).header(CONTENT_TYPE, "application/octet-stream").body(body)).await
    }

    /// Uploads an example model and returns its id.
    pub(crate) async fn upload_model(&self) -> String {
        let body = std::fs::read(example("vgg-digits.pt")).unwrap();
        self.upload("/v1/models?name=vgg", body).await.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned()
    }

    /// Uploads any example model, with a query, and returns what is shown of it.
    pub(crate) async fn upload_example(&self, query: &str, model: &str) -> Value {
        let body = std::fs::read(example(model)).unwrap();
        self.upload(&format!("/v1/models{query}"), body).await.expect(StatusCode::CREATED)
    }

    /// A model once its inspection has ended.
    pub(crate) async fn inspected(&self, model: &Value) -> Value {
        let path = format!("/v1/models/{}?wait=60", model["id"].as_str().unwrap());
        self.get(&path).await.expect(StatusCode::OK)
    }

    pub(crate) async fn upload_dataset(&self) -> String {
        let body = std::fs::read(example("digits.npz")).unwrap();
        let dataset = self.upload("/v1/datasets?name=digits", body).await.expect(StatusCode::CREATED);
        dataset["id"].as_str().unwrap().to_owned()
    }

    /// Submits a job with `sacp` on the example model and the digits, with what `change` changes, and returns its id.
    pub(crate) async fn submit_sacp(&self, change: Value) -> String {
        let mut spec = serde_json::json!({"target": {"flops_reduction": 0.5}});
        let fields = change.as_object().expect("the change is an object").clone();
        spec.as_object_mut().expect("a spec is an object").extend(fields);
        self.submit_form(form(&spec).part("dataset", file_part("digits.npz"))).await
    }

    /// Submits a job on the example model and pictures that have to be prepared, with what `change` changes, and returns its id.
    pub(crate) async fn submit_pictures(&self, change: Value) -> String {
        let mut spec = serde_json::json!({"target": {"flops_reduction": 0.5}, "method": "uniform", "fine_tune": null});
        let fields = change.as_object().expect("the change is an object").clone();
        spec.as_object_mut().expect("a spec is an object").extend(fields);
        self.submit_form(form(&spec).part("dataset", pictures_part())).await
    }

    /// Submits a job on the example model without data and returns its id.
    pub(crate) async fn submit(&self) -> String {
        self.submit_form(form(&serde_json::json!({"target": {"flops_reduction": 0.5}, "method": "global_l2"}))).await
    }

    /// The same with what `change` changes.
    pub(crate) async fn submit_with(&self, change: Value) -> String {
        let mut spec = serde_json::json!({"target": {"flops_reduction": 0.5}, "method": "global_l2"});
        let fields = change.as_object().expect("the change is an object").clone();
        spec.as_object_mut().expect("a spec is an object").extend(fields);
        self.submit_form(form(&spec)).await
    }

    /// Submits a job on the example model without data that waits for this judge before its export, and returns its id. Its finalists
    /// are the candidates 1 and 0.
    pub(crate) async fn submit_judged(&self, judge: Value) -> String {
        let spec = serde_json::json!({"target": {"flops_reduction": 0.5}, "method": "global_l2", "judge": judge});
        self.submit_form(form(&spec)).await
    }

    /// Submits a job on the example model without data that has this webhook, and returns its id.
    pub(crate) async fn submit_hooked(&self, webhook: Value) -> String {
        let spec = serde_json::json!({"target": {"flops_reduction": 0.5}, "method": "global_l2", "webhook": webhook});
        self.submit_form(form(&spec)).await
    }

    /// With the model in the form, so that no inspection is queued beside the job.
    async fn submit_form(&self, form: Form) -> String {
        let job = self.post_form("/v1/jobs", form).await.expect(StatusCode::ACCEPTED);
        job["id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn json_body(request: RequestBuilder, body: &Value) -> RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}

/// Sends a request and reads its answer, which must be one that the OpenAPI document has.
pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let (http, request) = request.build_split();
    let request = request.expect("the request is one");
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = http.execute(request).await.expect("the server answers");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.expect("the answer is whole").to_vec();
    let answer = Answer { status, headers, body };
    contract::check(&method, &path, &answer);
    answer
}

/// A form with an example model and a spec.
pub(crate) fn form(spec: &Value) -> Form {
    Form::new().part("model", file_part("vgg-digits.pt")).text("spec", spec.to_string())
}

pub(crate) fn file_part(name: &str) -> Part {
    Part::bytes(std::fs::read(example(name)).unwrap()).file_name(name.to_owned())
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(&self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The problem document of an answer, which must be one in every respect.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(StatusCode::from_u16(status).unwrap());
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert!(!self.header("x-request-id").is_empty());
        problem
    }
}
