//! The suites on a MariaDB server that this test starts, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/garbage.rs"]
mod garbage;
#[path = "support/mariadb.rs"]
mod mariadb;
#[path = "support/quota.rs"]
mod quota;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use mariadb::MariaDb;
use quay_storage::{ConnectOptions, Tls, TlsMode};
use server::Server as _;
use tempfile::TempDir;

/// What is left of Quay's schema when most of it is left out.
const QUAY: &str = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL); \
     INSERT INTO alembic_version VALUES ('c3d4b7ebcdf7'); \
     CREATE TABLE `user` (id INT AUTO_INCREMENT PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE); \
     INSERT INTO `user` (username) VALUES ('ann'), ('bob')";

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    server::the_suite_passes(MariaDb::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_collect_everything_once() {
    const ANALYZE: &str = "ANALYZE TABLE qr_blob, qr_blob_link, qr_label, qr_manifest, qr_manifest_edge, \
         qr_placement, qr_review, qr_tag";
    server::two_processes_collect_everything_once(&MariaDb::started(), ANALYZE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_once_keep_to_the_quota() {
    server::pushes_at_once_keep_to_the_quota(&MariaDb::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_accounts_passes() {
    server::the_suite_of_accounts_passes(MariaDb::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_survived() {
    server::an_outage_is_told_and_survived(&MariaDb::started(), Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_made_when_they_can_be() {
    let server = MariaDb::started();
    server::idle_connections_that_died_are_replaced(&server).await;
    server::connections_may_be_used_once(&server).await;
    server::the_first_connection_is_tried_for_a_while(&server).await;
    server::migrations_of_two_processes_do_not_meet(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quays_database_is_left_alone() {
    server::quays_database_is_left_alone(&MariaDb::started(), QUAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    let directory = TempDir::new().unwrap();
    certificates::make(directory.path());
    let at = directory.path().display().to_string();
    let options = [
        format!("--ssl-ca={at}/ca.pem"),
        format!("--ssl-cert={at}/server.pem"),
        format!("--ssl-key={at}/server.key"),
        "--require-secure-transport=ON".to_owned(),
    ];
    let server = MariaDb::started_with(&options);
    server::certificates_are_checked(&server, directory.path()).await;
    let by_name = server.fresh_database().replace("127.0.0.1", "localhost");
    server.execute(
        "mysql",
        "CREATE USER shown@localhost REQUIRE X509; GRANT ALL ON *.* TO shown@localhost",
    );
    let uri = by_name.replace("root@", "shown@");
    let tls = Tls::new(TlsMode::VerifyFull).with_authorities(directory.path().join("ca.pem"));
    let anonymous = ConnectOptions::default().with_tls(tls.clone());
    server.connect(&uri, &anonymous).await.unwrap_err();
    let at = |name: &str| directory.path().join(name);
    let shown = ConnectOptions::default().with_tls(tls.with_client(at("client.pem"), at("client.key")));
    server.connect(&uri, &shown).await.unwrap();
}
