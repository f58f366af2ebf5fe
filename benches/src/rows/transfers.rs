//! Large blobs on their way in and out.

use std::io::Result;
use std::path::Path;

use benches::content::Large;
use benches::transfer::{pull, push};
use benches::wire::failed;
use futures::future::try_join_all;

use crate::round::{Sample, Unit, Work, alternate, measure, print};
use crate::server::{Kind, Server};

pub(crate) const GIB: u64 = 1 << 30;
const CHUNK: u64 = 16 << 20;
/// What rates are counted in.
const GB: f64 = 1e9;

pub(crate) async fn pulls(rounds: usize, servers: &[&Server]) -> Result<()> {
    let name = "bench/pulls";
    let content = Large::new(7, GIB);
    for server in servers {
        push(server.address, name, &mut content.clone(), None).await?;
    }
    for (streams, each) in [(1, 3), (4, 1)] {
        let samples = alternate(rounds, servers, async |server, _| {
            let loops = (0..streams).map(|_| {
                let mut content = content.clone();
                async move {
                    for _ in 0..each {
                        pull(server.address, name, &mut content).await?;
                    }
                    Result::Ok(())
                }
            });
            try_join_all(loops).await?;
            Ok(Work {
                amount: f64::from(streams * each) * GIB as f64 / GB,
                ..Work::default()
            })
        })
        .await?;
        print(
            &format!("1 GiB pull, {streams} streams"),
            Unit::Gigabytes,
            servers,
            &samples,
        );
    }
    Ok(())
}

/// Pushes new content in every round, each time to a server on an empty directory.
pub(crate) async fn pushes(rounds: usize, kinds: &[Kind], places: &[(&str, &Path)]) -> Result<()> {
    for (place, directory) in places {
        for (how, chunk) in [("one PUT", None), ("16 MiB chunks", Some(CHUNK))] {
            let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); kinds.len()];
            let mut seed = 1000;
            let mut attempts = 0;
            while samples.iter().any(|kept| kept.len() < rounds) {
                attempts += 1;
                if attempts > rounds * 4 {
                    return Err(failed("too few rounds were undisturbed"));
                }
                for (kind, kept) in kinds.iter().zip(&mut samples) {
                    if kept.len() == rounds {
                        continue;
                    }
                    seed += 1;
                    let mut content = Large::new(seed, GIB);
                    let server = Server::start(kind, directory).await?;
                    let sample = measure(&server, async {
                        push(server.address, "bench/pushes", &mut content, chunk).await?;
                        Ok(Work {
                            amount: GIB as f64 / GB,
                            ..Work::default()
                        })
                    })
                    .await?;
                    match sample.disturbed() {
                        None => kept.push(sample),
                        Some(reason) => eprintln!("  a round of {} does not count: {reason}", kind.name()),
                    }
                }
            }
            // Printed with servers that only lend their names.
            let mut servers = Vec::new();
            for kind in kinds {
                servers.push(Server::start(kind, directory).await?);
            }
            let servers: Vec<&Server> = servers.iter().collect();
            print(
                &format!("1 GiB push on {place}, {how}"),
                Unit::Gigabytes,
                &servers,
                &samples,
            );
        }
    }
    Ok(())
}
