//! Rounds: the servers take turns, a disturbed round is made again, medians are printed.

use std::io::Result;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::Server;
use crate::usage::{machine_cpu, own_cpu, tree_cpu};
use benches::wire::failed;

/// A client this busy measures itself.
const CLIENT_LIMIT: f64 = 0.9;
/// Others this busy disturb.
const OTHERS_LIMIT: f64 = 0.3;

/// What a round did.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Requests, images, gigabytes: what rates and costs are counted in.
    pub(crate) amount: f64,
    /// How long each request took.
    pub(crate) latencies: Vec<Duration>,
}

/// What a round cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Amount per second.
    pub(crate) rate: f64,
    /// Processor seconds of the server per amount.
    pub(crate) cpu: f64,
    /// Processor seconds of a database server per amount.
    pub(crate) database: f64,
    /// Seconds within which 99 of 100 requests were answered.
    pub(crate) p99: f64,
    /// Seconds within which half of the requests were answered.
    pub(crate) p50: f64,
    /// Cores that the client used.
    pub(crate) client: f64,
    /// Cores that neither client nor server used.
    pub(crate) others: f64,
}

impl Sample {
    pub(crate) fn disturbed(&self) -> Option<String> {
        if self.client > CLIENT_LIMIT {
            Some(format!("the client used {:.2} of a core", self.client))
        } else if self.others > OTHERS_LIMIT {
            Some(format!("others used {:.2} of a core", self.others))
        } else {
            None
        }
    }
}

/// Measures one round against one server.
pub(crate) async fn measure(server: &Server, work: impl Future<Output = Result<Work>>) -> Result<Sample> {
    let database_cpu = || server.kind.database().map_or(Duration::ZERO, tree_cpu);
    let before = (tree_cpu(server.pid()), own_cpu(), machine_cpu()?, database_cpu());
    let started = Instant::now();
    let mut done = work.await?;
    let wall = started.elapsed().as_secs_f64();
    let server_cpu = tree_cpu(server.pid()).saturating_sub(before.0).as_secs_f64();
    let client = own_cpu().saturating_sub(before.1).as_secs_f64();
    let machine = machine_cpu()?.saturating_sub(before.2).as_secs_f64();
    let database = database_cpu().saturating_sub(before.3).as_secs_f64();
    done.latencies.sort();
    let percentile = |part: usize| {
        let index = (done.latencies.len() * part / 100).min(done.latencies.len().saturating_sub(1));
        done.latencies.get(index).map_or(0.0, Duration::as_secs_f64)
    };
    Ok(Sample {
        rate: done.amount / wall,
        cpu: server_cpu / done.amount,
        database: database / done.amount,
        p99: percentile(99),
        p50: percentile(50),
        client: client / wall,
        others: ((machine - server_cpu - client - database) / wall).max(0.0),
    })
}

/// Runs `rounds` undisturbed rounds against each server, the servers taking turns. The work is handed the
/// number of the attempt, which never comes twice.
pub(crate) async fn alternate(
    rounds: usize,
    servers: &[&Server],
    mut work: impl AsyncFnMut(&Server, u64) -> Result<Work>,
) -> Result<Vec<Vec<Sample>>> {
    let mut samples = vec![Vec::new(); servers.len()];
    // Not counted: connections, caches and allocators come to rest.
    for (index, server) in servers.iter().enumerate() {
        work(server, index as u64).await?;
    }
    for attempt in 0..rounds * 4 {
        for (index, server) in servers.iter().enumerate() {
            let Some(kept) = samples.get_mut(index).filter(|kept| kept.len() < rounds) else {
                continue;
            };
            let number = 1000 + (attempt * servers.len() + index) as u64;
            let sample = measure(server, work(server, number)).await?;
            match sample.disturbed() {
                None => kept.push(sample),
                Some(reason) => eprintln!("  a round of {} does not count: {reason}", server.label),
            }
        }
    }
    match samples.iter().position(|kept| kept.len() < rounds) {
        None => Ok(samples),
        Some(index) => Err(failed(format!(
            "{}: {} of {rounds} rounds were undisturbed",
            servers.get(index).map_or("?", |server| server.label.as_str()),
            samples.get(index).map_or(0, Vec::len)
        ))),
    }
}

/// The middle one of the samples by some figure.
pub(crate) fn median(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    let mut figures: Vec<f64> = samples.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How the figures of a row are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// Requests per second, milliseconds of processor time each.
    Requests,
    /// Gigabytes per second, seconds of processor time each.
    Gigabytes,
}

/// Prints a row: each server's medians, and the ratios of the first to each other one.
pub(crate) fn print(row: &str, unit: Unit, servers: &[&Server], samples: &[Vec<Sample>]) {
    println!("\n{row}");
    let (name, scale, digits) = match unit {
        Unit::Requests => ("/s", 1000.0, "ms"),
        Unit::Gigabytes => ("GB/s", 1.0, "s/GB"),
    };
    for (server, samples) in servers.iter().zip(samples) {
        let database = median(samples, |sample| sample.database);
        let of_database = if database > 0.0 {
            format!(" (database {:.3})", database * scale)
        } else {
            String::new()
        };
        println!(
            "  {:<14} {:>10.2} {name}  cpu {:.3} {digits}{of_database}  p50 {:.2} ms  p99 {:.2} ms  client {:.2}  others {:.2}",
            server.label,
            median(samples, |sample| sample.rate),
            median(samples, |sample| sample.cpu) * scale,
            median(samples, |sample| sample.p50) * 1000.0,
            median(samples, |sample| sample.p99) * 1000.0,
            median(samples, |sample| sample.client),
            median(samples, |sample| sample.others),
        );
    }
    let Some(peer) = servers
        .iter()
        .zip(samples)
        .find(|(server, _)| server.label == "distribution")
    else {
        return;
    };
    for (server, samples) in servers.iter().zip(samples) {
        if server.label != "distribution" {
            let ratio = |figure: fn(&Sample) -> f64| median(samples, figure) / median(peer.1, figure);
            println!(
                "  {} to distribution: rate {:.2}, cpu {:.2}, p50 {:.2}, p99 {:.2}",
                server.label,
                ratio(|sample| sample.rate),
                ratio(|sample| sample.cpu),
                ratio(|sample| sample.p50),
                ratio(|sample| sample.p99),
            );
        }
    }
}
