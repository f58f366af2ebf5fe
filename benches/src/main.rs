//! The load program: this workspace's server beside CNCF distribution, by what users do.
//!
//! One thread that sends requests, servers in processes of their own that take turns, medians of
//! undisturbed rounds. `benches/README.md` says how to run it and what came of it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its output is what it is for"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]
#![expect(clippy::future_not_send, reason = "everything runs on one thread")]

mod round;
mod rows;
mod server;
mod usage;

use std::io::Result;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use rows::{accounts, memory, pushes, reads, scale, transfers};
use server::{Kind, Server};

/// Measures the reference server, beside CNCF distribution where its program is given.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The reference server's program.
    #[arg(long, default_value = "target/release/reference-server")]
    ours: PathBuf,
    /// CNCF distribution's program, `registry`.
    #[arg(long)]
    distribution: Option<PathBuf>,
    /// An empty PostgreSQL database: measures reads with metadata there, too.
    #[arg(long, requires = "postgres_pid")]
    postgres: Option<String>,
    /// The database server's first process.
    #[arg(long)]
    postgres_pid: Option<u32>,
    /// A directory on a disk.
    #[arg(long, default_value = "target/load")]
    disk: PathBuf,
    /// A directory in memory.
    #[arg(long, default_value = "/dev/shm/registry-load")]
    tmpfs: PathBuf,
    /// Undisturbed rounds for each server and row.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Tags, and repositories and blobs, of the large registries.
    #[arg(long, num_args = 2, default_values_t = [1_000_000, 100_000])]
    sizes: Vec<u64>,
    /// Rows to measure; all without.
    #[arg(value_enum)]
    rows: Vec<Row>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Row {
    Manifests,
    Blobs,
    Pulls,
    Pushes,
    Images,
    Mounts,
    Quota,
    TagPages,
    Tags,
    Repositories,
    Memory,
    Accounts,
}

fn main() -> Result<()> {
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let ours = Kind::Ours {
        program: options.ours.clone(),
    };
    let mut kinds = vec![ours.clone()];
    kinds.extend(
        options
            .distribution
            .clone()
            .map(|program| Kind::Distribution { program }),
    );
    let wanted = |row| options.rows.is_empty() || options.rows.contains(&row);
    let rounds = options.rounds;
    let mut servers = Vec::new();
    for kind in &kinds {
        servers.push(Server::start(kind, &options.disk).await?);
    }
    let servers: Vec<&Server> = servers.iter().collect();
    let on_postgres = match (&options.postgres, options.postgres_pid) {
        (Some(uri), Some(database)) => {
            let kind = Kind::OursOnPostgres {
                program: options.ours.clone(),
                uri: uri.clone(),
                database,
            };
            Some(Server::start(&kind, &options.disk).await?)
        }
        _ => None,
    };
    let with_postgres: Vec<&Server> = servers.iter().copied().chain(&on_postgres).collect();
    if wanted(Row::Manifests) || wanted(Row::Blobs) {
        let seeded = reads::seed(&with_postgres).await?;
        if wanted(Row::Manifests) {
            reads::manifests(rounds, &with_postgres, &seeded).await?;
        }
        if wanted(Row::Blobs) {
            reads::blobs(rounds, &with_postgres, &seeded).await?;
        }
    }
    if wanted(Row::Pulls) {
        transfers::pulls(rounds, &servers).await?;
    }
    if wanted(Row::Pushes) {
        let places = [
            ("tmpfs", options.tmpfs.as_path()),
            ("disk", options.disk.as_path()),
        ];
        transfers::pushes(rounds, &kinds, &places).await?;
    }
    if wanted(Row::Images) {
        pushes::images(rounds, &with_postgres).await?;
    }
    if wanted(Row::Mounts) {
        pushes::mounts(rounds, &with_postgres).await?;
    }
    if wanted(Row::Quota) {
        let database = options.postgres.as_deref().zip(options.postgres_pid);
        pushes::quota(rounds, &options.ours, &options.disk, database).await?;
    }
    if wanted(Row::TagPages) {
        reads::tag_pages(rounds, &with_postgres).await?;
    }
    let (tags, repositories) = match options.sizes[..] {
        [tags, repositories] => (tags, repositories),
        _ => (1_000_000, 100_000),
    };
    if wanted(Row::Tags) {
        scale::tags(rounds, &ours, &options.tmpfs, tags).await?;
    }
    if wanted(Row::Repositories) {
        scale::repositories(rounds, &ours, &options.tmpfs, repositories).await?;
    }
    if wanted(Row::Memory) {
        memory::peaks(&kinds, &options.disk).await?;
    }
    if wanted(Row::Accounts) {
        let database = options.postgres.as_deref().zip(options.postgres_pid);
        accounts::tokens_and_pulls(rounds, &options.ours, &options.disk, database).await?;
    }
    Ok(())
}
