//! `GET` and `POST /v1/jobs/{id}/judgements`

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use secateur::access::Scope;
use secateur::digest::Sha256;
use secateur_core::stage::Work;
use secateur_core::stage::export::ExportWork;
use serde_json::{Value, json};

use crate::harness::{Client, Hand, TestServer, send};

/// A job that waits for a judge, with the path of its judgements.
async fn asked(server: &TestServer, judge: Value) -> (Client, Hand, String) {
    let client = server.client();
    let id = client.submit_judged(judge).await;
    let hand = Hand::of(server);
    hand.finish_all().await;
    (client, hand, format!("/v1/jobs/{id}/judgements"))
}

async fn score(client: &Client, path: &str, candidate: usize, score: f64) -> Value {
    client.post_json(path, &json!({"candidate": candidate, "score": score})).await.expect(StatusCode::OK)
}

async fn job_of(client: &Client, path: &str) -> Value {
    client.get(path.trim_end_matches("/judgements")).await.expect(StatusCode::OK)
}

/// The events of a kind, in order.
async fn events(client: &Client, path: &str, kind: &str) -> Vec<Value> {
    let path = path.replace("judgements", "events?limit=200");
    let page = client.get(&path).await.expect(StatusCode::OK);
    let items = page["items"].as_array().unwrap().iter().filter(|event| event["type"] == kind);
    items.map(|event| event["data"].clone()).collect()
}

