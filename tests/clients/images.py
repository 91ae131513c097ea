#!/usr/bin/env python3
"""Creates container images and pushes them to a plain registry, for tests that pull them.

    images.py HOST:PORT [--salt TEXT] [--layer-bytes N] NAME:TAG=FORM...

FORM is `docker` or `oci` for one image, `docker-list` or `oci-index` for one with a platform amd64 and a
platform arm64. Everything follows from salt, name and platform: the same call creates the same
digests anywhere. Prints one line per image, `NAME:TAG DIGEST`. Runs no program and uses no credentials.
"""

import argparse
import gzip
import hashlib
import io
import json
import tarfile
import urllib.parse
import urllib.request

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

# The media types of one family: config, layer, manifest, index.
FAMILIES = {
    "docker": (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        DOCKER,
        DOCKER_LIST,
    ),
    "oci": (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        OCI,
        OCI_INDEX,
    ),
}


def main():
    arguments = parse()
    for wanted in arguments.images:
        reference, form = wanted.split("=")
        name, tag = reference.rsplit(":", 1)
        family, _, several = form.partition("-")
        repository = Repository(arguments.registry, name)
        seed = f"{arguments.salt}/{name}"
        if several:
            digest = push_index(repository, family, tag, seed, arguments.layer_bytes)
        else:
            digest = push_image(repository, family, tag, seed, "amd64", arguments.layer_bytes)["digest"]
        print(f"{reference} {digest}", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("registry", metavar="HOST:PORT")
    parser.add_argument("images", metavar="NAME:TAG=FORM", nargs="+")
    parser.add_argument("--salt", default="", help="other salt, other content")
    parser.add_argument("--layer-bytes", type=int, default=1000, help="how long the second layer is, about")
    return parser.parse_args()


def push_index(repository, family, tag, seed, layer_bytes):
    children = []
    for architecture in ("amd64", "arm64"):
        child = push_image(repository, family, None, seed, architecture, layer_bytes)
        children.append(child | {"platform": {"os": "linux", "architecture": architecture}})
    media_type = FAMILIES[family][3]
    index = {"schemaVersion": 2, "mediaType": media_type, "manifests": children}
    return repository.put_manifest(encode(index), media_type, tag)["digest"]


def push_image(repository, family, tag, seed, architecture, layer_bytes):
    config_type, layer_type, manifest_type, _ = FAMILIES[family]
    seed = f"{seed}/{architecture}"
    # Random data is not compressible: the second layer has the requested length when compressed.
    contents = [f"{seed}\n".encode(), hashlib.shake_256(seed.encode()).digest(layer_bytes)]
    tars = [tar(f"layer-{number}", content) for number, content in enumerate(contents)]
    config = encode({
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in tars]},
    })
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": repository.put_blob(config, config_type),
        "layers": [repository.put_blob(gzip.compress(layer, 1, mtime=0), layer_type) for layer in tars],
    }
    return repository.put_manifest(encode(manifest), manifest_type, tag)


def tar(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Repository:
    """One repository of a registry that lets anyone push."""

    def __init__(self, registry, name):
        self.registry = f"http://{registry}"
        self.base = f"{self.registry}/v2/{name}"

    def put_blob(self, content, media_type):
        place = send("POST", f"{self.base}/blobs/uploads/").headers["Location"]
        # A registry may send a path as the location.
        place = urllib.parse.urljoin(self.registry, place) if place.startswith("/") else place
        separator = "&" if "?" in place else "?"
        digest = digest_of(content)
        send("PUT", f"{place}{separator}digest={digest}", content, "application/octet-stream")
        return descriptor(content, media_type)

    def put_manifest(self, content, media_type, tag):
        described = descriptor(content, media_type)
        send("PUT", f"{self.base}/manifests/{tag or described['digest']}", content, media_type)
        return described


def send(method, url, content=b"", media_type=None):
    headers = {"Content-Type": media_type} if media_type else {}
    request = urllib.request.Request(url, content, headers, method=method)
    # Without a proxy: the registry is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        answer.read()
        return answer


def descriptor(content, media_type):
    return {"mediaType": media_type, "size": len(content), "digest": digest_of(content)}


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def encode(document):
    return json.dumps(document, indent=2).encode()


if __name__ == "__main__":
    main()
