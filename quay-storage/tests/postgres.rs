//! The suites on a PostgreSQL server that this test starts, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/garbage.rs"]
mod garbage;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/quota.rs"]
mod quota;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use postgres::Postgres;
use server::Server as _;

/// What is left of Quay's schema when most of it is left out.
const QUAY: &str = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL); \
     INSERT INTO alembic_version VALUES ('c3d4b7ebcdf7'); \
     CREATE TABLE \"user\" (id SERIAL PRIMARY KEY, username VARCHAR(255) NOT NULL UNIQUE); \
     INSERT INTO \"user\" (username) VALUES ('ann'), ('bob')";

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    server::the_suite_passes(Postgres::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_collect_everything_once() {
    server::two_processes_collect_everything_once(&Postgres::started(), "ANALYZE").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_at_once_keep_to_the_quota() {
    server::pushes_at_once_keep_to_the_quota(&Postgres::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_accounts_passes() {
    server::the_suite_of_accounts_passes(Postgres::started()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_and_survived() {
    server::an_outage_is_told_and_survived(&Postgres::started(), Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_made_when_they_can_be() {
    let server = Postgres::started();
    server::idle_connections_that_died_are_replaced(&server).await;
    server::connections_may_be_used_once(&server).await;
    server::the_first_connection_is_tried_for_a_while(&server).await;
    server::migrations_of_two_processes_do_not_meet(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quays_database_is_left_alone() {
    server::quays_database_is_left_alone(&Postgres::started(), QUAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked() {
    let server = Postgres::started();
    server.stop();
    let data = server.data();
    certificates::make(&data);
    std::fs::write(
        data.join("pg_hba.conf"),
        "hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n",
    )
    .unwrap();
    let settings = format!(
        "ssl = on\nssl_ca_file = '{0}/ca.pem'\nssl_cert_file = '{0}/server.pem'\nssl_key_file = '{0}/server.key'\n",
        data.display()
    );
    std::fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
    server.own();
    server.start();
    server::certificates_are_checked(&server, &data).await;
}
