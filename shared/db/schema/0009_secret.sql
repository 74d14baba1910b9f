-- Random secrets of the installation that all replicas have to agree upon; passwords' verifiers are in credential.hash:
-- a crypt string, then SCRAM verifiers (RFC 5803), with spaces in between.

CREATE TABLE secret (
  name TEXT NOT NULL PRIMARY KEY,                   -- salts: what SCRAM salts are made of
  value TEXT NOT NULL                               -- hexadecimal
);