/// Puts the deadline of every judgement into the past.
async fn let_the_time_pass(server: &TestServer) {
    let query = "update task set deadline = clock_timestamp() - interval '1 second' where state = 'waiting'";
    assert_eq!(sqlx::query(query).execute(server.pool()).await.unwrap().rows_affected(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_finds_every_finalist_with_its_file_and_the_job_waits_in_no_workers_hands() {
    let server = TestServer::start().await;
    let (client, hand, path) = asked(&server, json!({"name": "mAP", "timeout_s": 600})).await;
    assert!(hand.try_claim().await.is_none(), "no worker has anything to do");
    let judgements = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&judgements["state"], &judgements["name"]), (&"open".into(), &"mAP".into()));
    assert_eq!((&judgements["higher_is_better"], &judgements["winner"]), (&true.into(), &Value::Null));
    let finalists = judgements["finalists"].as_array().unwrap();
    let seen: Vec<_> = finalists.iter().map(|finalist| (&finalist["candidate"], &finalist["val_accuracy"])).collect();
    assert_eq!(seen, [(&json!(1), &json!(0.6)), (&json!(0), &json!(0.5))], "the best by our own metric first");
    for finalist in finalists {
        assert_eq!(
            (&finalist["macs"], &finalist["params"], &finalist["reduction"]),
            (&100.into(), &10.into(), &0.5.into())
        );
        assert_eq!(finalist["score"], Value::Null);
        let file = client.get(finalist["url"].as_str().unwrap()).await;
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(finalist["sha256"], Sha256::of(&file.body).to_string());
        assert_eq!(finalist["bytes"], file.body.len());
    }

    let job = job_of(&client, &path).await;
    assert_eq!((&job["status"], &job["stage"]), (&"running".into(), &"judge".into()));
    let progress = &job["progress"]["judge"];
    assert_eq!((&progress["done"], &progress["total"], &progress["unit"]), (&0.into(), &2.into(), &"scores".into()));
    assert_eq!(progress["deadline"], judgements["deadline"]);
    assert_eq!(job["progress"]["finalists"].get("deadline"), None);
    let [asked] = &events(&client, &path, "judgement_asked").await[..] else { panic!("it is asked for once") };
    assert_eq!((&asked["finalists"], &asked["deadline"]), (&json!([1, 0]), &judgements["deadline"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judges_best_is_exported_and_everything_is_told() {
    let server = TestServer::start().await;
    let (client, hand, path) = asked(&server, json!({})).await;
    let half = score(&client, &path, 1, 0.1).await;
    assert_eq!((&half["state"], &half["finalists"][0]["score"]), (&"open".into(), &0.1.into()));
    assert_eq!(job_of(&client, &path).await["progress"]["judge"]["done"], 1);
    let decided = score(&client, &path, 0, 0.2).await;
    assert_eq!((&decided["state"], &decided["decided_by"]), (&"decided".into(), &"judge".into()));
    assert_eq!((&decided["winner"], &decided["reason"]), (&0.into(), &Value::Null));

    let export = hand.claim().await;
    assert_eq!(export.plan.work, Work::Export(ExportWork { candidate: 0, tuned: false, triton: false }));
    hand.finish(&export).await;
    let verify = hand.claim().await;
    let Work::Verify(work) = &verify.plan.work else { panic!("{verify:?}") };
    let judgement = serde_json::to_value(&work.history.judgement).unwrap();
    let scores = json!([{"candidate": 1, "score": 0.1}, {"candidate": 0, "score": 0.2}]);
    assert_eq!(judgement, json!({"decided_by": "judge", "scores": scores}));
    let waited = work.history.times["judge"];
    assert!(waited.waiting > 0.0 && waited.computing == 0.0 && waited.setting_up == 0.0, "{waited:?}");
    hand.finish(&verify).await;

    let job = job_of(&client, &path).await;
    assert_eq!((&job["status"], &job["best"]["candidate"]), (&"succeeded".into(), &0.into()));
    let judged = events(&client, &path, "judged").await;
    let first = json!({"candidate": 1, "score": 0.1, "done": 1, "total": 2});
    assert_eq!(judged, [first, json!({"candidate": 0, "score": 0.2, "done": 2, "total": 2})]);
    let ended = events(&client, &path, "judgement_ended").await;
    assert_eq!(ended, [json!({"decided_by": "judge", "candidate": 0})]);
    let list = client.get(&path.replace("judgements", "artifacts")).await.expect(StatusCode::OK);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"finalist-0.pt") && names.contains(&"finalist-1.pt"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_score_wins_where_the_spec_says_so() {
    let server = TestServer::start().await;
    let (client, _, path) = asked(&server, json!({"higher_is_better": false})).await;
    score(&client, &path, 0, 12.5).await;
    assert_eq!(score(&client, &path, 1, 12.0).await["winner"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_is_replaced_while_others_are_missing_and_stands_once_it_is_decided() {
    let server = TestServer::start().await;
    let (client, _, path) = asked(&server, json!({})).await;
    score(&client, &path, 0, 0.9).await;
    assert_eq!(score(&client, &path, 0, 0.9).await["finalists"][1]["score"], 0.9);
    assert_eq!(events(&client, &path, "judged").await.len(), 1, "the same again says nothing new");
    assert_eq!(score(&client, &path, 0, 0.3).await["finalists"][1]["score"], 0.3);
    assert_eq!(score(&client, &path, 1, 0.4).await["winner"], 1);

    assert_eq!(score(&client, &path, 1, 0.4).await["winner"], 1, "an answer that was lost is had again");
    let other = client.post_json(&path, &json!({"candidate": 1, "score": 0.2})).await;
    let problem = other.problem(409, "judgement_over");
    assert!(problem["detail"].as_str().unwrap().ends_with("Every finalist has its score."), "{problem}");
    assert_eq!(client.get(&path).await.expect(StatusCode::OK)["finalists"][0]["score"], 0.4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_score_is_named_with_what_is_allowed() {
    let server = TestServer::start().await;
    let (client, _, path) = asked(&server, json!({})).await;
    let long = format!(r#"{{"candidate": 0, "score": "{}"}}"#, "9".repeat(10_000));
    for (body, status, code, words) in [
        (r#"{"candidate": 0, "score": NaN}"#, 400, "invalid_json", "the value NaN. A score must be a finite number"),
        (r#"{"candidate": 0, "score": -Infinity}"#, 400, "invalid_json", "the value -Infinity"),
        (r#"{"candidate": 0, "score": Infinity}"#, 400, "invalid_json", "the value Infinity"),
        ("", 400, "invalid_json", "not valid JSON"),
        ("[1, 2]", 400, "invalid_json", "not valid JSON"),
        (r#"{"candidate": 0, "score": 1e999}"#, 422, "invalid_score", "`score` is 1e999: it must be a finite number"),
        (r#"{"candidate": 0, "score": null}"#, 422, "invalid_score", "`score` is null"),
        (r#"{"candidate": 0, "score": "0.4"}"#, 422, "invalid_score", "`score` is \"0.4\""),
        (&long, 422, "invalid_score", "9…: it must be a finite number"),
        (r#"{"candidate": 0}"#, 422, "invalid_score", "`score` is missing"),
        (r#"{"score": 0.4}"#, 422, "invalid_score", "`candidate` is missing: it must be the index of a finalist"),
        (r#"{"candidate": -1, "score": 0.4}"#, 422, "invalid_score", "`candidate` is -1"),
        (r#"{"candidate": 1.5, "score": 0.4}"#, 422, "invalid_score", "`candidate` is 1.5"),
        (r#"{"candidate": 0, "score": 0.4, "epoch": 1}"#, 422, "invalid_score", "`epoch` is not a field of a score"),
        (r#"{"candidate": 7, "score": 0.4}"#, 422, "not_a_finalist", "Candidate 7 is no finalist"),
        (r#"{"candidate": 18446744073709551615, "score": 0}"#, 422, "not_a_finalist", "the finalists are 1, 0"),
    ] {
        let request = client.request(Method::POST, &path).header(CONTENT_TYPE, "application/json");
        let problem = send(request.body(body.to_owned())).await.problem(status, code);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words) && detail.len() < 1000, "{body}: {detail}");
    }
    let problem = client.post_json(&path, &json!({"candidate": 7, "score": 1})).await.problem(422, "not_a_finalist");
    assert_eq!(problem["finalists"], json!([1, 0]));
    assert_eq!(client.get(&path).await.expect(StatusCode::OK)["state"], "open");
    assert!(events(&client, &path, "judged").await.is_empty(), "nothing of it counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_judged_when_its_finalists_are_there_and_not_before() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/judgements", client.submit_judged(json!({"name": "WER"})).await);
    let judgements = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&judgements["state"], &judgements["name"]), (&"not_asked".into(), &"WER".into()));
    assert_eq!((&judgements["finalists"], &judgements["deadline"]), (&json!([]), &Value::Null));
    let problem = client.post_json(&path, &json!({"candidate": 0, "score": 1})).await;
    let problem = problem.problem(409, "judgement_not_asked");
    assert!(problem["detail"].as_str().unwrap().contains("at the stage `import`"), "{problem}");

    client.post(&path.replace("judgements", "cancel")).await.expect(StatusCode::OK);
    assert_eq!(client.get(&path).await.expect(StatusCode::OK)["state"], "ended", "nobody need wait for it");
    let problem = client.post_json(&path, &json!({"candidate": 0, "score": 1})).await.problem(409, "judgement_over");
    assert!(problem["detail"].as_str().unwrap().ends_with("The job was cancelled."), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_judge_says_so() {
    let server = TestServer::start().await;
    let client = server.client();
    let path = format!("/v1/jobs/{}/judgements", client.submit().await);
    let judgements = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&judgements["state"], &judgements["higher_is_better"]), (&"no_judge".into(), &Value::Null));
    let problem = client.post_json(&path, &json!({"candidate": 0, "score": 1})).await.problem(409, "no_judge");
    assert!(problem["hint"].as_str().unwrap().contains("`judge` in the job spec"), "{problem}");
    Hand::of(&server).finish_all().await;
    assert_eq!(job_of(&client, &path).await["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_that_does_not_answer_in_time_leaves_the_choice_to_our_own_metric() {
    let server = TestServer::start().await;
    let (client, hand, path) = asked(&server, json!({"timeout_s": 1})).await;
    score(&client, &path, 0, 0.9).await;
    crate::harness::eventually("the time is over", || async {
        hand.queue.reap().await.unwrap();
        (job_of(&client, &path).await["stage"] == "export").then_some(())
    })
    .await;
    let judgements = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&judgements["decided_by"], &judgements["winner"]), (&"metric".into(), &1.into()));
    let reason = "The judge had 1 s, and 1 of 2 finalists had a score; none had: 1.";
    assert_eq!(judgements["reason"], reason);
    let ended = events(&client, &path, "judgement_ended").await;
    assert_eq!(ended, [json!({"decided_by": "metric", "candidate": 1, "reason": reason})]);
    let problem = client.post_json(&path, &json!({"candidate": 1, "score": 1})).await.problem(409, "judgement_over");
    assert!(problem["detail"].as_str().unwrap().ends_with(reason), "{problem}");
    assert_eq!(hand.claim().await.plan.work, Work::Export(ExportWork { candidate: 1, tuned: false, triton: false }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_score_after_the_deadline_is_late_even_when_nobody_has_noticed_yet() {
    let server = TestServer::start().await;
    let (client, hand, path) = asked(&server, json!({"timeout_s": 60})).await;
    score(&client, &path, 1, 0.1).await;
    let_the_time_pass(&server).await;
    let problem = client.post_json(&path, &json!({"candidate": 0, "score": 1})).await.problem(409, "judgement_over");
    assert!(problem["detail"].as_str().unwrap().contains("The judge had 60 s"), "{problem}");
    assert_eq!(hand.claim().await.plan.work, Work::Export(ExportWork { candidate: 1, tuned: false, triton: false }));
    assert_eq!(hand.queue.reap().await.unwrap(), 0, "it has ended already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_it_waits_keeps_its_best_and_takes_no_score() {
    let server = TestServer::start().await;
    let (client, hand, path) = asked(&server, json!({})).await;
    score(&client, &path, 0, 0.9).await;
    let job = client.post(&path.replace("judgements", "cancel")).await.expect(StatusCode::OK);
    assert_eq!((&job["status"], &job["stage"]), (&"cancelled".into(), &"judge".into()));
    assert_eq!(job["best"]["candidate"], 1);
    let judgements = client.get(&path).await.expect(StatusCode::OK);
    assert_eq!((&judgements["state"], &judgements["winner"]), (&"ended".into(), &Value::Null));
    let problem = client.post_json(&path, &json!({"candidate": 1, "score": 1})).await.problem(409, "judgement_over");
    assert!(problem["detail"].as_str().unwrap().ends_with("The job was cancelled."), "{problem}");
    assert!(hand.try_claim().await.is_none(), "nothing goes on");
    let finalist = client.get(judgements["finalists"][0]["url"].as_str().unwrap()).await;
    assert_eq!(finalist.status, StatusCode::OK, "the finalists can still be had");
    assert_eq!(client.delete(path.trim_end_matches("/judgements")).await.status, StatusCode::NO_CONTENT);
    client.get(&path).await.problem(404, "job_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_of_the_jobs_tenant_that_may_submit_judges() {
    let server = TestServer::start().await;
    let owner = server.client_of("owner", Scope::Submit).await;
    let path = format!("/v1/jobs/{}/judgements", owner.submit_judged(json!({})).await);
    Hand::of(&server).finish_all().await;
    let finalist = owner.get(&path).await.expect(StatusCode::OK)["finalists"][0].clone();
    let body = json!({"candidate": finalist["candidate"], "score": 1});

    let stranger = server.client_of("stranger", Scope::Admin).await;
    stranger.get(&path).await.problem(404, "job_not_found");
    stranger.post_json(&path, &body).await.problem(404, "job_not_found");
    stranger.get(finalist["url"].as_str().unwrap()).await.problem(404, "job_not_found");
    let reader = server.client_of("owner", Scope::Read).await;
    assert_eq!(reader.get(&path).await.expect(StatusCode::OK)["state"], "open");
    reader.post_json(&path, &body).await.problem(403, "insufficient_scope");
    server.client().post_json(&path, &body).await.problem(401, "unauthenticated");
    assert_eq!(owner.get(&path).await.expect(StatusCode::OK)["finalists"][0]["score"], Value::Null);
    assert_eq!(owner.post_json(&path, &body).await.expect(StatusCode::OK)["finalists"][0]["score"], 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_out_of_range_is_refused_with_the_job() {
    let server = TestServer::start().await;
    let spec = json!({"target": {"flops_reduction": 0.5}, "judge": {"timeout_s": 604_801}});
    let problem = server.client().post_form("/v1/jobs", crate::harness::form(&spec)).await.problem(422, "invalid_spec");
    assert_eq!(problem["node"], "judge.timeout_s");
}
