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
