//! What the server does to the disk, seen and disturbed from outside: durability in the order of its
//! system calls, a kill between any two of them, a full disk. Needs strace and the right to mount.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{OCI, Server, ask, command, files, image, sha256};
use tempfile::TempDir;

const NAME: &str = "org/app";

/// Attaches strace to a running server and waits until it traces.
fn trace(server: &Server, arguments: &[&str]) -> Child {
    let mut strace = Command::new("strace")
        .args(["-f", "-p", &server.child.id().to_string()])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is installed");
    let mut lines = BufReader::new(strace.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("attached") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "strace could not attach");
    }
    std::thread::spawn(move || {
        let mut rest = String::new();
        let _ = std::io::Read::read_to_string(&mut lines, &mut rest);
    });
    strace
}

/// What happened, in the order in which it ended.
struct Log(Vec<String>);

impl Log {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let mut begun: Vec<(String, String)> = Vec::new();
        let mut events = Vec::new();
        for line in text.lines() {
            let (pid, rest) = line.trim_start().split_once(' ').unwrap();
            let rest = rest.trim_start();
            if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
                // What leaves the process counts when it begins, everything else when it has ended.
                if is_answer(head) {
                    events.push(head.to_owned());
                }
                begun.push((pid.to_owned(), head.to_owned()));
            } else if rest.starts_with("<... ") {
                if let Some(position) = begun.iter().rposition(|(of, _)| of == pid) {
                    let (_, head) = begun.remove(position);
                    if !is_answer(&head) {
                        events.push(head);
                    }
                }
            } else {
                events.push(rest.to_owned());
            }
        }
        Self(events)
    }

    /// The position of the first event from `start` on that holds all of `parts`.
    fn after(&self, start: usize, parts: &[&str]) -> usize {
        let found = self.0[start..]
            .iter()
            .position(|event| parts.iter().all(|part| event.contains(part)));
        match found {
            Some(position) => start + position,
            None => panic!("no {parts:?} after event {start} of:\n{}", self.0.join("\n")),
        }
    }

    /// Follows a publication after `start`: the bytes synced, the name given by `call`, the directory
    /// synced, the rows synced, and only then a 201. Its position.
    fn published(&self, start: usize, upload: &str, call: &str, hex: &str) -> usize {
        let created = self.after(start + 1, &["HTTP/1.1 201"]);
        let bytes = self.after(start + 1, &["sync(", upload]);
        let named = self.after(bytes + 1, &[call, hex]);
        let directory = self.after(named + 1, &["fsync(", &format!("sha256/{}>", &hex[..2])]);
        let rows = self.after(directory + 1, &["sync(", "quay.db-wal"]);
        assert!(rows < created, "{hex} was answered before it was synced");
        created
    }
}

fn is_answer(event: &str) -> bool {
    event.contains("HTTP/1.1 20")
}

#[test]
fn no_answer_leaves_before_what_it_says_is_on_disk() {
    let data = TempDir::new().unwrap();
    let server = Server::open(data.path());
    // The repository and the directories of all prefixes that matter are there.
    server.push_blob(NAME, b"first");
    let log = data.path().join("strace.log");
    let calls =
        "trace=fsync,fdatasync,rename,renameat,renameat2,link,linkat,write,writev,pwrite64,sendto,sendmsg";
    let mut strace = trace(
        &server,
        &["-y", "-s", "64", "-o", log.to_str().unwrap(), "-e", calls],
    );
    let upload = server.begin(NAME);
    assert_eq!(server.ask("PATCH", &upload, &[], b"hel").status, 202);
    let digest = sha256(b"hello");
    assert_eq!(
        server
            .ask("PUT", &format!("{upload}?digest={digest}"), &[], b"lo")
            .status,
        201
    );
    let config = server.push_blob(NAME, b"{}");
    server.push_blob(NAME, b"{}");
    let mount = format!("/v2/org/other/blobs/uploads/?mount={config}&from={NAME}");
    assert_eq!(server.ask("POST", &mount, &[], b"").status, 201);
    let manifest = image(&config, &digest, "");
    let path = format!("/v2/{NAME}/manifests/v1");
    assert_eq!(
        server
            .ask("PUT", &path, &[("content-type", OCI)], &manifest)
            .status,
        201
    );
    assert!(server.stop().success());
    strace.wait().unwrap();
    let log = Log::read(&log);
    let wal = &["sync(", "quay.db-wal"][..];
    let hex = digest.strip_prefix("sha256:").unwrap();
    let id = upload.rsplit('/').next().unwrap();
    // POST: the session is on disk before the 202.
    let session = log.after(0, wal);
    let begun = log.after(0, &["HTTP/1.1 202"]);
    assert!(session < begun, "the session was answered before it was synced");
    // PATCH: the bytes, their name, then the session's state.
    let bytes = log.after(begun + 1, &["sync(", &format!("uploads/{id}>")]);
    let name = log.after(bytes + 1, &["fsync(", "storage/uploads>"]);
    let state = log.after(name + 1, wal);
    let accepted = log.after(begun + 1, &["HTTP/1.1 202"]);
    assert!(state < accepted, "a chunk was answered before it was synced");
    // PUT: the bytes, the published name, its directory, then the rows.
    let created = log.published(accepted, &format!("uploads/{id}>"), "link", hex);
    // In one request; then the same content again, which gets a name of its own until its rows are there.
    let config_hex = config.strip_prefix("sha256:").unwrap();
    let single = log.published(created, "uploads/", "link", config_hex);
    let again = log.published(single, "uploads/", "link", config_hex);
    // A mount: its rows.
    let rows = log.after(again + 1, wal);
    let mounted = log.after(again + 1, &["HTTP/1.1 201"]);
    assert!(rows < mounted, "a mount was answered before it was synced");
    // The manifest: its rows.
    let rows = log.after(mounted + 1, wal);
    let put = log.after(mounted + 1, &["HTTP/1.1 201"]);
    assert!(rows < put, "a manifest was answered before it was synced");
}

