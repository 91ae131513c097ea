#!/usr/bin/env python3
"""A token server for a registry with `auth: token`: the rights of users are given on the command line.

    token_server.py KEY CERTIFICATE USER:PASSWORD=PREFIX[,PREFIX...]...

A user may pull the repositories whose names start with one of the prefixes. The entry `:=PREFIX` is for
requests without credentials; its repositories may be pulled by every user too. As at Docker Hub, a scope beyond that is
no error: the token just does not contain it. A wrong password is 401. Signs with `openssl` (RS256, key and certificate in PEM files),
prints `listening on 127.0.0.1:PORT` once it does, and logs no secret.
"""

import base64
import http.server
import json
import ssl
import subprocess
import sys
import time
import urllib.parse
import uuid

ISSUER = "token-server"
LIFETIME = 300


def main():
    Answer.key, certificate, *accounts = sys.argv[1:]
    with open(certificate, encoding="ascii") as file:
        Answer.certificate = encode_plain(ssl.PEM_cert_to_DER_cert(file.read()))
    for account in accounts:
        credential, _, prefixes = account.partition("=")
        Answer.prefixes[credential] = tuple(prefixes.split(","))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


class Answer(http.server.BaseHTTPRequestHandler):
    key = ""
    certificate = ""
    prefixes = {}

    def do_GET(self):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        credential = self.credential()
        if credential != ":" and credential not in self.prefixes:
            self.send(401, {"details": "incorrect username or password"})
            return
        token = self.token(credential, query.get("service", [""])[0], " ".join(query.get("scope", [])))
        self.send(200, {"token": token, "access_token": token, "expires_in": LIFETIME})

    def credential(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        return base64.b64decode(value).decode() if kind == "Basic" else ":"

    def token(self, credential, service, scopes):
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": credential.split(":")[0],
            "aud": service,
            "iat": now,
            "nbf": now - 5,
            "exp": now + LIFETIME,
            "jti": str(uuid.uuid4()),
            "access": [self.access(scope, credential) for scope in scopes.split()],
        }
        header = {"typ": "JWT", "alg": "RS256", "x5c": [self.certificate]}
        signed = ".".join(encode_url(json.dumps(part).encode()) for part in (header, claims))
        command = ["openssl", "dgst", "-sha256", "-sign", self.key]
        signature = subprocess.run(command, input=signed.encode(), stdout=subprocess.PIPE, check=True).stdout
        return f"{signed}.{encode_url(signature)}"

    def access(self, scope, credential):
        kind, rest = scope.split(":", 1)
        name, _ = rest.rsplit(":", 1)
        allowed = self.prefixes.get(credential, ()) + self.prefixes.get(":", ())
        return {"type": kind, "name": name, "actions": ["pull"] if name.startswith(allowed) else []}

    def send(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs nothing: request lines would fill the log in which the port is searched."""


def encode_plain(octets):
    return base64.b64encode(octets).decode()


def encode_url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


if __name__ == "__main__":
    main()
