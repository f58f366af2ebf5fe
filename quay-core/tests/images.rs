//! Images by ids of their own, through the facade over stores in memory.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use quay_core::auth::{AllowAll, AllowAuthenticated, Authorizer};
use quay_core::memory::{MemoryBlobs, MemoryMetadata};
use quay_core::registry::{Chunk, Condition, Lists, Location, ManifestPush, OldImage, Options, Verb};
use quay_core::testing::test_runtime;
use quay_core::{
    Algorithm, Caller, Digest, ErrorKind, MediaType, Principal, Reference, Registry, RepositoryName, Tag,
};
use serde_json::json;

struct Setup {
    registry: Registry,
    name: RepositoryName,
    caller: Caller,
}

fn setup_with(authorizer: Arc<dyn Authorizer>, options: Options) -> Setup {
    let (runtime, _) = test_runtime();
    let registry = Registry::with_options(
        Arc::new(MemoryMetadata::new()),
        vec![Location::new("here", Arc::new(MemoryBlobs::new()))],
        authorizer,
        runtime,
        options,
    );
    Setup {
        registry,
        name: RepositoryName::from_path("org/app").unwrap(),
        caller: Caller::new(Principal::User("pusher".into())),
    }
}

fn setup() -> Setup {
    setup_with(Arc::new(AllowAll), Options::default())
}

fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

impl Setup {
    async fn blob(&self, content: &str) -> Digest {
        let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
        let chunk = Chunk::from_bytes(Bytes::from(content.to_owned()));
        let pushed = self
            .registry
            .push_blob(&self.name, &digest, chunk, &self.caller)
            .await;
        pushed.unwrap();
        digest
    }

    /// Pushes an image of these layers.
    async fn push(&self, reference: &str, layers: &[&str]) {
        let steps: Vec<_> = layers
            .iter()
            .map(|layer| json!({ "created_by": layer }))
            .collect();
        let config = json!({ "history": steps, "config": { "Env": layers } }).to_string();
        let config_digest = self.blob(&config).await;
        let mut named = Vec::new();
        for layer in layers {
            let media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
            named.push(
                json!({ "mediaType": media_type, "digest": self.blob(layer).await, "size": layer.len() }),
            );
        }
        let document = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": MediaType::OCI_CONFIG, "digest": config_digest, "size": config.len() },
            "layers": named,
        });
        let push = ManifestPush::new(Reference::parse(reference).unwrap(), document.to_string().into());
        self.registry
            .put_manifest(&self.name, push, &self.caller)
            .await
            .unwrap();
    }

    async fn ids(&self, text: &str) -> Vec<String> {
        let found = self
            .registry
            .tag_image(&self.name, &tag(text), Lists::Refused, &self.caller)
            .await;
        found.unwrap().images.into_iter().map(|image| image.id).collect()
    }

    async fn find(&self, id: &str) -> Result<Vec<String>, ErrorKind> {
        let found = self.registry.image(&self.name, id, &self.caller).await;
        let found = found.map_err(|error| error.kind())?;
        Ok(found.images.into_iter().map(|image| image.id).collect())
    }
}

#[test]
fn images_are_listed_once_with_the_tags_that_point_at_them() {
    block_on(async {
        let setup = setup();
        setup.push("one", &["base", "one"]).await;
        setup.push("two", &["base", "two"]).await;
        setup.push("also-two", &["base", "two"]).await;
        let (one, two) = (setup.ids("one").await, setup.ids("two").await);
        assert_eq!(one[0], two[0], "what was made alike is one image");
        assert_ne!(one[1], two[1]);
        let listed = setup.registry.images(&setup.name, &setup.caller).await.unwrap();
        let mut seen: Vec<_> = listed
            .iter()
            .map(|listed| {
                let mut tags: Vec<&str> = listed.tags.iter().map(Tag::as_str).collect();
                tags.sort_unstable();
                (listed.image.id.clone(), listed.ancestors.clone(), tags.join(" "))
            })
            .collect();
        seen.sort_by_key(|(_, _, tags)| tags.clone());
        assert_eq!(
            seen,
            [
                (one[0].clone(), vec![], String::new()),
                (two[1].clone(), vec![one[0].clone()], "also-two two".to_owned()),
                (one[1].clone(), vec![one[0].clone()], "one".to_owned()),
            ]
        );
        let alone = |text: &'static str| {
            let setup = &setup;
            async move {
                let name = tag(text);
                setup
                    .registry
                    .images_of_tag_alone(&setup.name, &name, &setup.caller)
                    .await
                    .unwrap()
            }
        };
        assert_eq!(alone("one").await, HashSet::from([one[1].clone()]));
        assert!(alone("two").await.is_empty(), "another tag has them all");
    });
}

