//! Certificates of an authority of a test's own.

use std::path::Path;
use std::process::Command;

use super::server::succeed;

/// The files are `ca.pem`, `server.pem`, `server.key`, `client.pem` and `client.key`. The server's is for
/// `localhost` and no address.
pub(crate) fn make(directory: &Path) {
    let openssl = |arguments: &[&str]| {
        succeed(Command::new("openssl").args(arguments).current_dir(directory));
    };
    let new = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let authority = ["-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(&[&new[..], &authority].concat());
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=quay")] {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", subject];
        let extensions = [
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        let files = ["-keyout", &key, "-out", &certificate];
        openssl(&[&new[..], &signed, &extensions, &files].concat());
    }
}
