//! Lines for clients that pull through a group: the console and the subcommand `snippet` show the same text. User name
//! and secret are those of a deploy token of the group.

use std::fmt;
use std::str::FromStr;

/// The client that lines are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Jobs of GitLab CI.
    GitlabCi,
    /// Workflows of GitHub Actions.
    GithubActions,
    /// Pods of Kubernetes.
    Kubernetes,
    /// containerd, as a mirror of a registry.
    Containerd,
    /// podman, skopeo and buildah.
    Podman,
    /// Docker.
    Docker,
    /// BuildKit.
    Buildkit,
}

/// Lines for one file or one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snippet {
    /// The file or place that they belong to, and what to know before.
    pub title: String,
    /// The lines, without a newline at the end.
    pub text: String,
}

/// The place that lines name.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Host and port of the service.
    pub host: &'a str,
    /// `https` or `http`.
    pub scheme: &'a str,
    /// Full path of the group.
    pub group: &'a str,
    /// Names of registries behind the service, as far as they are known.
    pub registries: &'a [String],
}

/// The error for a name that is no client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is none of gitlab, github, kubernetes, containerd, podman, docker and buildkit")]
pub struct ClientError;

impl Client {
    /// All clients.
    pub const ALL: [Self; 7] = [
        Self::GitlabCi,
        Self::GithubActions,
        Self::Kubernetes,
        Self::Containerd,
        Self::Podman,
        Self::Docker,
        Self::Buildkit,
    ];

