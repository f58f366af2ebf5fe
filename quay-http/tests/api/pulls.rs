//! How often tags and manifests were pulled, as clients see it.

use quay_core::runtime::Clock as _;
use quay_core::{Caller, Reference, RepositoryName};
use serde_json::json;

use crate::roles::fixture::{fresh, registry};

const TAG: &str = "/api/v1/repository/org/open/tag/latest/pull_statistics";

#[tokio::test]
async fn pulls_are_told_once_they_are_written() {
    let host = fresh(registry()).await;
    let name = RepositoryName::from_path("org/open").unwrap();
    let pull = async |reference: &str| {
        let reference = Reference::parse(reference).unwrap();
        let found = host
            .registry
            .manifest(&name, &reference, &Caller::anonymous())
            .await;
        found.unwrap().digest.to_string()
    };
    let seen = async |path: &str| {
        let seen = host.get(path).await;
        assert_eq!(seen.status, 200, "{path}");
        seen.json()
    };
    let digest = pull("latest").await;
    let expected = json!({
        "tag_name": "latest",
        "tag_pull_count": 0,
        "last_tag_pull_date": null,
        "current_manifest_digest": digest,
        "manifest_pull_count": 0,
        "last_manifest_pull_date": null,
    });
    assert_eq!(seen(TAG).await, expected);
    pull(&digest).await;
    let now = host.clock.now().as_millis() / 1000;
    let now =
        httpdate::fmt_http_date(std::time::UNIX_EPOCH + std::time::Duration::from_secs(now.unsigned_abs()));
    let now = now.replace("GMT", "-0000");
    host.registry.flush_pulls().await.unwrap();
    let expected = json!({
        "tag_name": "latest",
        "tag_pull_count": 1,
        "last_tag_pull_date": now,
        "current_manifest_digest": digest,
        "manifest_pull_count": 2,
        "last_manifest_pull_date": now,
    });
    assert_eq!(seen(TAG).await, expected);
    let of_manifest = format!("/api/v1/repository/org/open/manifest/{digest}/pull_statistics");
    let expected = json!({
        "manifest_digest": digest,
        "manifest_pull_count": 2,
        "last_manifest_pull_date": now,
    });
    assert_eq!(seen(&of_manifest).await, expected);
}

#[tokio::test]
async fn where_pulls_are_not_told_there_is_no_such_page() {
    let mut options = registry();
    options.pull_statistics = false;
    let host = fresh(options).await;
    assert!(host.get(TAG).await.is_html_404());
}
