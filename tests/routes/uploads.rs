//! `/v1/uploads`: the tus protocol, and digests of uploads in one piece.

use std::io::Write;
use std::net::TcpStream;

use reqwest::{Method, RequestBuilder, StatusCode};
use secateur::access::{Scope, Tenant};
use secateur::blob::BlobKey;
use secateur::digest::Sha256;
use secateur::id::UploadId;
use serde_json::Value;

use crate::harness::{Answer, Client, TestServer, count_files, eventually, example, file_part, send};

const KIND_MODEL: &str = "kind bW9kZWw=,filename bmV0LnB0";

fn tus(client: &Client, method: &str, path: &str) -> RequestBuilder {
    client.request(Method::from_bytes(method.as_bytes()).unwrap(), path).header("tus-resumable", "1.0.0")
}

/// Announces an upload and returns where it is.
async fn create(client: &Client, length: usize, metadata: &str) -> String {
    let request =
        tus(client, "POST", "/v1/uploads").header("upload-length", length).header("upload-metadata", metadata);
    let created = send(request).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&created.body));
    assert!(created.header("upload-expires").ends_with("GMT"));
    created.header("location").to_owned()
}

fn piece(client: &Client, place: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
    tus(client, "PATCH", place)
        .header("content-type", "application/offset+octet-stream")
        .header("upload-offset", offset)
        .body(bytes.to_vec())
}

async fn offset(client: &Client, place: &str) -> Answer {
    send(tus(client, "HEAD", place)).await
}

fn model() -> Vec<u8> {
    std::fs::read(example("vgg-digits.pt")).unwrap()
}

