//! Stopping the server in the middle of a task.

use super::{quick_spec, server_with, submit, wait_for_end, wait_for_stage};
use crate::with_engine::engine;

#[tokio::test(flavor = "multi_thread")]
async fn the_running_task_is_given_back_and_the_job_goes_on_after_the_restart() {
    let mut server = server_with(engine()).await;
    let path = submit(&server.client(), "vgg-digits.pt", &quick_spec(20)).await;
    wait_for_stage(&server.client(), &path, "tune").await;
    server.restart().await;
    let client = server.client();
    let job = wait_for_end(&client, &path).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let failures: i64 = sqlx::query_scalar("select sum(failures)::int8 from task")
        .fetch_one(server.queue().database().pool())
        .await
        .unwrap();
    assert_eq!(failures, 0, "a task that is given back has not failed");
}
