-- External auditors, what is asked of them, and their portal sessions.

CREATE TABLE auditors (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB    NOT NULL REFERENCES organizations (id),
  name         TEXT    NOT NULL,
  email        TEXT    NOT NULL,
  email_folded TEXT    NOT NULL,
  firm         TEXT    NOT NULL,
  period_from  INTEGER,
  period_to    INTEGER,
  expires_at   INTEGER NOT NULL,
  status       TEXT    NOT NULL CHECK (status IN ('PENDING', 'ACTIVE', 'REVOKED')),
  link         BLOB    CHECK (length(link) = 32),
  password     TEXT,
  failures     INTEGER NOT NULL,
  locked_until INTEGER,
  CHECK ((period_from IS NULL) = (period_to IS NULL)),
  CHECK (period_from IS NULL OR period_from <= period_to),
  CHECK (status <> 'REVOKED' OR (link IS NULL AND password IS NULL)),
  UNIQUE (organization, id)
) STRICT, WITHOUT ROWID;

-- One pending invitation of an auditor's address to an organization.
CREATE UNIQUE INDEX auditors_pending ON auditors (organization, email_folded) WHERE status = 'PENDING';

CREATE TABLE audit_requests (
  id           BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB NOT NULL,
  auditor      BLOB NOT NULL,
  title        TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('OPEN', 'APPROVED', 'FLAGGED')),
  FOREIGN KEY (organization, auditor) REFERENCES auditors (organization, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_requests_of ON audit_requests (organization, auditor);

CREATE TABLE sessions (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB    NOT NULL,
  auditor      BLOB    NOT NULL,
  token        BLOB    NOT NULL CHECK (length(token) = 32),
  expires_at   INTEGER NOT NULL,
  FOREIGN KEY (organization, auditor) REFERENCES auditors (organization, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_of ON sessions (organization, auditor);