/// Begins an upload and returns its id.
pub(super) async fn begin(client: &Client) -> String {
    let place = create(client, 10, KIND_MODEL).await;
    place.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_came_in_pieces_across_a_restart_is_that_model() {
    let mut server = TestServer::start().await;
    let client = server.client();
    let bytes = model();
    let place = create(&client, bytes.len(), KIND_MODEL).await;
    let first = send(piece(&client, &place, 0, &bytes[..1000])).await;
    assert_eq!((first.status, first.header("upload-offset")), (StatusCode::NO_CONTENT, "1000"));
    server.restart().await;

    let client = server.client();
    let standing = offset(&client, &place).await;
    assert_eq!((standing.header("upload-offset"), standing.status), ("1000", StatusCode::OK));
    assert_eq!(standing.header("upload-length"), bytes.len().to_string());
    assert_eq!(standing.header("cache-control"), "no-store");
    let last = send(piece(&client, &place, 1000, &bytes[1000..])).await;
    assert_eq!(last.status, StatusCode::NO_CONTENT, "{}", String::from_utf8_lossy(&last.body));
    let shown = client.get(last.header("location")).await.expect(StatusCode::OK);
    assert_eq!(
        (&shown["name"], shown["sha256"].as_str().unwrap()),
        (&"net.pt".into(), Sha256::of(&bytes).to_string().as_str())
    );
    let upload = client.get(&place).await.expect(StatusCode::OK);
    assert_eq!((&upload["end"]["became"], &upload["end"]["model_id"]), (&"model".into(), &shown["id"]));
    assert_eq!(offset(&client, &place).await.header("upload-offset"), bytes.len().to_string());

    send(tus(&client, "DELETE", &place)).await;
    assert_eq!(offset(&client, &place).await.status, StatusCode::NOT_FOUND);
    client.get(last.header("location")).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_piece_may_come_with_the_announcement_and_be_all_of_it() {
    let server = TestServer::start().await;
    let client = server.client();
    let bytes = std::fs::read(example("digits.npz")).unwrap();
    let request = tus(&client, "POST", "/v1/uploads")
        .header("upload-length", bytes.len())
        .header("upload-metadata", "kind ZGF0YXNldA==")
        .header("content-type", "application/offset+octet-stream")
        .body(bytes.clone());
    let created = send(request).await;
    assert_eq!(
        (created.status, created.header("upload-offset")),
        (StatusCode::CREATED, bytes.len().to_string().as_str())
    );
    let upload = client.get(created.header("location")).await.expect(StatusCode::OK);
    assert_eq!(upload["end"]["became"], "dataset", "{upload}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_follow_what_has_come_is_refused_and_changes_nothing() {
    let server = TestServer::start().await;
    let client = server.client();
    let bytes = model();
    let place = create(&client, bytes.len(), KIND_MODEL).await;
    let early = send(piece(&client, &place, 5, &bytes[5..10])).await;
    early.problem(409, "offset_mismatch");
    assert_eq!(early.header("upload-offset"), "0");
    let too_long = [bytes.as_slice(), b"x"].concat();
    send(piece(&client, &place, 0, &too_long)).await.problem(413, "payload_too_large");
    let wrong = format!("sha256 {}", Sha256::of(b"something else").to_base64());
    let request = piece(&client, &place, 0, &bytes[..10]).header("upload-checksum", wrong);
    send(request).await.problem(460, "checksum_mismatch");
    assert_eq!(offset(&client, &place).await.header("upload-offset"), "0");
    // The digest of "abc", which these bytes are not.
    let wrong = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    let request = piece(&client, &place, 0, &bytes[..10]).header("upload-checksum", wrong);
    send(request).await.problem(460, "checksum_mismatch");
    let right = format!("sha256 {}", Sha256::of(&bytes[..10]).to_base64());
    let request = piece(&client, &place, 0, &bytes[..10]).header("upload-checksum", right);
    assert_eq!(send(request).await.header("upload-offset"), "10");
}

/// The server keeps what came of a piece that broke off.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_goes_on_behind_what_has_come() {
    let server = TestServer::start().await;
    let client = server.client();
    let bytes = model();
    let place = create(&client, bytes.len(), KIND_MODEL).await;
    let (first, rest) = bytes.split_at(70_000);
    let mut connection = TcpStream::connect(server.address()).unwrap();
    let head = format!(
        "PATCH {place} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(first).unwrap();
    let has_come = || async {
        let standing = offset(&client, &place).await;
        (standing.header("upload-offset") == first.len().to_string()).then_some(())
    };
    eventually("the piece comes", has_come).await;
    send(piece(&client, &place, first.len(), rest)).await.problem(423, "upload_locked");
    drop(connection);
    let last = eventually("the server notices", || async {
        let answer = send(piece(&client, &place, first.len(), rest)).await;
        (answer.status != StatusCode::LOCKED).then_some(answer)
    })
    .await;
    assert_eq!(last.status, StatusCode::NO_CONTENT, "{}", String::from_utf8_lossy(&last.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_model_is_refused_when_it_is_whole_and_the_upload_says_so() {
    let server = TestServer::start().await;
    let client = server.client();
    let place = create(&client, 9, KIND_MODEL).await;
    send(piece(&client, &place, 0, b"no archive")).await.problem(413, "payload_too_large");
    send(piece(&client, &place, 0, b"not a zip")).await.problem(422, "not_torchscript");
    let upload = client.get(&place).await.expect(StatusCode::OK);
    assert_eq!((&upload["end"]["became"], &upload["end"]["code"]), (&"refused".into(), &"not_torchscript".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_announcements_are_named_with_what_is_allowed() {
    let server = TestServer::start_with(|options| options.max_upload_bytes = 1000).await;
    let client = server.client();
    let announce = |length: &'static str, metadata: &'static str| {
        send(tus(&client, "POST", "/v1/uploads").header("upload-length", length).header("upload-metadata", metadata))
    };
    announce("x", KIND_MODEL).await.problem(400, "invalid_parameter");
    announce("0", KIND_MODEL).await.problem(400, "invalid_parameter");
    announce("10", "kind !").await.problem(400, "invalid_parameter");
    let problem = announce("10", "filename bmV0LnB0").await.problem(400, "invalid_parameter");
    assert!(problem["detail"].as_str().unwrap().contains("`model` or `dataset`"), "{problem}");
    announce("1001", KIND_MODEL).await.problem(413, "payload_too_large");
    let other = client.request(Method::POST, "/v1/uploads").header("tus-resumable", "0.2.2");
    let other = send(other).await;
    other.problem(412, "tus_version_unsupported");
    assert_eq!(other.header("tus-version"), "1.0.0");
    let described = send(client.request(Method::OPTIONS, "/v1/uploads")).await;
    assert_eq!((described.status, described.header("tus-max-size")), (StatusCode::NO_CONTENT, "1000"));
    assert!(described.header("tus-extension").contains("creation-with-upload"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_the_uploads_of_another_tenant() {
    let server = TestServer::start().await;
    let (mine, theirs) =
        (server.client_of("mine", Scope::Submit).await, server.client_of("theirs", Scope::Submit).await);
    let place = create(&theirs, 10, KIND_MODEL).await;
    assert_eq!(offset(&mine, &place).await.status, StatusCode::NOT_FOUND);
    mine.get(&place).await.problem(404, "upload_not_found");
    send(piece(&mine, &place, 0, b"x")).await.problem(404, "upload_not_found");
    send(tus(&mine, "DELETE", &place)).await.problem(404, "upload_not_found");
    theirs.get(&place).await.expect(StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_damaged_on_its_way_is_refused_by_its_digest() {
    let server = TestServer::start().await;
    let client = server.client();
    let bytes = model();
    let digest = |of: &[u8]| format!("sha-512=:AAAA:, sha-256=:{}:", Sha256::of(of).to_base64());
    let upload = |digest: String| {
        let request = client.request(Method::POST, "/v1/models").header("content-type", "application/octet-stream");
        send(request.header("content-digest", digest).body(bytes.clone()))
    };
    upload(digest(b"another file")).await.problem(400, "digest_mismatch");
    upload("sha-256=:x:".to_owned()).await.problem(400, "invalid_parameter");
    let model: Value = upload(digest(&bytes)).await.expect(StatusCode::CREATED);
    assert_eq!(model["sha256"], Sha256::of(&bytes).to_string());

    let headers = |digest: String| [("content-digest".parse().unwrap(), digest.parse().unwrap())].into_iter().collect();
    let part = file_part("vgg-digits.pt").headers(headers(digest(b"another file")));
    let form = reqwest::multipart::Form::new().part("file", part);
    client.post_form("/v1/models", form).await.problem(400, "digest_mismatch");
}

/// Puts a file where a client of a bucket would put it, and returns the id that names it. A folder gives out no URL, but takes what is there.
fn put_as_into_a_bucket(server: &TestServer, bytes: &[u8]) -> UploadId {
    let id = UploadId::generate();
    let path = server.data_folder().join("blobs").join(BlobKey::incoming(&Tenant::of_nobody(), id).as_str());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_into_the_bucket_becomes_a_model_once() {
    let server = TestServer::start().await;
    let client = server.client();
    let id = put_as_into_a_bucket(&server, &model());
    let path = format!("/v1/models?upload={id}&name=net.pt");
    let with_body = client.upload(&path, b"bytes".to_vec()).await.problem(400, "invalid_parameter");
    assert!(with_body["detail"].as_str().unwrap().contains("without a body"), "{with_body}");
    let made = client.post(&path).await.expect(StatusCode::CREATED);
    assert_eq!(
        (&made["name"], made["sha256"].as_str().unwrap()),
        (&"net.pt".into(), &*Sha256::of(&model()).to_string())
    );
    client.post(&path).await.problem(404, "upload_not_found");
    client.post("/v1/datasets?upload=nothing").await.problem(404, "upload_not_found");
    let to_be_freed = "select count(*) from loose_blob where starts_with(blob, 'incoming/') and free_after > now()";
    let kept: i64 = sqlx::query_scalar(to_be_freed).fetch_one(server.pool()).await.unwrap();
    assert_eq!(kept, 1, "what is put there again is freed");
    assert_eq!(count_files(&server.data_folder().join("blobs/incoming")), 0);

    let id = put_as_into_a_bucket(&server, b"no data set");
    client.post(&format!("/v1/datasets?upload={id}")).await.problem(422, "invalid_dataset");
    assert_eq!(count_files(&server.data_folder().join("blobs/incoming")), 0, "it would be refused again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_files_in_a_folder_gives_out_no_url_of_a_bucket() {
    let server = TestServer::start().await;
    let problem = server.client().post("/v1/uploads/presigned").await.problem(409, "no_bucket");
    assert!(problem["hint"].as_str().unwrap().contains("/v1/uploads"), "{problem}");
    let left: i64 = sqlx::query_scalar("select count(*) from loose_blob").fetch_one(server.pool()).await.unwrap();
    assert_eq!(left, 0);
}