/// What a client was told before the server died.
#[derive(Debug, Default)]
struct Told {
    upload: Option<String>,
    stored: usize,
    blob: bool,
    single: bool,
    manifest: bool,
}

const HALF: &[u8] = b"the first half, ";
const REST: &[u8] = b"the rest";

/// Pushes until done or until the server dies.
fn push(address: &str, told: &mut Told, manifest: &[u8], digest: &str) -> std::io::Result<()> {
    let begun = ask(address, "POST", &format!("/v2/{NAME}/blobs/uploads/"), &[], b"")?;
    assert_eq!(begun.status, 202);
    let upload = begun.header("location").to_owned();
    told.upload = Some(upload.clone());
    assert_eq!(ask(address, "PATCH", &upload, &[], HALF)?.status, 202);
    told.stored = HALF.len();
    let put = ask(address, "PUT", &format!("{upload}?digest={digest}"), &[], REST)?;
    assert_eq!(put.status, 201);
    told.blob = true;
    let single = format!("/v2/{NAME}/blobs/uploads/?digest={}", sha256(b"{}"));
    assert_eq!(ask(address, "POST", &single, &[], b"{}")?.status, 201);
    told.single = true;
    // The same content again takes another way.
    assert_eq!(ask(address, "POST", &single, &[], b"{}")?.status, 201);
    let path = format!("/v2/{NAME}/manifests/v1");
    assert_eq!(
        ask(address, "PUT", &path, &[("content-type", OCI)], manifest)?.status,
        201
    );
    told.manifest = true;
    Ok(())
}

/// Everything that was acknowledged is there, and what was not can be done now.
fn check(server: &Server, told: &Told, manifest: &[u8], digest: &str, context: &str) {
    let whole = [HALF, REST].concat();
    let blob = format!("/v2/{NAME}/blobs/{digest}");
    if told.blob {
        assert_eq!(server.get(&blob).body, whole, "{context}: an acknowledged blob");
    } else if let Some(upload) = &told.upload {
        let status = server.get(upload);
        if status.status == 204 {
            let range = status.header("range");
            let stored: usize = range.rsplit('-').next().unwrap().parse::<usize>().unwrap() + 1;
            let stored = if range == "0-0" { 0 } else { stored };
            assert!(
                stored >= told.stored,
                "{context}: {stored} of {} bytes",
                told.stored
            );
            let put = server.ask("PUT", &format!("{upload}?digest={digest}"), &[], &whole[stored..]);
            assert_eq!(put.status, 201, "{context}: {}", put.text());
        } else {
            // The rows were written, only the answer was lost.
            assert_eq!(status.status, 404, "{context}: {}", status.text());
        }
        assert_eq!(server.get(&blob).body, whole, "{context}: a resumed blob");
    } else {
        assert_eq!(server.push_blob(NAME, &whole), digest);
    }
    let config = server.get(&format!("/v2/{NAME}/blobs/{}", sha256(b"{}")));
    if told.single {
        assert_eq!(config.body, b"{}", "{context}: an acknowledged blob");
    } else {
        assert!(
            config.status == 404 || config.body == b"{}",
            "{context}: {config:?}"
        );
        server.push_blob(NAME, b"{}");
    }
    let path = format!("/v2/{NAME}/manifests/v1");
    if !told.manifest {
        let put = server.ask("PUT", &path, &[("content-type", OCI)], manifest);
        assert_eq!(put.status, 201, "{context}: {}", put.text());
    }
    assert_eq!(server.get(&path).body, manifest, "{context}");
}

