//! What processes use, as the kernel counts it.

use std::fs;
use std::io;
use std::time::Duration;

/// Processor time of a process and all that it started.
pub(crate) fn tree_cpu(root: u32) -> Duration {
    tree(root)
        .into_iter()
        .filter_map(|pid| stat(pid).map(|stat| stat.cpu))
        .sum()
}

/// Processor time of this process.
pub(crate) fn own_cpu() -> Duration {
    let usage = stat(std::process::id());
    usage.map_or(Duration::ZERO, |stat| stat.cpu)
}

/// Time that all processors of the machine have been busy.
pub(crate) fn machine_cpu() -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // user, nice, system; irq, softirq, steal. What stands between them is waiting.
    let busy = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|&index| fields.get(index))
        .sum::<u64>();
    Ok(ticks(busy))
}

/// Memory of a process tree, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// What no file backs.
    pub(crate) anonymous: u64,
    /// Mapped files, of which the kernel can drop pages at will.
    pub(crate) files: u64,
}

pub(crate) fn tree_memory(root: u32) -> Memory {
    let mut memory = Memory::default();
    for pid in tree(root) {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
            continue;
        };
        let kib = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or_default()
        };
        memory.anonymous += kib("RssAnon:") << 10;
        memory.files += (kib("RssFile:") + kib("RssShmem:")) << 10;
    }
    memory
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and parentheses; what follows its last one does not.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        cpu: ticks(number(11)? + number(12)?),
    })
}

fn tree(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.parent)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(count * 1000 / per_second)
}