#[test]
fn an_image_is_found_as_long_as_a_tag_has_it() {
    block_on(async {
        let setup = setup();
        setup.push("one", &["base", "one"]).await;
        let ids = setup.ids("one").await;
        assert_eq!(setup.find(&ids[1]).await.unwrap(), ids);
        assert_eq!(setup.find(&ids[0]).await.unwrap(), ids[..1]);
        // One that nobody has asked for before is found as well.
        setup.push("two", &["base", "two"]).await;
        let chain = setup
            .registry
            .tagged_images(&setup.name, None, &setup.caller)
            .await
            .unwrap();
        let two = chain
            .tags
            .iter()
            .find(|(name, _)| name.as_str() == "two")
            .unwrap()
            .1
            .clone();
        assert_eq!(setup.find(&two).await.unwrap().len(), 2);
        let reference = Reference::Tag(tag("one"));
        let deleted =
            setup
                .registry
                .delete_manifest(&setup.name, &reference, &Condition::None, &setup.caller);
        deleted.await.unwrap();
        let digest = {
            let image = setup.registry.images(&setup.name, &setup.caller).await.unwrap();
            assert_eq!(image.len(), 2);
            image[0].image.blob
        };
        assert_ne!(digest, Digest::of(Algorithm::Sha256, b"one"));
        assert_eq!(setup.find("0badcafe").await, Err(ErrorKind::NotFound));
    });
}

#[test]
fn who_may_not_pull_is_told_nothing() {
    block_on(async {
        let mut setup = setup_with(Arc::new(AllowAuthenticated), Options::default());
        setup.push("one", &["base"]).await;
        let ids = setup.ids("one").await;
        setup.caller = Caller::anonymous();
        let (registry, name, caller) = (&setup.registry, &setup.name, &setup.caller);
        let refused = |kind: Option<ErrorKind>| assert_eq!(kind, Some(ErrorKind::Unauthorized));
        refused(setup.find(&ids[0]).await.err());
        refused(setup.find("0badcafe").await.err());
        refused(
            registry
                .images(name, caller)
                .await
                .err()
                .map(|error| error.kind()),
        );
        refused(
            registry
                .tagged_images(name, None, caller)
                .await
                .err()
                .map(|error| error.kind()),
        );
        let one = tag("one");
        let image = registry.tag_image(name, &one, Lists::Resolved, caller).await;
        refused(image.err().map(|error| error.kind()));
        let alone = registry.images_of_tag_alone(name, &one, caller).await;
        refused(alone.err().map(|error| error.kind()));
        let whole = registry.whole_image(name, &one, Verb::Squash, caller).await;
        refused(whole.err().map(|error| error.kind()));
        refused(
            registry
                .begin_old_pull(name, caller)
                .await
                .err()
                .map(|error| error.kind()),
        );
        refused(
            registry
                .may_push_old(name, caller)
                .await
                .err()
                .map(|error| error.kind()),
        );
        let read = registry
            .read_blob(name, &Digest::of(Algorithm::Sha256, b"base"), 99, caller)
            .await;
        refused(read.err().map(|error| error.kind()));
        let pushed = registry.put_old_images(name, &one, Vec::new(), caller).await;
        refused(pushed.err().map(|error| error.kind()));
    });
}

#[test]
fn old_images_are_a_chain() {
    block_on(async {
        let setup = setup();
        let layer = setup.blob("layer").await;
        let image = |says: serde_json::Value| OldImage {
            json: says.to_string(),
            layer,
        };
        let put = |images: Vec<OldImage>| {
            let setup = &setup;
            async move {
                let name = tag("old");
                let put = setup
                    .registry
                    .put_old_images(&setup.name, &name, images, &setup.caller)
                    .await;
                put.map_err(|error| error.kind())
            }
        };
        let (first, second) = (json!({ "id": "a1" }), json!({ "id": "b2", "parent": "a1" }));
        assert_eq!(put(vec![image(second.clone())]).await, Err(ErrorKind::NotFound));
        assert_eq!(
            put(vec![image(first.clone()), image(second.clone())]).await,
            Ok(())
        );
        assert_eq!(setup.ids("old").await, ["a1", "b2"]);
        // The parent is there now.
        let third = json!({ "id": "c3", "parent": "b2" });
        assert_eq!(put(vec![image(third)]).await, Ok(()));
        assert_eq!(setup.ids("old").await, ["a1", "b2", "c3"]);
        for broken in [
            vec![],
            vec![image(json!([]))],
            vec![image(json!({ "id": "../x" }))],
            vec![image(first.clone()), image(json!({ "id": "d4", "parent": "b2" }))],
            vec![image(first.clone()), image(json!({ "id": "d4" }))],
        ] {
            assert_eq!(put(broken).await, Err(ErrorKind::ManifestInvalid));
        }
        let missing = OldImage {
            json: first.to_string(),
            layer: Digest::of(Algorithm::Sha256, b"nobody pushed that"),
        };
        assert_eq!(put(vec![missing]).await, Err(ErrorKind::ManifestBlobUnknown));

        let mut options = Options::default();
        options.old_pushes = Some(HashSet::from(["other".to_owned()]));
        let restricted = setup_with(Arc::new(AllowAll), options);
        let refused = restricted.registry.takes_old_pushes(&restricted.name);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
        let name = RepositoryName::from_path("other/app").unwrap();
        assert!(restricted.registry.takes_old_pushes(&name).is_ok());
    });
}
