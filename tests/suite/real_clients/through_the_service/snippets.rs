//! The lines that the page of a group and `snippet` show, word for word, run with the real clients: only the texts in
//! angle brackets are filled in, and the folders of the machine's settings are replaced.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use super::*;
use crate::console::Visitor;
use crate::verbs::{says, verb};

/// The images that the lines name.
const IMAGES: [&str; 3] =
    ["library/postgres:17=oci-index", "library/python:3.13-slim=oci", "library/golang:1.25=docker"];

/// A folder with the secret of the deploy token, in which the lines are run, and settings for the clients.
struct Shell<'a> {
    scene: &'a Scene,
    folder: tempfile::TempDir,
}

impl<'a> Shell<'a> {
    fn new(scene: &'a Scene) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shell = Self { scene, folder };
        shell.write("secret", &scene.token.secret);
        shell.write("registries.conf", "");
        shell.write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n");
        let (root, run) = (shell.path("storage"), shell.path("run"));
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {root:?}\nrunroot = {run:?}\n");
        shell.write("storage.conf", &storage);
        shell
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs lines, and returns their output.
    fn run(&self, lines: &str) -> String {
        let output = self.outcome(lines);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{lines}\n{error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn outcome(&self, lines: &str) -> Output {
        let own = std::env::var("PATH").unwrap();
        let path = format!("{}:{own}:/usr/sbin:/sbin", self.path("bin").display());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", lines])
            .current_dir(self.folder.path())
            .envs(self.scene.engines.environment())
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("DOCKER_CONFIG", self.folder.path())
            .env("REGISTRY_AUTH_FILE", self.path("auth.json"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"))
            // This snapshotter works on any file system.
            .env("CONTAINERD_SNAPSHOTTER", "native")
            .env_remove("XDG_RUNTIME_DIR")
            .output()
            .unwrap()
    }

    /// Copies an image with the login in a file, and checks that it is upstream's.
    fn skopeo_with(&self, auth_file: &Path, image: &str, digest: &str) {
        let _ = std::fs::remove_dir_all(self.path("copied"));
        self.run(&format!(
            "skopeo copy --all --src-tls-verify=false --authfile {auth_file:?} docker://{image} dir:copied"
        ));
        self.has_manifest("copied", digest);
    }

    fn has_manifest(&self, folder: &str, digest: &str) {
        let sum = self.run(&format!("sha256sum {folder}/manifest.json"));
        assert_eq!(format!("sha256:{}", sum.split(' ').next().unwrap()), digest);
    }
}

/// Returns the texts of a client with what stands in angle brackets filled in. Checks that the page shows the same.
async fn lines_for(scene: &Scene, client: &str) -> Vec<String> {
    let shown = says(&verb(&scene.service, "", &format!("snippet {client} --group team --json"), ""));
    let shown: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let mut root = Visitor::stranger(&scene.service);
    root.sign_in("root", "a-root-password", "/").await;
    let page = root.get("/groups/team/-/dependency_proxy").await.text;
    let login = format!("{}:{}", scene.token.username, scene.token.secret);
    let text = |snippet: &Value| {
        let text = snippet["text"].as_str().unwrap();
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        assert!(page.contains(&format!(">{escaped}</code>")), "{escaped} is not in {page}");
        let text = text.replace("<base64 of user name:secret>", &BASE64.encode(&login));
        let text = text.replace("<user name>", &scene.token.username).replace("<secret>", &scene.token.secret);
        assert!(!text.contains("<user") && !text.contains("<base64"), "{text}");
        text
    };
    shown.iter().map(text).collect()
}

#[actix_rt::test]
async fn the_lines_for_podman_and_skopeo_log_in_pull_and_configure_a_mirror() {
    let scene = Scene::with_open_registry(&IMAGES).await;
    let (shell, lines) = (Shell::new(&scene), lines_for(&scene, "podman").await);
    let digest = scene.digest("library/postgres:17");
    shell.run(&lines[0]);
    let prefix = format!("{}/team/dependency_proxy/containers", scene.host());
    let known = |image: &str| shell.run(&format!("podman image inspect --format '{{{{.RepoDigests}}}}' {image}"));
    assert!(known(&format!("{prefix}/library/postgres:17")).contains(digest));
    // With its index, whose digest is known.
    shell.run(&lines[1].replace("skopeo copy ", "skopeo copy --all "));
    shell.has_manifest("postgres", digest);

    // The registry itself is made unreachable, so that all content comes from the mirror.
    let mirror = lines[2].replace("location = \"docker.io\"", "location = \"127.0.0.1:1\"");
    shell.write("registries.conf", &mirror);
    shell.run("podman image rm --all --force && podman pull docker.io/library/postgres:17");
    assert!(known("docker.io/library/postgres:17").contains(digest));
}

#[actix_rt::test]
async fn the_lines_for_docker_and_buildkit_log_in_pull_and_build() {
    let scene = Scene::with_open_registry(&IMAGES).await;
    let shell = Shell::new(&scene);
    let [docker, buildkit] = ["docker", "buildkit"].map(|client| lines_for(&scene, client));
    let (docker, buildkit) = (docker.await, buildkit.await);
    shell.run(&docker[0]);
    let prefix = format!("{}/team/dependency_proxy/containers", scene.host());
    let digests = shell.run(&format!("docker image inspect --format '{{{{.RepoDigests}}}}' {prefix}/postgres:17"));
    assert!(digests.contains(scene.digest("library/postgres:17")), "{digests}");

    shell.write("context/Dockerfile", &buildkit[0]);
    // BuildKit is a part of the engine; the older builder reads the same file where its command line is missing.
    let built = shell.outcome("docker build --tag built context");
    let built =
        if built.status.success() { built } else { shell.outcome("DOCKER_BUILDKIT=0 docker build -t built context") };
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert!(shell.run("docker image inspect built").contains("sha256:"));
}

#[actix_rt::test]
async fn the_lines_for_containerd_pull_images_of_one_registry_and_of_all() {
    let scene = Scene::with_open_registry(&IMAGES).await;
    let (shell, lines) = (Shell::new(&scene), lines_for(&scene, "containerd").await);
    let digest = scene.digest("library/postgres:17");
    let pull = lines[2].replace("/etc/containerd/certs.d", shell.path("certs.d").to_str().unwrap());
    // The registry itself is made unreachable, so that all content comes from the service.
    let nowhere = "server = \"http://127.0.0.1:1\"\n";
    for (hosts, folder) in [(&lines[0], "docker.io"), (&lines[1], "_default")] {
        let _ = std::fs::remove_dir_all(shell.path("certs.d"));
        shell.write(&format!("certs.d/{folder}/hosts.toml"), &format!("{nowhere}{hosts}"));
        shell.run(&pull);
        let listed = shell.run("ctr images list name==docker.io/library/postgres:17");
        assert!(listed.contains(digest), "{folder}: {listed}");
        shell.run("ctr images remove --sync docker.io/library/postgres:17");
    }
    let several = "snippet containerd --group team --json --registry ghcr.io --registry quay.io";
    let several: Vec<Value> = serde_json::from_str(&says(&verb(&scene.service, "", several, ""))).unwrap();
    shell.write("certs.d/docker.io/hosts.toml", &lines[0]);
    let text = several[3]["text"].as_str().unwrap();
    shell.run(&text.replace("/etc/containerd/certs.d", shell.path("certs.d").to_str().unwrap()));
    for registry in ["ghcr.io", "quay.io"] {
        let file = std::fs::read_to_string(shell.path(&format!("certs.d/{registry}/hosts.toml"))).unwrap();
        assert_eq!(file, lines[0], "{registry}");
    }
}

#[actix_rt::test]
async fn the_variables_for_gitlab_ci_and_its_job_and_the_workflow_for_github_log_in_and_pull() {
    let scene = Scene::with_open_registry(&IMAGES).await;
    let (shell, lines) = (Shell::new(&scene), lines_for(&scene, "gitlab").await);
    let variables: Vec<(&str, &str)> = lines[0].lines().map(|line| line.split_once('=').unwrap()).collect();
    let value = |name: &str| variables.iter().find(|(key, _)| *key == name).unwrap().1;
    assert_eq!(variables.len(), 6, "{variables:?}");

    shell.write("docker-auth.json", value("DOCKER_AUTH_CONFIG"));
    let entry: Value = serde_json::from_str(value("DOCKER_AUTH_CONFIG")).unwrap();
    let encoded = entry["auths"][scene.host()]["auth"].as_str().unwrap();
    let login = String::from_utf8(BASE64.decode(encoded).unwrap()).unwrap();
    let named = format!("{}:{}", value("CI_DEPENDENCY_PROXY_USER"), value("CI_DEPENDENCY_PROXY_PASSWORD"));
    assert_eq!(login, named);
    let images: Vec<&str> =
        lines[1].lines().filter_map(|line| line.split_once("${CI_").map(|(_, name)| name)).collect();
    assert_eq!(images.len(), 2, "{}", lines[1]);
    for image in images {
        let (variable, rest) = image.split_once('}').unwrap();
        let (prefix, name) = (value(&format!("CI_{variable}")), rest.trim_start_matches('/'));
        assert_eq!(prefix, value("CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX"));
        let digest = scene.digest(&format!("library/{name}")).to_owned();
        shell.skopeo_with(&shell.path("docker-auth.json"), &format!("{prefix}/{name}"), &digest);
    }
    // As the jobs of GitLab's own templates log in.
    let login = "skopeo login --tls-verify=false -u \"$CI_DEPENDENCY_PROXY_USER\" -p \"$CI_DEPENDENCY_PROXY_PASSWORD\" $CI_DEPENDENCY_PROXY_SERVER";
    let plain = variables.iter().filter(|(name, _)| name.starts_with("CI_"));
    let exports: String = plain.map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    shell.run(&format!("{exports}{login}"));

    let workflow = lines_for(&scene, "github").await.remove(0);
    let field = |name: &str| workflow.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap().to_owned();
    assert!(workflow.contains("password: ${{ secrets.IMAGES_SECRET }}"), "{workflow}");
    let (image, user) = (field("image: "), field("username: "));
    shell.run(&format!(
        "skopeo copy --all --src-tls-verify=false --src-creds {user}:$(cat secret) docker://{image} dir:github"
    ));
    shell.has_manifest("github", scene.digest("library/python:3.13-slim"));
}

#[actix_rt::test]
async fn the_secret_for_kubernetes_pulls_the_image_of_its_pod() {
    let scene = Scene::with_open_registry(&IMAGES).await;
    let (shell, lines) = (Shell::new(&scene), lines_for(&scene, "kubernetes").await);
    // Without a cluster, kubectl prints what it would send there.
    let kubectl = Command::new("sh").args(["-c", "command -v kubectl"]).output().unwrap().stdout;
    let kubectl = String::from_utf8(kubectl).unwrap();
    let printing = format!("#!/bin/sh\nexec {} \"$@\" --dry-run=client --output json\n", kubectl.trim());
    shell.write("bin/kubectl", &printing);
    shell.run("chmod +x bin/kubectl");
    let made: Value = serde_json::from_str(&shell.run(&lines[0])).unwrap();
    assert_eq!(made["type"], "kubernetes.io/dockerconfigjson");
    let config = BASE64.decode(made["data"][".dockerconfigjson"].as_str().unwrap()).unwrap();
    shell.write("pod-auth.json", &String::from_utf8(config).unwrap());

    let pod = &lines[1];
    assert!(pod.contains(&format!("name: {}", made["metadata"]["name"].as_str().unwrap())), "{pod}");
    let image = pod.lines().find_map(|line| line.trim().strip_prefix("image: ")).unwrap();
    let digest = scene.digest("library/postgres:17").to_owned();
    shell.skopeo_with(&shell.path("pod-auth.json"), image, &digest);
}
