//! What growth costs: the same requests on little data and on much, and the start on much.

use std::cell::Cell;
use std::io::Result;
use std::path::Path;

use futures::future::try_join_all;

use super::{busy, get, push_blob, push_image, put_manifest};
use crate::round::{Sample, Unit, Work, alternate, median, print};
use crate::server::{Kind, Server};
use benches::content::{CONTENT_TYPE, Image, Numbers, digest};
use benches::wire::{Connection, failed};

const CONNECTIONS: usize = 16;

/// Runs `step` for every number below `count` on many connections.
async fn for_all(
    server: &Server,
    count: u64,
    step: impl AsyncFn(&mut Connection, u64) -> Result<()>,
) -> Result<()> {
    let next = Cell::new(0);
    let (step, next) = (&step, &next);
    let loops = (0..CONNECTIONS).map(async |_| {
        let mut connection = server.connect().await?;
        while next.get() < count {
            let number = next.replace(next.get() + 1);
            step(&mut connection, number).await?;
        }
        Result::Ok(())
    });
    try_join_all(loops).await.map(drop)
}

/// A server that holds `count` tags in one repository.
async fn with_tags(kind: &Kind, place: &Path, count: u64) -> Result<Server> {
    /// As many as one push may set.
    const AT_ONCE: u64 = 50;
    let mut server = Server::start(kind, place).await?;
    server.label = format!("{count} tags");
    let name = "bench/tags";
    let image = Image::new(3);
    push_image(&mut server.connect().await?, name, "t0000000", &image).await?;
    for_all(&server, count.div_ceil(AT_ONCE), async |connection, number| {
        let mut path = format!("/v2/{name}/manifests/{}?", image.digest);
        for tag in (number * AT_ONCE)..count.min((number + 1) * AT_ONCE) {
            path = format!("{path}tag=t{tag:07}&");
        }
        connection
            .ask("PUT", &path, CONTENT_TYPE, &image.manifest, &[201])
            .await?;
        Ok(())
    })
    .await?;
    Ok(server)
}

/// A server that holds `count` repositories of one tagged image each, and as many blobs in one more.
async fn with_repositories(kind: &Kind, place: &Path, count: u64) -> Result<Server> {
    let mut server = Server::start(kind, place).await?;
    server.label = format!("{count} repositories");
    let image = Image::new(4);
    push_image(&mut server.connect().await?, "bench/first", "v1", &image).await?;
    for_all(&server, count, async |connection, number| {
        let name = format!("org{}/app{number}", number % 100);
        for (digest, _) in &image.blobs {
            let path = format!("/v2/{name}/blobs/uploads/?mount={digest}&from=bench/first");
            connection.ask("POST", &path, "", b"", &[201]).await?;
        }
        put_manifest(connection, &name, "v1", &image).await
    })
    .await?;
    for_all(&server, count, async |connection, number| {
        let blob = Numbers::new((1 << 40) + number).bytes(64);
        let path = format!("/v2/bench/blobs/blobs/uploads/?digest={}", digest(&blob));
        connection.ask("POST", &path, "", &blob, &[201]).await?;
        Ok(())
    })
    .await?;
    Ok(server)
}

fn growth(row: &str, servers: &[&Server], samples: &[Vec<Sample>]) {
    print(row, Unit::Requests, servers, samples);
    if let [small, large] = samples {
        let cpu = |samples: &[Sample]| median(samples, |sample| sample.cpu);
        println!("  much to little: cpu {:.2}", cpu(large) / cpu(small));
    }
}

pub(crate) async fn tags(rounds: usize, kind: &Kind, place: &Path, count: u64) -> Result<()> {
    let small = with_tags(kind, place, 100).await?;
    let large = with_tags(kind, place, count).await?;
    let servers = [&small, &large];
    for (which, from_end) in [("first", false), ("last", true)] {
        let samples = alternate(rounds, &servers, async |server, _| {
            let held: u64 = server
                .label
                .split(' ')
                .next()
                .and_then(|count| count.parse().ok())
                .ok_or_else(|| failed("no count"))?;
            let last = if from_end && held > 100 {
                format!("&last=t{:07}", held - 101)
            } else {
                String::new()
            };
            let path = format!("/v2/bench/tags/tags/list?n=100{last}");
            busy(server, 1, async |connection, _, _| {
                let (_, body) = connection.ask("GET", &path, "", b"", &[200]).await?;
                let page: serde_json::Value = serde_json::from_slice(&body)?;
                match page["tags"].as_array().map(Vec::len) {
                    Some(100) => Ok(()),
                    other => Err(failed(format!("{path}: {other:?} tags"))),
                }
            })
            .await
        })
        .await?;
        growth(
            &format!("{which} page of 100 tags, 1 connection"),
            &servers,
            &samples,
        );
    }
    let samples = put_tags(rounds, &servers, "bench/tags", &Image::new(3)).await?;
    growth("tag PUT, 8 connections", &servers, &samples);
    let again = large.restart().await?;
    println!(
        "\nstart to first answer with {count} tags stored\n  {:.1} ms",
        again.start.as_secs_f64() * 1000.0
    );
    Ok(())
}

/// Moves tags of their own to an image that is there; each push is a change.
async fn put_tags(rounds: usize, servers: &[&Server], name: &str, image: &Image) -> Result<Vec<Vec<Sample>>> {
    let fresh = Cell::new(0_u64);
    alternate(rounds, servers, async |server, _| {
        busy(server, 8, async |connection, _, _| {
            fresh.set(fresh.get() + 1);
            put_manifest(connection, name, &format!("new{}", fresh.get()), image).await
        })
        .await
    })
    .await
}

pub(crate) async fn repositories(rounds: usize, kind: &Kind, place: &Path, count: u64) -> Result<()> {
    let small = with_repositories(kind, place, 100).await?;
    let large = with_repositories(kind, place, count).await?;
    let servers = [&small, &large];
    let image = Image::new(4);
    let samples = alternate(rounds, &servers, async |server, _| {
        busy(server, 1, async |connection, _, _| {
            let path = "/v2/_catalog?n=100&last=org0/app0";
            let (_, body) = connection.ask("GET", path, "", b"", &[200]).await?;
            let page: serde_json::Value = serde_json::from_slice(&body)?;
            match page["repositories"].as_array().map(Vec::len) {
                Some(99..=100) => Ok(()),
                other => Err(failed(format!("{path}: {other:?} repositories"))),
            }
        })
        .await
    })
    .await?;
    growth("catalog page of 100, 1 connection", &servers, &samples);
    let samples = alternate(rounds, &servers, async |server, _| {
        busy(server, CONNECTIONS, async |connection, number, _| {
            let path = format!("/v2/org{number}/app{number}/manifests/v1");
            get(connection, &path, &image.digest).await
        })
        .await
    })
    .await?;
    growth("manifest GET, 16 connections", &servers, &samples);
    let samples = put_tags(rounds, &servers, "org1/app1", &image).await?;
    growth("tag PUT, 8 connections", &servers, &samples);
    let fresh = Cell::new(0_u64);
    let samples = alternate(rounds, &servers, async |server, _| -> Result<Work> {
        busy(server, 8, async |connection, _, _| {
            fresh.set(fresh.get() + 1);
            let blob = Numbers::new((1 << 50) + fresh.get()).bytes(1024);
            push_blob(connection, "bench/blobs", &digest(&blob), &blob).await
        })
        .await
    })
    .await?;
    growth("blob push, 8 connections", &servers, &samples);
    Ok(())
}
