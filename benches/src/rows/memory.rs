//! Memory at its peak while many large blobs are on their way.

use std::cell::Cell;
use std::io::Result;
use std::path::Path;
use std::time::Duration;

use benches::content::Large;
use benches::transfer::{pull, push};
use futures::future::try_join_all;

use super::transfers::GIB;
use crate::server::{Kind, Server};
use crate::usage::{Memory, tree_memory};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(2);

/// The highest values seen while `work` runs.
async fn peak(server: &Server, work: impl Future<Output = Result<()>>) -> Result<Memory> {
    let highest = Cell::new(Memory::default());
    let watch = async {
        loop {
            let now = tree_memory(server.pid());
            let before = highest.get();
            highest.set(Memory {
                anonymous: before.anonymous.max(now.anonymous),
                files: before.files.max(now.files),
            });
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        outcome = work => outcome?,
        () = watch => {}
    }
    Ok(highest.get())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// Prints the peaks for `counts` transfers at once, each on a fresh server, and what each further one
/// costs.
async fn print_peaks(
    kind: &Kind,
    what: &str,
    counts: [u32; 2],
    measure: impl AsyncFn(u32) -> Result<Memory>,
) -> Result<()> {
    let mut peaks = Vec::new();
    for count in counts {
        let memory = measure(count).await?;
        println!(
            "  {:<14} {count:>2} {what}: {:>6.1} MiB anonymous, {:>6.1} MiB of files",
            kind.name(),
            mib(memory.anonymous),
            mib(memory.files)
        );
        peaks.push(memory.anonymous);
    }
    if let [few, many] = peaks[..] {
        let further = (mib(many) - mib(few)) / f64::from(counts[1] - counts[0]);
        println!("  {:<14} each further one: {further:.2} MiB", kind.name());
    }
    Ok(())
}

pub(crate) async fn peaks(kinds: &[Kind], place: &Path) -> Result<()> {
    println!("\npeak memory");
    for kind in kinds {
        print_peaks(kind, "pulls of 1 GiB", [4, 16], async |count| {
            let content = Large::new(11, GIB);
            let server = Server::start(kind, place).await?;
            push(server.address, "bench/memory", &mut content.clone(), None).await?;
            // The pushes' memory is not the pulls'.
            let server = server.restart().await?;
            let pulls = (0..count).map(|_| {
                let mut content = content.clone();
                let address = server.address;
                async move { pull(address, "bench/memory", &mut content).await }
            });
            peak(&server, async { try_join_all(pulls).await.map(drop) }).await
        })
        .await?;
        print_peaks(kind, "pushes of 256 MiB", [4, 16], async |count| {
            let server = Server::start(kind, place).await?;
            let contents: Vec<Large> = (0..count)
                .map(|seed| Large::new(20 + u64::from(seed), GIB / 4))
                .collect();
            let pushes = contents.into_iter().map(|mut content| {
                let address = server.address;
                async move { push(address, "bench/memory", &mut content, None).await }
            });
            peak(&server, async { try_join_all(pushes).await.map(drop) }).await
        })
        .await?;
    }
    Ok(())
}
