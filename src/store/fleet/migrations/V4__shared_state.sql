-- Sessions of the console. The digest is that of the secret in the cookie, which is not stored.
CREATE TABLE console_session (
    digest text PRIMARY KEY,
    -- The name in lists, which opens nothing.
    id text NOT NULL UNIQUE,
    -- The password with which the session was started.
    credential text NOT NULL,
    address text,
    user_agent text,
    started_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    -- The result of a form, as a sentence for the next page.
    done text
);
CREATE INDEX console_session_by_credential ON console_session (credential, used_at);
CREATE INDEX console_session_by_use ON console_session (used_at);

-- Failed logins: numbers that become smaller by one after each `forget_one_after` seconds. Keys are digests. Unlogged:
-- a crash of the database forgets them, and the replicas still know theirs.
CREATE UNLOGGED TABLE failed_login (
    key text PRIMARY KEY,
    level double precision NOT NULL,
    forget_one_after double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

-- Reports of upstreams to each replica: the pulls that an account has left, and pauses. Unlogged: the next responses of
-- the upstreams report it again.
CREATE UNLOGGED TABLE upstream_budget (
    upstream text NOT NULL,
    account text NOT NULL,
    replica text NOT NULL,
    pull_limit bigint NOT NULL,
    remaining bigint NOT NULL,
    window_seconds bigint,
    -- The client that the upstream counts.
    source text,
    reported_at timestamptz NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (upstream, account, replica)
);
CREATE UNLOGGED TABLE upstream_pause (
    upstream text NOT NULL,
    account text NOT NULL,
    replica text NOT NULL,
    -- The kind of requests: manifests, blobs or lists.
    kind text NOT NULL,
    source text,
    until timestamptz NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (upstream, account, replica, kind)
);

-- Pulls and bytes of groups by hour since the epoch, at all replicas.
CREATE TABLE traffic (
    hour bigint NOT NULL,
    group_id bigint NOT NULL,
    hits bigint NOT NULL,
    joined bigint NOT NULL,
    fetched bigint NOT NULL,
    saved_pulls bigint NOT NULL,
    served_bytes bigint NOT NULL,
    saved_bytes bigint NOT NULL,
    PRIMARY KEY (hour, group_id)
);
