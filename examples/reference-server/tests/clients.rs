//! Clients as people use them, against the server as people start it. Each must be on the path; none is
//! skipped.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;

use support::programs::{run, text, with_image};
use support::{Server, command};
use tempfile::TempDir;

struct Setup {
    server: Server,
    work: TempDir,
    _data: TempDir,
}

impl Setup {
    fn new(work: TempDir) -> Self {
        let data = TempDir::new().unwrap();
        Self {
            server: Server::open(data.path()),
            work,
            _data: data,
        }
    }

    fn path(&self) -> &Path {
        self.work.path()
    }

    fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.server.address)
    }
}

#[test]
fn skopeo_copies_there_and_back() {
    let setup = Setup::new(with_image());
    let there = format!("docker://{}", setup.reference("org/app:v1"));
    let copy = ["--insecure-policy", "copy", "--all"];
    for format in ["oci", "v2s2"] {
        let there = format!("{there}-{format}");
        let push = [
            &copy[..],
            &[
                "--format",
                format,
                "--dest-tls-verify=false",
                "oci:image:v1",
                &there,
            ],
        ]
        .concat();
        run(setup.path(), "skopeo", &push);
        let back = format!("oci:back-{format}:v1");
        let pull = [&copy[..], &["--src-tls-verify=false", &there, &back]].concat();
        run(setup.path(), "skopeo", &pull);
        run(
            setup.path(),
            "umoci",
            &[
                "unpack",
                "--image",
                &format!("back-{format}:v1"),
                &format!("seen-{format}"),
            ],
        );
        let hello = std::fs::read(setup.path().join(format!("seen-{format}/rootfs/hello.txt"))).unwrap();
        assert_eq!(hello.len(), 3_000_000);
    }
    let repository = format!("docker://{}", setup.reference("org/app"));
    let tags = run(
        setup.path(),
        "skopeo",
        &["list-tags", "--tls-verify=false", &repository],
    );
    assert!(text(&tags).contains("v1-oci") && text(&tags).contains("v1-v2s2"));
    let gone = format!("{there}-oci");
    run(setup.path(), "skopeo", &["delete", "--tls-verify=false", &gone]);
}

#[test]
fn buildah_and_podman_push_and_pull() {
    let setup = Setup::new(with_image());
    let root = setup.path().join("containers");
    let runroot = setup.path().join("run");
    let store = [
        "--storage-driver",
        "vfs",
        "--root",
        root.to_str().unwrap(),
        "--runroot",
        runroot.to_str().unwrap(),
    ];
    let policy = setup.path().join("policy.json");
    std::fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).unwrap();
    let policy = ["--signature-policy", policy.to_str().unwrap()];
    let reference = setup.reference("org/podman:v1");
    let call = |program: &str, before: &[&str], after: &[&str]| {
        let arguments = [&store[..], before, &policy, &["--tls-verify=false"], after].concat();
        run(setup.path(), program, &arguments)
    };
    run(
        setup.path(),
        "buildah",
        &[&store[..], &["pull"], &policy, &["oci:image:v1"]].concat(),
    );
    let images = run(setup.path(), "buildah", &[&store[..], &["images", "-q"]].concat());
    let id = text(&images).trim().to_owned();
    call("buildah", &["push"], &[&id, &format!("docker://{reference}")]);
    run(
        setup.path(),
        "buildah",
        &[&store[..], &["rmi", "-f", &id]].concat(),
    );
    call("podman", &["pull"], &[&reference]);
    let again = setup.reference("org/podman:v2");
    call("podman", &["push"], &[&reference, &again]);
    assert_eq!(setup.server.get("/v2/org/podman/manifests/v2").status, 200);
}

