//! Small reads: manifests, blobs, pages of tags.

use std::io::Result;

use super::{busy, get, push_blob, push_image, put_manifest};
use crate::round::{Unit, alternate, print};
use crate::server::Server;
use benches::content::{Image, Numbers, digest};
use benches::wire::failed;

const NAME: &str = "bench/reads";
const CONNECTIONS: usize = 16;
/// Blobs that the readers go through.
const BLOBS: u64 = 64;

/// Content that reads read.
pub(crate) struct Seeded {
    image: Image,
    blobs: Vec<String>,
}

pub(crate) async fn seed(servers: &[&Server]) -> Result<Seeded> {
    let image = Image::new(1);
    let blobs: Vec<Vec<u8>> = (0..BLOBS)
        .map(|seed| Numbers::new(100 + seed).bytes(1024))
        .collect();
    for server in servers {
        let mut connection = server.connect().await?;
        push_image(&mut connection, NAME, "latest", &image).await?;
        for blob in &blobs {
            push_blob(&mut connection, NAME, &digest(blob), blob).await?;
        }
    }
    Ok(Seeded {
        image,
        blobs: blobs.iter().map(|blob| digest(blob)).collect(),
    })
}

pub(crate) async fn manifests(rounds: usize, servers: &[&Server], seeded: &Seeded) -> Result<()> {
    for (by, reference) in [("tag", "latest"), ("digest", seeded.image.digest.as_str())] {
        let path = format!("/v2/{NAME}/manifests/{reference}");
        let samples = alternate(rounds, servers, async |server, _| {
            busy(server, CONNECTIONS, async |connection, _, _| {
                get(connection, &path, &seeded.image.digest).await
            })
            .await
        })
        .await?;
        let row = format!("manifest GET by {by}, {CONNECTIONS} connections");
        print(&row, Unit::Requests, servers, &samples);
    }
    Ok(())
}

pub(crate) async fn blobs(rounds: usize, servers: &[&Server], seeded: &Seeded) -> Result<()> {
    let of = |number: usize, count: u64| -> Result<&String> {
        let index = (number as u64 * 7 + count) % BLOBS;
        seeded
            .blobs
            .get(usize::try_from(index).unwrap_or_default())
            .ok_or_else(|| failed("no such blob"))
    };
    let samples = alternate(rounds, servers, async |server, _| {
        busy(server, CONNECTIONS, async |connection, number, count| {
            let digest = of(number, count)?;
            let path = format!("/v2/{NAME}/blobs/{digest}");
            let (head, _) = connection.ask("HEAD", &path, "", b"", &[200]).await?;
            if head.length == 1024 && head.digest == *digest {
                Ok(())
            } else {
                Err(failed(format!("{path} is answered with {head:?}")))
            }
        })
        .await
    })
    .await?;
    print("blob HEAD, 16 connections", Unit::Requests, servers, &samples);
    let samples = alternate(rounds, servers, async |server, _| {
        busy(server, CONNECTIONS, async |connection, number, count| {
            let digest = of(number, count)?;
            get(connection, &format!("/v2/{NAME}/blobs/{digest}"), digest).await
        })
        .await
    })
    .await?;
    print(
        "1 KiB blob GET, 16 connections",
        Unit::Requests,
        servers,
        &samples,
    );
    Ok(())
}

/// Seeds 10 000 tags, then reads the first page of 100 and the last.
pub(crate) async fn tag_pages(rounds: usize, servers: &[&Server]) -> Result<()> {
    const TAGS: usize = 10_000;
    let name = "bench/tags";
    let image = Image::new(2);
    for server in servers {
        let mut connection = server.connect().await?;
        push_image(&mut connection, name, "t00000", &image).await?;
        let loops = (0..8).map(async |lane| {
            let mut connection = server.connect().await?;
            for number in (lane..TAGS).step_by(8) {
                put_manifest(&mut connection, name, &format!("t{number:05}"), &image).await?;
            }
            Result::Ok(())
        });
        futures::future::try_join_all(loops).await?;
    }
    for (which, last) in [
        ("first", String::new()),
        ("last", format!("&last=t{:05}", TAGS - 101)),
    ] {
        let path = format!("/v2/{name}/tags/list?n=100{last}");
        let wanted = if last.is_empty() { "t00000" } else { "t09900" };
        let samples = alternate(rounds, servers, async |server, _| {
            busy(server, 1, async |connection, _, _| {
                let (_, body) = connection.ask("GET", &path, "", b"", &[200]).await?;
                let page: serde_json::Value = serde_json::from_slice(&body)?;
                let tags = page["tags"].as_array().map_or(0, Vec::len);
                if tags == 100 && page["tags"][0] == wanted {
                    Ok(())
                } else {
                    Err(failed(format!("{path}: {page}")))
                }
            })
            .await
        })
        .await?;
        let row = format!("{which} page of 100 from {TAGS} tags, 1 connection");
        print(&row, Unit::Requests, servers, &samples);
    }
    Ok(())
}
