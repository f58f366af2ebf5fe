-- The life of tags: those that stay as they are, policies, the work that these cause, and pulls.

ALTER TABLE qr_tag ADD COLUMN immutable BIGINT NOT NULL DEFAULT 0;

CREATE TABLE qr_policy (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    -- namespace:NAME or repository:ID
    owner TEXT COLLATE "C" NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX qr_policy_owner ON qr_policy (owner, kind, id);

CREATE TABLE qr_policy_task (
    kind TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    due_ms BIGINT NOT NULL,
    version BIGINT NOT NULL,
    place TEXT,
    PRIMARY KEY (kind, owner)
);
CREATE INDEX qr_policy_task_due ON qr_policy_task (kind, due_ms);
CREATE INDEX qr_policy_task_owner ON qr_policy_task (owner);

CREATE TABLE qr_pull (
    repository_id BIGINT NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    -- empty for pulls by digest
    tag TEXT COLLATE "C" NOT NULL,
    pulls BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, tag)
);
CREATE INDEX qr_pull_tag ON qr_pull (repository_id, tag, last_ms);