#[test]
fn oras_pushes_attaches_and_discovers() {
    let setup = Setup::new(TempDir::new().unwrap());
    std::fs::write(setup.path().join("hello.txt"), "hello").unwrap();
    std::fs::write(setup.path().join("sbom.json"), "{}").unwrap();
    let reference = setup.reference("org/artifact:v1");
    let kind = "application/vnd.example";
    run(
        setup.path(),
        "oras",
        &[
            "push",
            "--plain-http",
            "--artifact-type",
            kind,
            &reference,
            "hello.txt:text/plain",
        ],
    );
    run(
        setup.path(),
        "oras",
        &[
            "attach",
            "--plain-http",
            "--artifact-type",
            "application/sbom",
            &reference,
            "sbom.json:application/json",
        ],
    );
    let found = run(
        setup.path(),
        "oras",
        &["discover", "--plain-http", "--format", "json", &reference],
    );
    assert!(text(&found).contains("application/sbom"), "{}", text(&found));
    run(
        setup.path(),
        "oras",
        &["pull", "--plain-http", "-o", "back", &reference],
    );
    assert_eq!(
        std::fs::read(setup.path().join("back/hello.txt")).unwrap(),
        b"hello"
    );
    let copy = setup.reference("org/copy:v1");
    run(
        setup.path(),
        "oras",
        &[
            "cp",
            "-r",
            "--from-plain-http",
            "--to-plain-http",
            &reference,
            &copy,
        ],
    );
    let tags = run(
        setup.path(),
        "oras",
        &["repo", "tags", "--plain-http", &setup.reference("org/copy")],
    );
    assert_eq!(text(&tags).lines().next(), Some("v1"));
}

#[test]
fn crane_and_regctl_copy_list_and_delete() {
    let setup = Setup::new(with_image());
    let reference = setup.reference("org/crane:v1");
    let there = format!("docker://{reference}");
    let push = [
        "--insecure-policy",
        "copy",
        "--dest-tls-verify=false",
        "oci:image:v1",
        &there,
    ];
    run(setup.path(), "skopeo", &push);
    let copy = setup.reference("org/crane-copy:v2");
    run(setup.path(), "crane", &["copy", "--insecure", &reference, &copy]);
    run(
        setup.path(),
        "crane",
        &["validate", "--insecure", "--remote", &copy],
    );
    let catalog = run(
        setup.path(),
        "crane",
        &["catalog", "--insecure", &setup.server.address],
    );
    assert!(text(&catalog).contains("org/crane-copy"), "{}", text(&catalog));
    run(
        setup.path(),
        "regctl",
        &["registry", "set", "--tls", "disabled", &setup.server.address],
    );
    let third = setup.reference("org/regctl:v3");
    run(setup.path(), "regctl", &["image", "copy", &copy, &third]);
    let tags = run(
        setup.path(),
        "regctl",
        &["tag", "ls", &setup.reference("org/regctl")],
    );
    assert_eq!(text(&tags).trim(), "v3");
    run(setup.path(), "regctl", &["tag", "delete", &third]);
    assert_eq!(setup.server.get("/v2/org/regctl/manifests/v3").status, 404);
}

#[test]
fn helm_pushes_and_pulls_a_chart() {
    let setup = Setup::new(TempDir::new().unwrap());
    run(setup.path(), "helm", &["create", "chart"]);
    run(setup.path(), "helm", &["package", "chart"]);
    let repository = format!("oci://{}", setup.reference("charts"));
    run(
        setup.path(),
        "helm",
        &["push", "--plain-http", "chart-0.1.0.tgz", &repository],
    );
    std::fs::remove_file(setup.path().join("chart-0.1.0.tgz")).unwrap();
    let chart = format!("{repository}/chart");
    run(
        setup.path(),
        "helm",
        &["pull", "--plain-http", &chart, "--version", "0.1.0"],
    );
    assert!(setup.path().join("chart-0.1.0.tgz").is_file());
}

