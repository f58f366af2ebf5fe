//! The suite on a MariaDB server that this test starts, and what is particular to it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "support/mariadb.rs"]
mod mariadb;
#[path = "support/server.rs"]
mod server;

use std::time::Duration;

use mariadb::MariaDb;

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
async fn an_outage_is_told_and_survived() {
    server::an_outage_is_told_and_survived(&MariaDb::started(), Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_made_when_they_can_be() {
    let server = MariaDb::started();
    server::idle_connections_that_died_are_replaced(&server).await;
    server::the_first_connection_is_tried_for_a_while(&server).await;
    server::migrations_of_two_processes_do_not_meet(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quays_database_is_left_alone() {
    server::quays_database_is_left_alone(&MariaDb::started(), QUAY).await;
}
