//! Options that the subcommands share: the URL of the service, the token, and secrets from standard input or files. A
//! secret is never an argument, because other users of the machine can read the arguments of a process.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::client::{Api, Credential, Http};
use super::failure::Failure;

/// URL of the service, the token and the output format.
#[derive(Debug, Args)]
pub(super) struct Connection {
    #[command(flatten)]
    service: Service,
    /// File that contains the API token; by default it is read from the environment variable DEPENDENCY_PROXY_TOKEN
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the response of the service as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// URL of the service and the certificates to trust.
#[derive(Debug, Args)]
pub(super) struct Service {
    /// URL of the service
    #[arg(long, global = true, env = "DEPENDENCY_PROXY_URL", default_value = "http://127.0.0.1:5050", value_parser = base_url)]
    pub(super) url: Url,
    /// PEM file of certificate authorities to trust in addition to those of the operating system
    #[arg(long, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

const TOKEN_VARIABLE: &str = "DEPENDENCY_PROXY_TOKEN";

/// Maximum size of a secret in a file or in standard input, and of a file of certificate authorities. Devices without
/// an end are refused.
const MAX_SECRET_BYTES: u64 = 64 << 10;
const MAX_AUTHORITIES_BYTES: u64 = 16 << 20;

impl Connection {
    /// Returns a client of the API that uses the token. Fails where there is no token, or a file cannot be read.
    pub(super) fn api(&self) -> Result<Api, Failure> {
        let credential = Credential::Token(self.token()?);
        Ok(Api::new(self.service.http()?, self.service.url.clone(), credential))
    }

    /// Returns the service as container clients name it: the host, with the port where it is not the default one.
    pub(super) fn host(&self) -> String {
        self.service.host()
    }

    /// Returns a client of the API that uses a password, for the routes that accept one.
    pub(super) fn api_by_password(&self, username: &str, password: SecretString) -> Result<Api, Failure> {
        let credential = Credential::Password(username.to_owned(), password);
        Ok(Api::new(self.service.http()?, self.service.url.clone(), credential))
    }

    fn token(&self) -> Result<SecretString, Failure> {
        let missing = || {
            Failure::Input(format!(
                "a token is needed: set {TOKEN_VARIABLE}, or name a file with --token-file; `login` creates one"
            ))
        };
        match &self.token_file {
            Some(file) => read_secret(file),
            None => secret_variable(TOKEN_VARIABLE).ok_or_else(missing),
        }
    }
}

impl Service {
    /// Returns the service as container clients name it: the host, with the port where it is not the default one.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Returns an HTTP client for the service.
    pub(super) fn http(&self) -> Result<Http, Failure> {
        Http::new(&self.url, self.authorities()?.as_deref())
    }