/// Runs the OCI conformance tool with everything on and reads its verdict.
fn conformance(server: &Server, version: &str, sparse: bool) {
    let work = TempDir::new().unwrap();
    let mut command = Command::new("conformance");
    // The version switches some of them off by itself.
    for option in [
        "BLOBS_ATOMIC",
        "BLOBS_DELETE",
        "BLOBS_DIGEST_HEADER",
        "BLOBS_MOUNT_ANONYMOUS",
        "BLOBS_UPLOAD_CANCEL",
        "MANIFESTS_ATOMIC",
        "MANIFESTS_DELETE",
        "MANIFESTS_DIGEST_HEADER",
        "MANIFESTS_TAG_PARAM",
        "TAGS_ATOMIC",
        "TAGS_DELETE",
        "TAGS_LIST",
        "REFERRER",
    ] {
        command.env(format!("OCI_API_{option}"), "true");
    }
    let output = command
        .current_dir(work.path())
        .env("OCI_REGISTRY", &server.address)
        .env("OCI_TLS", "disabled")
        .env("OCI_VERSION", version)
        .env("OCI_REPO1", "conformance/one")
        .env("OCI_REPO2", "conformance/two")
        .env("OCI_DATA_SPARSE", if sparse { "true" } else { "false" })
        .env("OCI_RESULTS_DIR", work.path().join("results"))
        .output()
        .unwrap_or_else(|error| panic!("the conformance tool cannot be run: {error}"));
    let report = text(&output);
    let total = |name: &str| -> u64 {
        let line = report
            .lines()
            .find(|line| line.trim_start().starts_with(&format!("{name}..")))
            .unwrap_or_else(|| panic!("no count of {name}:\n{report}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let counts = ["Pass", "FAIL", "Error", "Skip", "Disabled"].map(total);
    println!("conformance {version} sparse={sparse}: pass, fail, error, skip, disabled = {counts:?}");
    assert!(output.status.success(), "{report}");
    assert!(
        counts[0] > 900 && counts[1..] == [0, 0, 0, 0],
        "{counts:?}\n{report}"
    );
}

#[test]
fn the_oci_conformance_tool_finds_nothing() {
    for version in ["1.1", "dev"] {
        let data = TempDir::new().unwrap();
        conformance(&Server::open(data.path()), version, false);
    }
}

#[test]
fn the_oci_conformance_tool_finds_nothing_with_sparse_manifests() {
    let data = TempDir::new().unwrap();
    let config = TempDir::new().unwrap();
    std::fs::write(config.path().join("config.yaml"), "FEATURE_SPARSE_INDEX: true\n").unwrap();
    let arguments = ["--open", "--config", config.path().to_str().unwrap()];
    let server = Server::start(command(data.path(), &arguments));
    for version in ["1.1", "dev"] {
        conformance(&server, version, true);
    }
}

/// An index of four platforms, a signature of it as cosign stores them, and an SBOM that is about one of its
/// images: while the index has a tag everything stays, without any tag of its own; then everything goes.
#[test]
#[expect(clippy::too_many_lines, reason = "one life, from the push to the end")]
fn an_index_with_what_is_about_it_stays_and_goes_as_one() {
    const COLLECTS: &str = "GARBAGE_COLLECTION_FREQUENCY: 1\nDEFAULT_TAG_EXPIRATION: 0s\n\
                            TAG_EXPIRATION_OPTIONS: [0s]\nPUSH_TEMP_TAG_EXPIRATION_SEC: 1\n";
    let (data, work) = (TempDir::new().unwrap(), with_image());
    std::fs::write(work.path().join("config.yaml"), COLLECTS).unwrap();
    std::fs::write(work.path().join("sbom.json"), r#"{"spdxVersion":"SPDX-2.3"}"#).unwrap();
    std::fs::write(work.path().join("signature.json"), r#"{"critical":{}}"#).unwrap();
    let config = work.path().to_str().unwrap();
    let server = Server::start(command(data.path(), &["--open", "--config", config]));
    let setup = Setup {
        server,
        work,
        _data: TempDir::new().unwrap(),
    };
    let objects = || support::files(&data.path().join("storage/sha256")).len();
    let oras = |arguments: &[&str]| text(&run(setup.path(), "oras", arguments));
    let architectures = ["amd64", "arm64", "ppc64le", "s390x"];
    for architecture in architectures {
        let image = format!("image:{architecture}");
        let platform = ["--architecture", architecture, "--os", "linux"];
        let copy = [
            &["config", "--image", "image:v1", "--tag", architecture],
            &platform[..],
        ]
        .concat();
        run(setup.path(), "umoci", &copy);
        let there = format!(
            "docker://{}",
            setup.reference(&format!("org/multi:{architecture}"))
        );
        let from = format!("oci:{image}");
        let push = [
            "--insecure-policy",
            "copy",
            "--dest-tls-verify=false",
            &from,
            &there,
        ];
        run(setup.path(), "skopeo", &push);
    }
    let multi = setup.reference("org/multi");
    let latest = format!("{multi}:latest");
    oras(
        &[
            &["manifest", "index", "create", "--plain-http", &latest][..],
            &architectures,
        ]
        .concat(),
    );
    let digest_of = |reference: &str| {
        oras(&["manifest", "fetch", "--plain-http", "--descriptor", reference])
            .split('"')
            .find(|part| part.starts_with("sha256:"))
            .map(ToOwned::to_owned)
            .unwrap()
    };
    let (index, arm) = (digest_of(&latest), digest_of(&format!("{multi}:arm64")));
    // As cosign does: a tag that is named after what is signed, and with newer ones a referrer.
    let signature = format!("{multi}:{}.sig", index.replace(':', "-"));
    let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
    let layer = format!("signature.json:{kind}");
    oras(&["push", "--plain-http", &signature, &layer]);
    let about_index = format!("{multi}@{index}");
    let about_arm = format!("{multi}@{arm}");
    for (subject, kind, file) in [
        (&about_index, kind, "signature.json"),
        (&about_arm, "application/spdx+json", "sbom.json"),
    ] {
        oras(&["attach", "--plain-http", "--artifact-type", kind, subject, file]);
    }
    let before = objects();
    let delete = |reference: &str| {
        let path = format!("/v2/org/multi/manifests/{reference}");
        assert_eq!(setup.server.ask("DELETE", &path, &[], b"").status, 202);
    };
    for architecture in architectures {
        delete(architecture);
    }
    // What comes up for review after these shows that they have been looked at.
    let looked_at = |what: &str| {
        let vain = setup.server.push_blob("org/other", what.as_bytes());
        let path = format!("/v2/org/other/blobs/{vain}");
        support::until("the collector comes by", || setup.server.get(&path).status == 404);
    };
    looked_at("first");
    looked_at("second");
    support::until("nothing else is left", || objects() == before);
    for architecture in architectures {
        let platform = format!("linux/{architecture}");
        let back = format!("back-{architecture}");
        oras(&[
            "pull",
            "--plain-http",
            "--platform",
            &platform,
            "-o",
            &back,
            &latest,
        ]);
    }
    let found = oras(&["discover", "--plain-http", "--format", "json", &about_arm]);
    assert!(found.contains("application/spdx+json"), "{found}");

    delete("latest");
    support::until("the index is gone with what is about it", || {
        setup.server.get(&format!("/v2/org/multi/manifests/{arm}")).status == 404
    });
    let gone = |digest: &str| {
        setup
            .server
            .get(&format!("/v2/org/multi/manifests/{digest}"))
            .status
            == 404
    };
    support::until("everything is gone but what has a tag", || {
        gone(&index) && objects() == 2
    });
    // The signature that has a tag of its own stays for as long as that is there.
    let tagged = signature.rsplit(':').next().unwrap();
    delete(tagged);
    support::until("nothing is left", || objects() == 0);
}
