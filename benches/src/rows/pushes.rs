//! Small images, mounts.

use std::cell::Cell;
use std::io::Result;
use std::path::Path;

use super::{busy, push_blob, push_image};
use crate::round::{Unit, alternate, print};
use crate::server::{Kind, Server};
use benches::content::{Image, Numbers, digest};

/// Numbers that never come twice, so that what is made of them is new.
#[derive(Debug, Default)]
struct Fresh(Cell<u64>);

impl Fresh {
    fn next(&self) -> u64 {
        self.0.set(self.0.get() + 1);
        self.0.get() + (1 << 32)
    }
}

pub(crate) async fn images(rounds: usize, servers: &[&Server]) -> Result<()> {
    let fresh = Fresh::default();
    for clients in [1, 8] {
        let samples = alternate(rounds, servers, async |server, _| {
            busy(server, clients, async |connection, client, count| {
                let image = Image::new(fresh.next());
                let name = format!("bench/images-{client}");
                push_image(connection, &name, &format!("v{count}"), &image).await
            })
            .await
        })
        .await?;
        let row = format!("push of a small image (13 requests), {clients} clients");
        print(&row, Unit::Requests, servers, &samples);
    }
    Ok(())
}

pub(crate) async fn mounts(rounds: usize, servers: &[&Server]) -> Result<()> {
    const BLOBS: u64 = 32;
    let source = "bench/source";
    let mut digests = Vec::new();
    for seed in 0..BLOBS {
        let blob = Numbers::new(5000 + seed).bytes(1024);
        for server in servers {
            push_blob(&mut server.connect().await?, source, &digest(&blob), &blob).await?;
        }
        digests.push(digest(&blob));
    }
    // Each mount is a new one: a repository gets every blob once.
    let fresh = Fresh::default();
    let samples = alternate(rounds, servers, async |server, _| {
        let base = fresh.next();
        busy(server, 8, async |connection, client, count| {
            let target = format!("bench/mount-{base}-{client}-{}", count / BLOBS);
            let index = usize::try_from(count % BLOBS).unwrap_or_default();
            let digest = digests.get(index).map_or("", String::as_str);
            let path = format!("/v2/{target}/blobs/uploads/?mount={digest}&from={source}");
            connection.ask("POST", &path, "", b"", &[201]).await?;
            Ok(())
        })
        .await
    })
    .await?;
    print(
        "cross-repository mount, 8 clients",
        Unit::Requests,
        servers,
        &samples,
    );
    Ok(())
}

/// A thousand clients push into one namespace, where bytes are counted and a quota holds, and where not.
pub(crate) async fn quota(
    rounds: usize,
    program: &Path,
    place: &Path,
    database: Option<(&str, u32)>,
) -> Result<()> {
    const QUOTA: &str = "FEATURE_QUOTA_MANAGEMENT: true\nDEFAULT_SYSTEM_REJECT_QUOTA_BYTES: 1000000000000\n";
    let mut pairs = vec![(String::new(), None, "ours", "ours/quota")];
    if let Some((uri, process)) = database {
        let config = format!("DB_URI: {uri}\n");
        pairs.push((config, Some(process), "ours/postgres", "ours/postgres/quota"));
    }
    for (config, database, without, with) in pairs {
        let kind = |more: &str, name| Kind::OursWith {
            program: program.to_owned(),
            config: format!("{config}{more}"),
            database,
            name,
        };
        let servers = [
            Server::start(&kind("", without), place).await?,
            Server::start(&kind(QUOTA, with), place).await?,
        ];
        let servers: Vec<&Server> = servers.iter().collect();
        let fresh = Fresh::default();
        for clients in [8, 1000] {
            let samples = alternate(rounds, &servers, async |server, _| {
                // The two of a pair may share a database.
                let namespace = server.label.replace('/', "-");
                busy(server, clients, async |connection, client, count| {
                    let image = Image::new(fresh.next());
                    let name = format!("{namespace}/images-{}", client % 50);
                    push_image(connection, &name, &format!("v{client}-{count}"), &image).await
                })
                .await
            })
            .await?;
            let row = format!("push of a small image into one namespace, {clients} clients");
            print(&row, Unit::Requests, &servers, &samples);
        }
    }
    Ok(())
}
