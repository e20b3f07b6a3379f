//! `GET /v1/jobs/{id}/events`

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{Hand, TestServer, send};

/// The `id:` and `event:` lines of a whole stream.
fn read_stream(body: &[u8]) -> Vec<(i64, String)> {
    let text = std::str::from_utf8(body).unwrap();
    let field = |block: &str, name: &str| {
        block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    text.split("\n\n")
        .filter_map(|block| Some((field(block, "id:")?.parse().unwrap(), field(block, "event:")?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_tell_the_whole_story_in_order() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    Hand::of(&server).finish_all().await;
    let mut story: Vec<Value> = Vec::new();
    loop {
        let after = story.last().map_or(0, |event| event["id"].as_i64().unwrap());
        let page = client.get(&format!("/v1/jobs/{id}/events?limit=3&after={after}")).await.expect(StatusCode::OK);
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            assert_eq!(page["next"], after);
            break;
        }
        assert_eq!(page["next"], items.last().unwrap()["id"]);
        story.extend(items.clone());
    }
    let ids: Vec<i64> = story.iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=story.len() as i64).collect::<Vec<_>>());
    let kinds: Vec<&str> = story.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..3], ["queued", "running", "stage"]);
    assert_eq!(kinds.last(), Some(&"succeeded"));
    let stages: Vec<&str> = story
        .iter()
        .filter(|event| event["type"] == "stage")
        .map(|event| event["data"]["stage"].as_str().unwrap())
        .collect();
    assert_eq!(stages, ["import", "graph", "search", "screen", "export", "verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_follows_the_job_to_its_end_and_resumes_where_it_was() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let stream = |last: Option<&'static str>| {
        let mut request = client.request(Method::GET, &format!("/v1/jobs/{id}/events"));
        request = request.header("accept", "text/event-stream");
        send(match last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        })
    };
    let following = tokio::spawn(stream(None));
    Hand::of(&server).finish_all().await;
    let answer = following.await.unwrap();
    assert!(answer.header("content-type").starts_with("text/event-stream"));
    let whole = read_stream(&answer.body);
    assert_eq!(whole.first().unwrap(), &(1, "queued".to_owned()));
    assert_eq!(whole.last().unwrap().1, "succeeded");

    let resumed = read_stream(&stream(Some("4")).await.body);
    assert_eq!(resumed, whole[4..]);
    let nothing_left = stream(Some("9999")).await;
    assert!(read_stream(&nothing_left.body).is_empty());
}

/// Behind the events that the server keeps in memory for those who follow.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_follow_get_every_event_once_wherever_they_begin() {
    const MANY: i64 = 450;
    let server = TestServer::start().await;
    let client = server.client();
    let id = client.submit().await;
    let follow = |after: i64| {
        let request = client.request(Method::GET, &format!("/v1/jobs/{id}/events?after={after}"));
        tokio::spawn(send(request.header("accept", "text/event-stream")))
    };
    let append = |first: i64, last: i64| {
        let text = format!(
            "with new as (
                 insert into event (job_id, seq, type, data)
                 select id, seq, 'task_retried', '{{\"stage\": \"import\", \"index\": 0, \"reason\": \"x\"}}'
                 from job, generate_series({first}, {last}) as seq returning seq
             )
             update job set last_event = (select max(seq) from new) returning pg_notify('secateur_job', id::text)"
        );
        async { sqlx::query(sqlx::AssertSqlSafe(text)).execute(server.pool()).await.unwrap() }
    };
    let known: i64 = sqlx::query_scalar("select last_event from job").fetch_one(server.pool()).await.unwrap();
    let mut following = vec![(0, follow(0)), (0, follow(0))];
    tokio::time::sleep(Duration::from_millis(300)).await;
    append(known + 1, MANY).await;
    following.extend([0, 10, MANY - 1, MANY + 7].map(|after| (after, follow(after))));
    tokio::time::sleep(Duration::from_millis(300)).await;
    append(MANY + 1, MANY + 20).await;
    client.post(&format!("/v1/jobs/{id}/cancel")).await.expect(StatusCode::OK);
    for (after, stream) in following {
        let events = read_stream(&stream.await.unwrap().body);
        let ids: Vec<i64> = events.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, (after + 1..=MANY + 21).collect::<Vec<_>>(), "after {after}");
        assert_eq!(events.last().unwrap().1, "cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_cursors_are_named() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/events", client.submit().await);
    client.get(&format!("{path}?after=x")).await.problem(400, "invalid_parameter");
    client.get(&format!("{path}?limit=0")).await.problem(400, "invalid_parameter");
    let request = client.request(Method::GET, &path).header("accept", "text/event-stream").header("last-event-id", "x");
    send(request).await.problem(400, "invalid_parameter");
}
