//! Clients as people use them.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs a program that must be installed and must succeed.
pub(crate) fn run(directory: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory)
        .env("XDG_RUNTIME_DIR", directory)
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?} failed:\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What a program wrote.
pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A working directory with an image of one real layer in an OCI layout.
pub(crate) fn with_image() -> TempDir {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    run(root, "umoci", &["init", "--layout", "image"]);
    run(root, "umoci", &["new", "--image", "image:v1"]);
    run(root, "umoci", &["unpack", "--image", "image:v1", "bundle"]);
    std::fs::write(root.join("bundle/rootfs/hello.txt"), vec![b'x'; 3_000_000]).unwrap();
    run(root, "umoci", &["repack", "--image", "image:v1", "bundle"]);
    directory
}
