//! Who may call, what they may do, and what of others they see: nothing.

mod browser;
mod guard;
mod keys;
mod quotas;
mod routes;
mod sessions;
mod tenants;

use reqwest::StatusCode;
use secateur::access::Scope;
use serde_json::{Value, json};

use crate::harness::{Client, TestServer};

/// Something of every kind that a tenant can have.
struct Belongings {
    client: Client,
    job: String,
    model: String,
    dataset: String,
    upload: String,
    key: String,
    webhook_secret: String,
}

impl Belongings {
    async fn of(server: &TestServer, tenant: &str) -> Self {
        let (key, secret) = server.make_key(tenant, Scope::Admin).await;
        let client = server.client().with_key(&secret);
        let (model, dataset) = (client.upload_model().await, client.upload_dataset().await);
        let upload = crate::routes::uploads::begin(&client).await;
        let secret = client.post("/v1/webhook-secrets").await.expect(StatusCode::CREATED);
        let webhook_secret = secret["id"].as_str().unwrap().to_owned();
        let job = submit(&client, &model).await;
        Self { job, client, model, dataset, upload, key: key.to_string(), webhook_secret }
    }
}

async fn submit(client: &Client, model: &str) -> String {
    let spec = json!({"model_id": model, "target": {"flops_reduction": 0.5}, "method": "global_l2"});
    let job = client.post_json("/v1/jobs", &spec).await.expect(StatusCode::ACCEPTED);
    job["id"].as_str().unwrap().to_owned()
}

async fn list(client: &Client, path: &str) -> Vec<Value> {
    client.get(path).await.expect(StatusCode::OK)["items"].as_array().unwrap().clone()
}

async fn ids(client: &Client, path: &str) -> Vec<String> {
    list(client, path).await.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}
