//! A registry in memory, asked through its service.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use quay_core::auth::{AllowAll, AllowAuthenticated, Authorizer};
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::registry::{Location, Options};
use quay_core::{Algorithm, Digest, Registry};
use quay_http::{RegistryService, Settings, TokioSpawner, tokio_runtime};
use tower_service::Service as _;

pub(crate) struct Api(pub(crate) RegistryService);

#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The code of the first error.
    pub(crate) fn code(&self) -> String {
        self.json()["errors"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

pub(crate) fn registry(options: Options, authorizer: Arc<dyn Authorizer>) -> Registry {
    Registry::with_options(
        Arc::new(MemoryMetadata::new()),
        vec![Location::new("default", Arc::new(MemoryBlobs::new()))],
        authorizer,
        tokio_runtime(TokioSpawner::current()),
        options,
    )
}

impl Api {
    pub(crate) fn open() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self(RegistryService::new(
            registry(options, Arc::new(AllowAll)),
            Settings::default(),
        ))
    }

    pub(crate) fn closed(settings: Settings) -> Self {
        let registry = registry(Options::default(), Arc::new(AllowAuthenticated));
        Self(RegistryService::new(registry, settings))
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Seen {
        let response = self.0.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Seen {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Seen {
        let body = body.into();
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Full::new(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn push_blob(&self, name: &str, content: &'static [u8]) -> Digest {
        let digest = sha256(content);
        let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        let seen = self.ask(Method::POST, &path, &[], content).await;
        assert_eq!(seen.status, 201, "{seen:?}");
        digest
    }

    /// An upload's path.
    pub(crate) async fn begin(&self, name: &str) -> String {
        let seen = self
            .ask(Method::POST, &format!("/v2/{name}/blobs/uploads/"), &[], "")
            .await;
        assert_eq!(seen.status, 202, "{seen:?}");
        seen.header("location").to_owned()
    }

    /// Pushes an image of one layer; `salt` makes it another one.
    pub(crate) async fn push_image(&self, name: &str, reference: &str, salt: &str) -> (Seen, Bytes) {
        let config = self.push_blob(name, b"{}").await;
        let layer = self.push_blob(name, b"layer").await;
        let manifest = image(&config, &layer, salt);
        let path = format!("/v2/{name}/manifests/{reference}");
        let seen = self
            .ask(Method::PUT, &path, &[("content-type", OCI)], manifest.clone())
            .await;
        (seen, manifest)
    }
}

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn image(config: &Digest, layer: &Digest, salt: &str) -> Bytes {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 5 }],
        "annotations": { "salt": salt },
    })
    .to_string()
    .into()
}
