-- Level 1 of the registry. Names are compared bytewise, times are milliseconds since 1970 UTC, "live" is
-- 1 or NULL, so that a unique index allows one live row and any number of others.

CREATE TABLE qr_namespace (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE qr_repository (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace_id BIGINT NOT NULL REFERENCES qr_namespace (id),
    -- namespace/rest, as names are looked up and sorted
    path TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    visibility TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX qr_repository_namespace ON qr_repository (namespace_id);

CREATE TABLE qr_manifest (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    digest TEXT COLLATE "C" NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT COLLATE "C",
    size BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    subject_digest TEXT COLLATE "C",
    annotations TEXT,
    created_ms BIGINT NOT NULL,
    live BIGINT,
    deleted_ms BIGINT,
    UNIQUE (repository_id, digest)
);
CREATE INDEX qr_manifest_subject ON qr_manifest (repository_id, subject_digest, digest);

CREATE TABLE qr_manifest_edge (
    manifest_id BIGINT NOT NULL REFERENCES qr_manifest (id),
    position BIGINT NOT NULL,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    kind TEXT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    -- 1 once the repository had what is named; an edge that is not held shows nothing
    held BIGINT NOT NULL,
    PRIMARY KEY (manifest_id, position)
);
CREATE INDEX qr_manifest_edge_digest ON qr_manifest_edge (repository_id, digest);

CREATE TABLE qr_tag (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    name TEXT COLLATE "C" NOT NULL,
    manifest_id BIGINT NOT NULL REFERENCES qr_manifest (id),
    start_ms BIGINT NOT NULL,
    end_ms BIGINT,
    live BIGINT,
    hidden BIGINT NOT NULL,
    reversion BIGINT NOT NULL,
    UNIQUE (repository_id, live, name)
);
CREATE INDEX qr_tag_history ON qr_tag (repository_id, name, start_ms);
CREATE INDEX qr_tag_manifest ON qr_tag (manifest_id, live);

CREATE TABLE qr_blob (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest TEXT COLLATE "C" NOT NULL UNIQUE,
    size BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- counts publications, so that a collector can delete what it looked at and nothing newer
    epoch BIGINT NOT NULL
);

CREATE TABLE qr_placement (
    blob_id BIGINT NOT NULL REFERENCES qr_blob (id),
    location TEXT COLLATE "C" NOT NULL,
    object_key TEXT NOT NULL,
    PRIMARY KEY (blob_id, location)
);

CREATE TABLE qr_blob_link (
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    blob_id BIGINT NOT NULL REFERENCES qr_blob (id),
    -- protects the link while no manifest holds the blob; NULL once one does
    lease_until_ms BIGINT,
    PRIMARY KEY (repository_id, blob_id)
);
CREATE INDEX qr_blob_link_blob ON qr_blob_link (blob_id, repository_id);

CREATE TABLE qr_upload (
    id TEXT COLLATE "C" PRIMARY KEY,
    repository_id BIGINT NOT NULL REFERENCES qr_repository (id),
    principal TEXT NOT NULL,
    location TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    byte_count BIGINT NOT NULL,
    hash_state BYTEA NOT NULL,
    store_state BYTEA NOT NULL,
    version BIGINT NOT NULL,
    claimed_until_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX qr_upload_updated ON qr_upload (updated_ms);

CREATE TABLE qr_outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL
);
CREATE INDEX qr_outbox_due ON qr_outbox (kind, due_ms, id);