    /// Returns the additional certificate authorities, as PEM. Fails where the file cannot be read.
    pub(super) fn authorities(&self) -> Result<Option<Vec<u8>>, Failure> {
        self.ca_file.as_deref().map(|file| read(file, MAX_AUTHORITIES_BYTES)).transpose()
    }
}

/// Returns the secret in this environment variable, if it is set and not empty.
pub(super) fn secret_variable(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// Reads a secret from standard input, without the newline at its end. Fails where there is none, or more than a line.
pub(super) fn piped_secret() -> Result<SecretString, Failure> {
    let refuse = |problem| Failure::Input(format!("standard input {problem}"));
    secret(piped()?.expose_secret()).map_err(refuse)
}

/// Reads two secrets from standard input, one per line. Fails unless there are exactly two.
pub(super) fn piped_secrets() -> Result<(SecretString, SecretString), Failure> {
    two_secrets(piped()?.expose_secret())
        .ok_or_else(|| Failure::Input("standard input must have two lines, one secret per line".to_owned()))
}

fn piped() -> Result<SecretString, Failure> {
    let mut text = String::new();
    let read = io::stdin().lock().take(MAX_SECRET_BYTES).read_to_string(&mut text);
    read.map_err(|error| Failure::Input(format!("standard input cannot be read: {error}")))?;
    Ok(text.into())
}

/// Reads a secret from a file, without the newline at its end. Fails where there is none, or more than a line.
pub(super) fn read_secret(file: &Path) -> Result<SecretString, Failure> {
    let text = String::from_utf8(read(file, MAX_SECRET_BYTES)?).unwrap_or_default();
    secret(&text).map_err(|problem| Failure::Input(format!("{} {problem}", file.display())))
}

/// Writes a secret, with a newline, to a new file that only this user of the machine can read, and to the disk. Fails
/// where the file exists, which is left unchanged, or cannot be written.
pub(super) fn write_secret(file: &Path, secret: &SecretString) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() == ErrorKind::AlreadyExists {
        true => Failure::Input(format!("{} exists already: name another file with --password-file", file.display())),
        false => Failure::Input(format!("{} cannot be written: {error}", file.display())),
    };
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = opened.map_err(failed)?;
    let text = SecretString::from(format!("{}\n", secret.expose_secret()));
    let written = opened.write_all(text.expose_secret().as_bytes()).and_then(|()| opened.sync_all());
    written.inspect_err(|_| remove_secret(file)).map_err(failed)
}

/// Removes the file of a secret that is not used.
pub(super) fn remove_secret(file: &Path) {
    // If this fails, the file left behind contains a secret that grants no access.
    let _ = std::fs::remove_file(file);
}

fn read(file: &Path, max_bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = std::fs::File::open(file).and_then(|opened| opened.take(max_bytes + 1).read_to_end(&mut content));
    read.map_err(|error| Failure::Input(format!("{} cannot be read: {error}", file.display())))?;
    if content.len() as u64 > max_bytes {
        return Err(Failure::Input(format!("{} is larger than {} KiB", file.display(), max_bytes >> 10)));
    }
    Ok(content)
}

/// Returns the secret in a text of one line. Refuses several lines: such a secret could not be entered at a login, and
/// the lines are rather two secrets, or a secret and something else.
fn secret(text: &str) -> Result<SecretString, &'static str> {
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("contains no secret"),
        secret if secret.contains(['\r', '\n']) => Err("has more than one line; a secret is one line"),
        secret => Ok(secret.into()),
    }
}

fn two_secrets(text: &str) -> Option<(SecretString, SecretString)> {
    let (first, second) = text.split_once('\n')?;
    Some((secret(first).ok()?, secret(second).ok()?))
}

/// Parses a URL that consists of scheme, host and port only.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if matches!(url.scheme(), "http" | "https") && url.has_host() && plain && url.path() == "/" {
        Ok(url)
    } else {
        Err("is not a URL such as https://images.example.com, without path and credentials".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piped_secret_loses_its_newline_and_nothing_else() {
        let exposed = |text| secret(text).map(|secret| secret.expose_secret().to_owned());
        assert_eq!(exposed(" a b \r\n"), Ok(" a b ".to_owned()));
        assert_eq!(exposed("\n"), Err("contains no secret"));
        for text in ["a\nb", "a\r\nb\r\n", "a\n\nb"] {
            assert_eq!(exposed(text), Err("has more than one line; a secret is one line"), "{text:?}");
        }
    }

    #[test]
    fn two_piped_secrets_are_two_lines() {
        let exposed = |text| {
            let (first, second) = two_secrets(text)?;
            Some((first.expose_secret().to_owned(), second.expose_secret().to_owned()))
        };
        for text in ["a b\r\nc d\r\n", "a b\nc d"] {
            assert_eq!(exposed(text), Some(("a b".to_owned(), "c d".to_owned())));
        }
        for text in ["", "a", "a\n", "\nb\n", "a\n\nb", "a\nb\nc\n"] {
            assert_eq!(exposed(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_service_is_named_by_scheme_host_and_port() {
        assert!(base_url("https://images.example.com:8443").is_ok());
        for bad in ["images.example.com:80", "ftp://x", "http://x/y", "http://u:p@x", "http://x?y"] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }
}
