//! The rows of the table, by what a user does.

pub(crate) mod accounts;
pub(crate) mod memory;
pub(crate) mod pushes;
pub(crate) mod reads;
pub(crate) mod scale;
pub(crate) mod transfers;

use std::io::Result;
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::Instant;

use crate::round::Work;
use crate::server::Server;
use benches::content::{ACCEPT, CONTENT_TYPE, Image};
use benches::wire::{Connection, failed};

/// How long a round of small requests lasts.
pub(crate) const ROUND: Duration = Duration::from_secs(2);

/// Keeps `connections` busy for a round. `step` does one thing on a connection; it is handed the number
/// of the connection and a count of its own.
pub(crate) async fn busy(
    server: &Server,
    connections: usize,
    step: impl AsyncFn(&mut Connection, usize, u64) -> Result<()>,
) -> Result<Work> {
    let end = Instant::now() + ROUND;
    let step = &step;
    let loops = (0..connections).map(async |number| {
        let mut connection = server.connect().await?;
        let mut latencies = Vec::new();
        let mut count = 0;
        let mut before = Instant::now();
        while before < end {
            step(&mut connection, number, count).await?;
            let after = Instant::now();
            latencies.push(after - before);
            before = after;
            count += 1;
        }
        Result::Ok(latencies)
    });
    let latencies: Vec<Duration> = try_join_all(loops).await?.concat();
    Ok(Work {
        amount: latencies.len() as f64,
        latencies,
    })
}

/// Pushes a blob in one request after a POST, as clients do.
pub(crate) async fn push_blob(
    connection: &mut Connection,
    name: &str,
    digest: &str,
    content: &[u8],
) -> Result<()> {
    let path = format!("/v2/{name}/blobs/uploads/");
    let (begun, _) = connection.ask("POST", &path, "", b"", &[202]).await?;
    let separator = if begun.location.contains('?') { '&' } else { '?' };
    let path = format!("{}{separator}digest={digest}", begun.location);
    let content_type = "content-type: application/octet-stream\r\n";
    connection
        .ask("PUT", &path, content_type, content, &[201])
        .await?;
    Ok(())
}

/// Pushes an image as clients do: asks for each blob, pushes it, puts the manifest. 13 requests.
pub(crate) async fn push_image(
    connection: &mut Connection,
    name: &str,
    tag: &str,
    image: &Image,
) -> Result<()> {
    for (digest, content) in &image.blobs {
        let path = format!("/v2/{name}/blobs/{digest}");
        connection.ask("HEAD", &path, "", b"", &[404]).await?;
        push_blob(connection, name, digest, content).await?;
    }
    put_manifest(connection, name, tag, image).await
}

pub(crate) async fn put_manifest(
    connection: &mut Connection,
    name: &str,
    reference: &str,
    image: &Image,
) -> Result<()> {
    let path = format!("/v2/{name}/manifests/{reference}");
    let (head, _) = connection
        .ask("PUT", &path, CONTENT_TYPE, &image.manifest, &[201])
        .await?;
    if head.digest == image.digest {
        Ok(())
    } else {
        Err(failed(format!("{path} was stored as {}", head.digest)))
    }
}

/// A GET whose answer must have a digest.
pub(crate) async fn get(connection: &mut Connection, path: &str, digest: &str) -> Result<()> {
    let (_, body) = connection.ask("GET", path, ACCEPT, b"", &[200]).await?;
    if benches::content::digest(&body) == digest {
        Ok(())
    } else {
        Err(failed(format!("{path} has another content than {digest}")))
    }
}
