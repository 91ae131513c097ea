//! Sessions of the console: one for each browser in which a user is signed in. Each belongs to the password with which
//! it was started, so that it ends when the user is blocked or deleted or the password changes.

use std::net::IpAddr;
use std::time::Duration;

use super::id::CredentialId;

/// Times after which sessions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// The time without a request.
    pub idle: Duration,
    /// The time since the start.
    pub longest: Duration,
}

/// A session, as a request finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name in lists, which opens nothing.
    pub id: String,
    /// The password with which it was started.
    pub credential: CredentialId,
    /// The result of the form before, as a sentence for this page.
    pub done: Option<String>,
}

/// Effect of a request on its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// It shows a page to a person: the session is used now, and the page has the result of the form before.
    Page,
    /// A person sends a form: the session is used now.
    Form,
    /// A page repeats it by itself, which does not prove that a person is there.
    Unattended,
}

/// The client that started a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartedFrom {
    /// The address.
    pub address: Option<IpAddr>,
    /// The browser, as it names itself.
    pub user_agent: Option<String>,
}

/// A session as its user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// Its name.
    pub id: String,
    /// The client that started it.
    pub from: StartedFrom,
    /// Time since the start.
    pub age: Duration,
    /// Time since the last request.
    pub idle: Duration,
}

/// Maximum number of sessions: further ones end the one that was not used for the longest time.
pub const MAX_SESSIONS: usize = 10_000;

/// Maximum number of sessions of one password, in the same way.
pub const MAX_SESSIONS_OF_ONE: usize = 50;
