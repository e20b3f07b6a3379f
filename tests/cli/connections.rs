//! A process that may open few files, and clients that hold connections open for nothing.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use reqwest::StatusCode;

use super::{Serving, folder, secateur};
use crate::harness::copy_cluster_to;

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_half_open_connections_keep_nobody_out_of_a_process_with_256_files() {
    let folder = folder();
    let data = folder.path().join("data");
    copy_cluster_to(&data).await;
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""]);
    command.arg(secateur().get_program());
    command.args(["serve", "--listen", "127.0.0.1:0", "--slots", "0", "--reserve-bytes", "0", "--data-dir"]).arg(data);
    command.env_remove("DATABASE_URL").env_remove("SECATEUR_BLOBS");
    let serving = Serving::start_by(command);
    let address = serving.client.address();

    let half_open: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut connection = TcpStream::connect(address).unwrap();
            // The server may have given this one up for a later one.
            let _ = connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc");
            connection
        })
        .collect();
    for path in ["/healthz", "/readyz", "/v1/jobs"] {
        let answer = tokio::time::timeout(Duration::from_secs(8), serving.client.get(path)).await;
        assert_eq!(answer.expect("an honest request is answered before any half-open one ends").status, StatusCode::OK);
    }
    assert_eq!(half_open.len(), 300);
}