    /// Returns its name in commands and addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitlabCi => "gitlab",
            Self::GithubActions => "github",
            Self::Kubernetes => "kubernetes",
            Self::Containerd => "containerd",
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Buildkit => "buildkit",
        }
    }

    /// Returns its name for people.
    pub fn label(self) -> &'static str {
        match self {
            Self::GitlabCi => "GitLab CI",
            Self::GithubActions => "GitHub Actions",
            Self::Kubernetes => "Kubernetes",
            Self::Containerd => "containerd",
            Self::Podman => "Podman",
            Self::Docker => "Docker",
            Self::Buildkit => "BuildKit",
        }
    }

    /// Returns the lines for this client.
    pub fn snippets(self, source: Source<'_>) -> Vec<Snippet> {
        match self {
            Self::GitlabCi => gitlab_ci(source),
            Self::GithubActions => github_actions(source),
            Self::Kubernetes => kubernetes(source),
            Self::Containerd => containerd(source),
            Self::Podman => podman(source),
            Self::Docker => docker(source),
            Self::Buildkit => buildkit(source),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Client {
    type Err = ClientError;

    fn from_str(name: &str) -> Result<Self, ClientError> {
        Self::ALL.into_iter().find(|client| client.name() == name).ok_or(ClientError)
    }
}

impl Source<'_> {
    /// Returns this text if the service is reached without TLS, and nothing otherwise. Podman, skopeo and buildah need
    /// an option for that.
    fn without_tls(self, text: &'static str) -> &'static str {
        if self.scheme == "http" { text } else { "" }
    }

    /// Returns what stands before the name of an image, without a slash at the end.
    fn prefix(self) -> String {
        format!("{}/{}/dependency_proxy/containers", self.host, self.group)
    }
}

fn snippet(title: &str, text: String) -> Snippet {
    Snippet { title: title.to_owned(), text }
}

fn gitlab_ci(source: Source<'_>) -> Vec<Snippet> {
    let (host, prefix) = (source.host, source.prefix());
    let variables = format!(
        "CI_DEPENDENCY_PROXY_SERVER={host}\n\
         CI_DEPENDENCY_PROXY_USER=<user name>\n\
         CI_DEPENDENCY_PROXY_PASSWORD=<secret>\n\
         CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX={prefix}\n\
         CI_DEPENDENCY_PROXY_DIRECT_GROUP_IMAGE_PREFIX={prefix}\n\
         DOCKER_AUTH_CONFIG={{\"auths\":{{\"{host}\":{{\"auth\":\"<base64 of user name:secret>\"}}}}}}"
    );
    let job = "test:\n  \
               image: ${CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX}/python:3.13-slim\n  \
               services:\n    \
               - name: ${CI_DEPENDENCY_PROXY_GROUP_IMAGE_PREFIX}/postgres:17\n      \
               alias: postgres\n  \
               script:\n    \
               - pytest";
    vec![
        snippet("Variables of the GitLab group (Settings, CI/CD, Variables); mask the two with the secret", variables),
        snippet(".gitlab-ci.yml", job.to_owned()),
    ]
}

fn github_actions(source: Source<'_>) -> Vec<Snippet> {
    let prefix = source.prefix();
    let text = format!(
        "jobs:\n  test:\n    runs-on: ubuntu-latest\n    container:\n      image: {prefix}/python:3.13-slim\n      \
         credentials:\n        username: <user name>\n        password: ${{{{ secrets.IMAGES_SECRET }}}}\n    \
         steps:\n      - run: pytest"
    );
    vec![snippet(".github/workflows/test.yml, with the secret in the repository's secret IMAGES_SECRET", text)]
}

fn kubernetes(source: Source<'_>) -> Vec<Snippet> {
    let (host, prefix) = (source.host, source.prefix());
    let secret = format!(
        "kubectl create secret docker-registry images \\\n  --docker-server={host} \\\n  \
         --docker-username='<user name>' \\\n  --docker-password=\"$(cat secret)\""
    );
    let pod = format!(
        "spec:\n  imagePullSecrets:\n    - name: images\n  containers:\n    - name: db\n      image: {prefix}/postgres:17"
    );
    vec![snippet("Once in each namespace, with the secret in the file 'secret'", secret), snippet("In the pod", pod)]
}

fn containerd(source: Source<'_>) -> Vec<Snippet> {
    let Source { host, scheme, group, registries } = source;
    let address = format!("{scheme}://{host}/v2/{group}/dependency_proxy/containers");
    let text = format!(
        "[host.\"{address}\"]\ncapabilities = [\"pull\", \"resolve\"]\noverride_path = true\n\
         [host.\"{address}\".header]\nAuthorization = \"Basic <base64 of user name:secret>\""
    );
    let mut snippets = vec![
        snippet("/etc/containerd/certs.d/docker.io/hosts.toml: images of Docker Hub keep their names", text.clone()),
        snippet("/etc/containerd/certs.d/_default/hosts.toml: those of all registries do", text),
        snippet(
            "Does it pull? containerd reads these files if its setting config_path names their folder",
            "ctr images pull --hosts-dir /etc/containerd/certs.d docker.io/library/postgres:17".to_owned(),
        ),
    ];
    let others: Vec<&str> = registries.iter().map(String::as_str).filter(|name| *name != "docker.io").collect();
    if !others.is_empty() {
        let title = "Instead of _default, for single registries: the file of docker.io in the folder of each";
        let text = format!(
            "cd /etc/containerd/certs.d\nfor registry in {}; do\n  \
             install -D -m 600 docker.io/hosts.toml \"$registry/hosts.toml\"\ndone",
            others.join(" ")
        );
        snippets.push(snippet(title, text));
    }
    snippets
}

fn podman(source: Source<'_>) -> Vec<Snippet> {
    let (host, prefix) = (source.host, source.prefix());
    let no_tls = source.without_tls(" --tls-verify=false");
    let pull = format!(
        "podman login{no_tls} {host} -u '<user name>' --password-stdin < secret\n\
         podman pull{no_tls} {prefix}/library/postgres:17"
    );
    let mirror = format!(
        "[[registry]]\nprefix = \"docker.io\"\nlocation = \"docker.io\"\n\n[[registry.mirror]]\nlocation = \"{prefix}\"{}",
        source.without_tls("\ninsecure = true")
    );
    let no_tls = source.without_tls(" --src-tls-verify=false");
    let copy = format!("skopeo copy{no_tls} docker://{prefix}/library/postgres:17 dir:postgres");
    vec![
        snippet("Log in and pull, with the secret in the file 'secret'", pull),
        snippet("Skopeo and buildah use the login of Podman", copy),
        snippet("/etc/containers/registries.conf.d/images.conf: images of Docker Hub keep their names", mirror),
    ]
}

fn docker(source: Source<'_>) -> Vec<Snippet> {
    let (host, prefix) = (source.host, source.prefix());
    let text =
        format!("docker login {host} -u '<user name>' --password-stdin < secret\ndocker pull {prefix}/postgres:17");
    let mut snippets = vec![snippet("Log in and pull, with the secret in the file 'secret'", text)];
    if source.scheme == "http" {
        let title = "/etc/docker/daemon.json, before: the service has no TLS. Not needed for one on this machine";
        snippets.push(snippet(title, format!("{{\"insecure-registries\": [\"{host}\"]}}")));
    }
    snippets
}

fn buildkit(source: Source<'_>) -> Vec<Snippet> {
    let prefix = source.prefix();
    let text = format!("ARG IMAGES={prefix}\nFROM ${{IMAGES}}/golang:1.25");
    vec![snippet("Dockerfile, after 'docker login' as for Docker", text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_found_by_its_name_and_its_lines_name_the_group() {
        let source = Source { host: "images.example:8443", scheme: "https", group: "team/ci", registries: &[] };
        for client in Client::ALL {
            assert_eq!(client.name().parse(), Ok(client));
            let text: String = client.snippets(source).into_iter().map(|snippet| snippet.text).collect();
            assert!(
                text.contains("images.example:8443") && text.contains("team/ci/dependency_proxy/containers"),
                "{text}"
            );
        }
        assert_eq!("Docker".parse::<Client>(), Err(ClientError));
    }

    #[test]
    fn containerd_gets_a_file_for_each_registry_that_is_known() {
        let files = |names: &[&str]| {
            let registries: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let source = Source { host: "images.example", scheme: "https", group: "team", registries: &registries };
            Client::Containerd.snippets(source).into_iter().skip(3).map(|snippet| snippet.text).collect::<String>()
        };
        assert!(files(&["docker.io", "ghcr.io", "quay.io"]).contains("for registry in ghcr.io quay.io; do"));
        assert_eq!(files(&["docker.io"]), "");
    }

    #[test]
    fn only_without_tls_the_lines_say_so() {
        let text = |scheme| {
            let source = Source { host: "images.example", scheme, group: "team", registries: &[] };
            let all = [Client::Podman, Client::Docker].map(|client| client.snippets(source));
            all.into_iter().flatten().map(|snippet| snippet.text).collect::<String>()
        };
        let parts =
            ["login --tls-verify=false", "pull --tls-verify=false", "--src-tls-verify=false", "\ninsecure = true"];
        assert!(parts.iter().all(|part| text("http").contains(part)), "{}", text("http"));
        let secure = text("https");
        assert!(!secure.contains("tls-verify") && !secure.contains("insecure"), "{secure}");
    }
}
