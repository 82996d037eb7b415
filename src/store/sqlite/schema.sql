-- The directory's first version. Ids are the 16 bytes of a UUID, instants milliseconds since 1970 in UTC, roles and
-- states the ids that policies and journal use.

CREATE TABLE head (
  one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  epoch  INTEGER NOT NULL,
  number INTEGER NOT NULL CHECK (number >= 0),
  chain  BLOB    NOT NULL CHECK (length(chain) = 32)
) STRICT;

CREATE TABLE organizations (
  id                BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  parent            BLOB    REFERENCES organizations (id),
  name              TEXT    NOT NULL,
  bundled_seats     INTEGER NOT NULL,
  seat_cents        INTEGER NOT NULL,
  contributor_seats INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
  id           BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB NOT NULL REFERENCES organizations (id),
  name         TEXT NOT NULL,
  UNIQUE (organization, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
  id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization    BLOB    NOT NULL REFERENCES organizations (id),
  email           TEXT    NOT NULL,
  email_folded    TEXT    NOT NULL,
  role            TEXT    NOT NULL,
  active          INTEGER NOT NULL CHECK (active IN (0, 1)),
  compliance_team INTEGER NOT NULL CHECK (compliance_team IN (0, 1)),
  contributor     INTEGER NOT NULL CHECK (contributor IN (0, 1)),
  mfa_locked_at   INTEGER,
  mfa_reset       INTEGER NOT NULL CHECK (mfa_reset IN (0, 1))
) STRICT, WITHOUT ROWID;

-- One active membership of a person in an organization; and an organization's members.
CREATE UNIQUE INDEX members_active ON members (organization, email_folded) WHERE active = 1;
CREATE INDEX members_inactive ON members (organization) WHERE active = 0;
CREATE INDEX members_administering ON members (organization, role) WHERE active = 1 AND role IN ('OWNER', 'ADMIN');
CREATE INDEX members_contributing ON members (organization) WHERE active = 1 AND contributor = 1;

CREATE TABLE member_projects (
  member  BLOB NOT NULL REFERENCES members (id),
  project BLOB NOT NULL REFERENCES projects (id),
  PRIMARY KEY (member, project)
) STRICT, WITHOUT ROWID;

CREATE INDEX project_members ON member_projects (project);

CREATE TABLE member_clients (
  member BLOB NOT NULL REFERENCES members (id),
  client BLOB NOT NULL REFERENCES organizations (id),
  PRIMARY KEY (member, client)
) STRICT, WITHOUT ROWID;

CREATE TABLE guests (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB    NOT NULL,
  project      BLOB    NOT NULL,
  email        TEXT    NOT NULL,
  email_folded TEXT    NOT NULL,
  active       INTEGER NOT NULL CHECK (active IN (0, 1)),
  FOREIGN KEY (organization, project) REFERENCES projects (organization, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX guests_active ON guests (project, email_folded) WHERE active = 1;
CREATE INDEX guests_of ON guests (organization, project);

CREATE TABLE invitations (
  id           BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
  organization BLOB    NOT NULL REFERENCES organizations (id),
  project      BLOB,
  role         TEXT,
  email        TEXT    NOT NULL,
  email_folded TEXT    NOT NULL,
  inviter      TEXT    NOT NULL CHECK (inviter IN ('operator', 'member', 'creator')),
  inviter_id   BLOB,
  state        TEXT    NOT NULL CHECK (state IN ('PENDING', 'EXPIRED', 'ACCEPTED', 'CANCELLED')),
  expires_at   INTEGER NOT NULL,
  link         BLOB    CHECK (length(link) = 32),
  CHECK ((project IS NULL) <> (role IS NULL)),
  CHECK ((inviter = 'operator') = (inviter_id IS NULL)),
  FOREIGN KEY (organization, project) REFERENCES projects (organization, id)
) STRICT, WITHOUT ROWID;

-- One pending invitation of an address to an organization, and to each of its projects.
CREATE UNIQUE INDEX invitations_pending ON invitations (organization, ifnull(project, x''), email_folded)
  WHERE state = 'PENDING';
CREATE INDEX invitations_of ON invitations (organization, project);

-- What commands led to, by the keys they came with.
CREATE TABLE outcomes (
  key     TEXT NOT NULL PRIMARY KEY,
  salt    BLOB NOT NULL CHECK (length(salt) = 16),
  command BLOB NOT NULL CHECK (length(command) = 32),
  outcome TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Which rows a revision changed. A revision of kind `everything` is not told by rows.
CREATE TABLE changes (
  number INTEGER NOT NULL,
  kind   TEXT    NOT NULL,
  id     BLOB    NOT NULL,
  PRIMARY KEY (number, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE journal (
  number       INTEGER NOT NULL,
  place        INTEGER NOT NULL,
  at           INTEGER NOT NULL,
  actor        TEXT    NOT NULL,
  action       TEXT    NOT NULL,
  organization BLOB,
  target       TEXT,
  details      TEXT    NOT NULL,
  decision     TEXT    NOT NULL,
  hash         BLOB    NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (number, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX journal_organization ON journal (organization, number, place);
CREATE INDEX journal_target ON journal (target, number, place);

CREATE TRIGGER journal_stays BEFORE UPDATE ON journal
BEGIN SELECT raise(ABORT, 'the journal is only appended to'); END;
CREATE TRIGGER journal_keeps BEFORE DELETE ON journal
BEGIN SELECT raise(ABORT, 'the journal is only appended to'); END;

-- Names and addresses beside the journal's entries. Salt and text can be erased, the commitment stays.
CREATE TABLE journal_texts (
  number     INTEGER NOT NULL,
  place      INTEGER NOT NULL,
  nth        INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  salt       BLOB    CHECK (length(salt) = 16),
  text       TEXT,
  commitment BLOB    NOT NULL CHECK (length(commitment) = 32),
  PRIMARY KEY (number, place, nth),
  FOREIGN KEY (number, place) REFERENCES journal (number, place)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER journal_texts_stay BEFORE UPDATE ON journal_texts
WHEN new.salt IS NOT NULL OR new.text IS NOT NULL OR new.commitment <> old.commitment OR new.name <> old.name
BEGIN SELECT raise(ABORT, 'the journal is only appended to'); END;
CREATE TRIGGER journal_texts_keep BEFORE DELETE ON journal_texts
BEGIN SELECT raise(ABORT, 'the journal is only appended to'); END;
