//! What is wrong with images, as clients see it.

use quay_core::metadata::{NewManifest, ScanRecord, ScanStatus};
use quay_core::scanner::{Feature, ScanLayer, ScanRequest, Scanner as _, Severity, Vulnerability};
use quay_core::{Algorithm, Digest, MediaType, RepositoryName};
use serde_json::{Value, json};

use crate::roles::fixture::{fresh, registry};
use crate::support::Host;

const LAYER: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A manifest of `org/open` and what is recorded of its scan.
async fn put(host: &Host, seed: &str, status: ScanStatus) -> Digest {
    let name = RepositoryName::from_path("org/open").unwrap();
    let digest = Digest::of(Algorithm::Sha256, seed.as_bytes());
    let media_type = MediaType::known(MediaType::OCI_MANIFEST);
    let manifest = NewManifest::new(digest, media_type, seed.to_owned().into());
    let now = quay_core::runtime::Timestamp::from_millis(0);
    let mut unit = host.accounts.store().begin_accounts().await.unwrap();
    let repository = unit.repositories().find(&name).await.unwrap().unwrap().id;
    let (id, _) = unit.manifests().put(repository, &manifest, now).await.unwrap();
    let scans = unit.scans().unwrap();
    let record = ScanRecord::new(status, now);
    scans.save(repository, id, &digest, &record).await.unwrap();
    unit.commit().await.unwrap();
    digest
}

async fn seen(host: &Host, digest: &Digest, query: &str) -> (u16, Value) {
    let path = format!("/api/v1/repository/org/open/manifest/{digest}/security{query}");
    let seen = host.ask("GET", &path, &[], "").await;
    (seen.status.as_u16(), seen.json())
}

#[tokio::test]
async fn a_scan_is_told_in_quays_words() {
    let host = fresh(registry()).await;
    let digest = put(&host, "scanned", ScanStatus::Scanned).await;
    let mut vulnerability = Vulnerability::new("CVE-2024-1", Severity::Critical);
    vulnerability.link = Some("https://cve.example/1".to_owned());
    vulnerability.fixed_by = Some("1.1".to_owned());
    let mut feature = Feature::new("zlib", "1.0", "");
    feature.base_scores.push(9.8);
    feature.cve_ids.push("CVE-2024-1".to_owned());
    let layer: Digest = LAYER.parse().unwrap();
    host.scanner.know_layer(layer, vec![feature]);
    host.scanner.know_vulnerability("zlib", &vulnerability);
    let request = ScanRequest::new(
        RepositoryName::from_path("org/open").unwrap(),
        digest,
        MediaType::known(MediaType::OCI_MANIFEST),
        vec![ScanLayer::new(layer, None)],
    );
    host.scanner.index(&request).await.unwrap();
    let expected = |vulnerabilities: Value| {
        json!({ "status": "scanned", "data": { "Layer": {
            "Name": digest,
            "ParentName": "",
            "NamespaceName": "",
            "IndexedByVersion": 4,
            "Features": [{
                "Name": "zlib",
                "VersionFormat": "",
                "NamespaceName": "",
                "AddedBy": LAYER,
                "Version": "1.0",
                "BaseScores": [9.8],
                "CVEIds": ["CVE-2024-1"],
                "Vulnerabilities": vulnerabilities,
            }],
        } } })
    };
    let found = json!([{
        "Severity": "Critical",
        "NamespaceName": null,
        "Link": "https://cve.example/1",
        "FixedBy": "1.1",
        "Description": null,
        "Name": "CVE-2024-1",
        "Metadata": null,
    }]);
    let all = seen(&host, &digest, "?features=true&vulnerabilities=true").await;
    assert_eq!(all, (200, expected(found)));
    assert_eq!(seen(&host, &digest, "").await, (200, expected(json!([]))));
    // What the scanner has forgotten waits once more.
    host.scanner.change_state("2");
    let queued = json!({ "status": "queued", "data": null });
    assert_eq!(seen(&host, &digest, "").await, (200, queued));
}

#[tokio::test]
async fn every_status_is_an_answer() {
    let host = fresh(registry()).await;
    for (status, name) in [
        (ScanStatus::Queued, "queued"),
        (ScanStatus::Unsupported, "unsupported"),
        (ScanStatus::Failed, "failed"),
    ] {
        let digest = put(&host, name, status).await;
        let expected = json!({ "status": name, "data": null });
        assert_eq!(seen(&host, &digest, "").await, (200, expected));
    }
    let none = Digest::of(Algorithm::Sha256, b"none");
    assert_eq!(seen(&host, &none, "").await.0, 404);
}

#[tokio::test]
async fn where_nothing_is_scanned_there_is_no_such_page() {
    let mut options = registry();
    options.security_scanner = false;
    let host = fresh(options).await;
    let digest = put(&host, "scanned", ScanStatus::Scanned).await;
    assert_eq!(seen(&host, &digest, "").await.0, 404);
}

#[tokio::test]
async fn an_image_is_as_its_manifest_is() {
    let host = fresh(registry()).await;
    let id = "1".repeat(64);
    let cookie = host.fresh_cookie("uuid-admin", "csrf");
    let headers = [("cookie", cookie.as_str())];
    let path = format!("/api/v1/repository/org/app/image/{id}/security");
    let seen = host.ask("GET", &path, &headers, "").await;
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.header("deprecation"), "true");
    assert_eq!(seen.json(), json!({ "status": "queued", "data": null }));

    let name = RepositoryName::from_path("org/app").unwrap();
    let reference = quay_core::Reference::parse("old").unwrap();
    let found = host
        .registry
        .manifest(&name, &reference, &quay_core::Caller::system())
        .await;
    let digest = found.unwrap().digest;
    let mut unit = host.accounts.store().begin_accounts().await.unwrap();
    let repository = unit.repositories().find(&name).await.unwrap().unwrap().id;
    let manifest = unit
        .manifests()
        .find(repository, &digest)
        .await
        .unwrap()
        .unwrap()
        .id;
    let record = ScanRecord::new(ScanStatus::Failed, quay_core::runtime::Timestamp::from_millis(0));
    let scans = unit.scans().unwrap();
    scans.save(repository, manifest, &digest, &record).await.unwrap();
    unit.commit().await.unwrap();
    let seen = host.ask("GET", &path, &headers, "").await;
    assert_eq!(seen.json(), json!({ "status": "failed", "data": null }));

    let other = host.get("/api/v1/error/not_found").await;
    assert!(other.headers.get("deprecation").is_none());
}
