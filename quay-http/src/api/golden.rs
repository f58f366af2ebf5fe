//! Documents that are generated from the operations and committed: they must be what would be generated.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::openapi::openapi;
use super::operations::{ApiPath, Operation, Since, paths};

/// Compares a committed file with what is generated now, which a failure leaves to be copied over it.
fn assert_golden(committed: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(committed);
    if std::fs::read_to_string(&path).is_ok_and(|committed| committed == generated) {
        return;
    }
    let name = path.file_name().unwrap();
    let fresh = std::env::temp_dir().join(name);
    std::fs::write(&fresh, generated).unwrap();
    panic!(
        "{} is not what the operations say; if that is meant, copy {} over it",
        path.display(),
        fresh.display()
    );
}

#[test]
fn the_openapi_document_is_up_to_date() {
    let generated = serde_json::to_string_pretty(&openapi(None)).unwrap() + "\n";
    assert_golden("openapi.json", &generated);
}

#[test]
fn the_page_of_operations_is_up_to_date() {
    assert_golden("../docs/api.md", &page());
}

const INTRODUCTION: &str = "\
# REST API

Generated from `quay-http/src/api/operations.json`. Paths are Quay's, below the registry's address. An
operation that depends on a feature answers 404 while the feature is off, as does everything that is not
served. `GET /api/v1/discovery` describes what is switched on in Swagger 2.0, `GET /api/v1/openapi.json` in
OpenAPI 3.1; the latter for everything is `quay-http/openapi.json`.

\"Since\" is the first version of Quay with the operation: 3.3, or a later one.
";

type Row<'a> = (&'a ApiPath, &'a str, &'a Operation);

fn page() -> String {
    let mut served: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    let mut others: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    for path in paths() {
        for (method, operation) in &path.methods {
            let areas = if operation.served {
                &mut served
            } else {
                &mut others
            };
            areas
                .entry(&path.area)
                .or_default()
                .push((path, method, operation));
        }
    }
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Served\n");
    for (area, rows) in served {
        write!(
            page,
            "\n### {area}\n\n| method | path | operation | since | features |\n|---|---|---|---|---|\n"
        )
        .unwrap();
        for (path, method, operation) in rows {
            let (id, since) = (&operation.id, since(operation));
            let features = operation.features.join(", ");
            writeln!(
                page,
                "| {method} | `{}` | {id} | {since} | {features} |",
                path.path
            )
            .unwrap();
        }
    }
    page.push_str("\n## Not served\n\n| area | operations |\n|---|---|\n");
    for (area, rows) in others {
        let mut names: Vec<_> = rows
            .iter()
            .map(|(_, _, operation)| operation.id.as_str())
            .collect();
        names.dedup();
        writeln!(page, "| {area} | {} |", names.join(", ")).unwrap();
    }
    page.push_str(ROUTES);
    page
}

/// Routes that are none of the API's.
const ROUTES: &str = "
## Outside /api/v1

| route | served | |
|---|---|---|
| `/v2/...` | yes | the registry protocol; `/v2/auth` issues its tokens |
| `GET /` | yes | the first page, with the token that a login needs |
| `GET /signin`, `/createaccount`, `/organization/...`, `/user/...`, `/repository/...` and other views of Quay's pages | yes | the first page |
| `GET /csrf_token`, `GET /config` | yes | |
| `GET /.well-known/app-capabilities`, `GET /.well-known/change-password`, `GET /robots.txt` | yes | |
| `GET /health`, `/health/instance`, `/health/endtoend`, `/status`, `/health/warning` | yes | signed in, superusers see `services_expanded`, `notes`, `is_testing`, `config_provider`, `local_service_key_id` and `hostname` besides |
| `GET /health/dbrevision`, `GET /health/enabledebug` | no | 404: the schema is brought up to date at start, and `RUST_LOG` says what is logged |
| `GET /_internal_ping`, `/v1/_internal_ping`, `/c1/_internal_ping`, `/secscan/_internal_ping` | yes | |
| `GET /oauth/authorize`, `POST /oauth/authorizeapp`, `POST /oauth/denyapp`, `GET /oauth/localapp`, `POST /oauth/access_token` | yes | |
| `GET /oauth2/federation/robot/token` | yes | |
| `/oauth2/{service}/callback` and below | no | external logins |
| `POST /oauth/authorize/assignuser` | yes | |
| `GET /confirm`, `/recovery`, `/confirminvite` | yes | the links in mails |
| `/keys/services/{service}/keys`, `/keys/services/{service}/keys/{kid}` | yes | the key server |
| `POST /webhooks/push/trigger/{uuid}` | no | builds |
| `GET /c1/squash/{namespace}/{repository}/{tag}`, `/c1/aci/...` | yes | squashed images; `FEATURE_ACI_CONVERSION` |
| `/v1/...` | yes | Docker's first protocol, its search apart |
| `/cnr/...` | no | application registry |
| `GET /exportedlogs/{file_id}` | no | |
| `GET /realtime/user/subscribe` | no | |
| `GET /repository/{namespace}/{repository}/status` | no | build badges |
";

const fn since(operation: &Operation) -> &'static str {
    match operation.since {
        Since::V3_3 => "3.3",
        Since::Later => "later",
    }
}