#[test]
fn a_kill_between_any_two_steps_loses_nothing_and_leaves_no_litter() {
    let whole = [HALF, REST].concat();
    let digest = sha256(&whole);
    let manifest = image(&sha256(b"{}"), &digest, "");
    let mut deaths = 0;
    for call in [
        "pwrite64",
        "fdatasync",
        "fsync",
        "mkdir,mkdirat",
        "link,linkat",
        "rename,renameat,renameat2",
        "unlink,unlinkat",
        "ftruncate",
    ] {
        for count in 1..=12 {
            let data = TempDir::new().unwrap();
            // Threads count their calls for themselves, so there are as few as can be.
            let mut command = command(data.path(), &["--open"]);
            command.env("TOKIO_WORKER_THREADS", "1");
            let server = Server::start(command);
            let inject = format!("inject={call}:signal=KILL:when={count}");
            let mut strace = trace(
                &server,
                &["-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject],
            );
            let mut told = Told::default();
            let died = push(&server.address, &mut told, &manifest, &digest).is_err();
            server.kill();
            strace.wait().unwrap();
            deaths += usize::from(died);
            let context = format!("killed at {call} number {count}, told {told:?}");
            let server = Server::open(data.path());
            check(&server, &told, &manifest, &digest, &context);
            assert!(server.stop().success());
            // The sweep at the start, or the one at the next, leaves the two blobs and nothing else.
            let server = Server::open(data.path());
            support::until(&format!("the sweep: {context}"), || {
                files(&data.path().join("storage/uploads")).is_empty()
            });
            drop(server);
            assert_eq!(files(&data.path().join("storage")).len(), 2, "{context}");
            // Threads count for themselves: once none reaches the number, none reaches a higher one.
            if !died {
                break;
            }
        }
    }
    assert!(deaths >= 12, "the server died at {deaths} steps only");
}

struct SmallDisk(TempDir);

impl SmallDisk {
    fn new(size: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "the right to mount is needed");
        Self(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_what_does_not_fit_and_serves_on() {
    let disk = SmallDisk::new("8m");
    let server = Server::start(command(disk.0.path(), &["--open"]));
    let kept = server.push_blob(NAME, b"kept");
    let large = vec![3_u8; 16 << 20];
    let digest = sha256(&large);
    // In one request, and in a chunk of a session.
    let upload = server.begin(NAME);
    for (method, path) in [
        ("POST", format!("/v2/{NAME}/blobs/uploads/?digest={digest}")),
        ("PATCH", upload.clone()),
    ] {
        let answer = server.ask(method, &path, &[], &large);
        assert_eq!(answer.status, 507, "{method}: {}", answer.text());
        assert!(answer.text().contains("storage is full"), "{}", answer.text());
    }
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{digest}")).status, 404);
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{kept}")).body, b"kept");
    assert_eq!(
        server.get(&upload).header("range"),
        "0-0",
        "the session stands where it stood"
    );
    assert_eq!(server.ask("DELETE", &upload, &[], b"").status, 204);
    // There is room again for what fits.
    server.push_blob(NAME, &vec![4_u8; 1 << 20]);
}

#[test]
fn a_disk_too_full_for_a_row_refuses_and_serves_on() {
    let disk = SmallDisk::new("4m");
    let server = Server::start(command(disk.0.path(), &["--open"]));
    let kept = server.push_blob(NAME, b"kept");
    let filler = disk.0.path().join("filler");
    let _ = std::fs::write(&filler, vec![0_u8; 8 << 20]);
    let mut refused = false;
    for index in 0..2000 {
        let answer = server.ask("POST", &format!("/v2/{NAME}{index}/blobs/uploads/"), &[], b"");
        if answer.status != 202 {
            assert_eq!(answer.status, 507, "{}", answer.text());
            refused = true;
            break;
        }
    }
    assert!(refused, "2000 rows found room on a full disk");
    assert_eq!(server.get(&format!("/v2/{NAME}/blobs/{kept}")).body, b"kept");
    std::fs::remove_file(filler).unwrap();
    server.push_blob(NAME, b"more");
    let server_data = disk.0.path().to_owned();
    server.kill();
    let server = Server::open(&server_data);
    assert_eq!(
        server.get(&format!("/v2/{NAME}/blobs/{}", sha256(b"more"))).body,
        b"more"
    );
}
