//! The person who requests a page: a user with a session, whose password is valid on the present identities.

use std::sync::{Arc, Mutex, PoisonError};

use actix_web::cookie::{Cookie, SameSite};
use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::address::{self, NavItem};
use super::fault::{Fault, Kind};
use super::page::{Frame, SignedIn};
use super::see;
use crate::auth::form_token;
use crate::domain::access::AccessLevel;
use crate::domain::group::Group;
use crate::domain::policy;
use crate::domain::session::{ListedSession, Session, SessionUse};
use crate::http::api::{ApiError, ApiState, Authority, Caller, Needed};

/// A user who is signed in.
pub(super) struct Visitor {
    /// The user as a caller of what the API does.
    pub(super) caller: Caller,
    /// The host and port of this service, as users write it in image names.
    pub(super) host: String,
    /// The item of the navigation to which the page belongs.
    present: Option<NavItem>,
    session: Session,
    secret: String,
    /// Proof that a form comes from a page of this session.
    form_secret: [u8; form_token::SECRET_BYTES],
    /// The result of the form before, for the page that is shown.
    sentence: Mutex<Option<String>>,
}

/// Name of the cookie. Browsers accept the prefix only from this very host, over TLS (RFC 6265bis, section 4.1.3.2).
const SECURE_COOKIE: &str = "__Host-dependency-proxy-session";

/// Maximum number of cookies of a session that are looked at in one request.
const MAX_COOKIES: usize = 8;

/// Name of the cookie where the service is reached without TLS.
const PLAIN_COOKIE: &str = "dependency-proxy-session";

impl Visitor {
    /// Returns the visitor who sent this request.
    ///
    /// # Errors
    ///
    /// Fails if there is no session, if its password is not valid any more, or if the sessions cannot be read.
    pub(super) async fn of(request: &HttpRequest) -> Result<Self, Fault> {
        let signed_out = || Fault::signed_out(request);
        let state = request.app_data::<Data<ApiState>>().cloned().ok_or_else(signed_out)?;
        let host = state.public_url.host(request);
        let (secret, mut session) = session_of(request, &state).await?.ok_or_else(signed_out)?;
        let sessions = state.sessions.clone();
        let caller =
            Caller::with(state, request, Needed::Password, |directory| directory.credential(session.credential));
        let Ok(caller) = caller else {
            // If it cannot be ended now, the next request tries it again.
            sessions.end(&secret).await.ok();
            return Err(signed_out());
        };
        // For the log lines of refusals on this page.
        request.extensions_mut().insert(caller.subject());
        let (form_secret, sentence) = (form_token::secret_of(&secret), Mutex::new(session.done.take()));
        let present = NavItem::of(request.path());
        Ok(Self { caller, host, present, session, secret, form_secret, sentence })
    }

    /// Returns what the page shows around its content.
    pub(super) fn frame(&self) -> Frame {
        let (username, admin) = (self.username().to_owned(), self.caller.user.admin);
        let user = SignedIn { username, admin, form_token: self.form_token(), present: self.present };
        let done = self.sentence.lock().unwrap_or_else(PoisonError::into_inner).take();
        Frame { host: self.host.clone(), at: self.caller.now, user: Some(user), done }
    }

    /// Leads to an address after a form was carried out; the page there begins with this sentence.
    pub(super) async fn done(&self, sentence: &str, address: &str) -> HttpResponse {
        self.caller.state.sessions.note_done(&self.secret, sentence.to_owned()).await;
        see(address)
    }

    /// Returns the name of the user.
    pub(super) fn username(&self) -> &str {
        self.caller.user.username.as_str()
    }

    /// Returns the user's rights.
    pub(super) fn authority(&self) -> Authority<'_> {
        self.caller.authority()
    }

    /// Returns a token for a form of this session.
    pub(super) fn form_token(&self) -> String {
        form_token::issue(&self.form_secret)
    }

    /// Returns true if this is the session of the request.
    pub(super) fn is_of(&self, listed: &ListedSession) -> bool {
        self.session.id == listed.id
    }

    /// Returns true if the token comes from a page of this session.
    pub(super) fn has_issued(&self, token: &str) -> bool {
        form_token::is_of(token, &self.form_secret)
    }

    /// Returns the group at this path, if the user is a member of it or an administrator.
    ///
    /// # Errors
    ///
    /// Fails alike if there is no such group and if the user is no member of it.
    pub(super) fn group(&self, path: &str) -> Result<Arc<Group>, Fault> {
        self.group_at(path, |group| self.authority().level(group.id).is_some())
    }

    /// Returns the group at this path. The API is not used for this, because it takes a path of digits for a number.
    fn group_at(&self, path: &str, is_shown: impl Fn(&Group) -> bool) -> Result<Arc<Group>, Fault> {
        let at_path = path.parse().ok().and_then(|path| self.caller.directory.group_at(&path));
        let username = || self.username().to_owned();
        let none = || self.fault(Kind::NoGroup { path: path.to_owned(), username: username() });
        at_path.filter(|group| is_shown(group)).cloned().ok_or_else(none)
    }

    /// Returns the group at this path, if the user may know of it: as a member, or because it is public.
    ///
    /// # Errors
    ///
    /// As for [`Self::group`].
    pub(super) fn visible_group(&self, path: &str) -> Result<Arc<Group>, Fault> {
        self.group_at(path, |group| self.authority().sees(group))
    }

    /// Returns the group at this path, if the user is an owner of it or an administrator.
    ///
    /// # Errors
    ///
    /// Fails as [`Self::group`] does, and if the user is a member and no owner.
    pub(super) fn own_group(&self, path: &str) -> Result<Arc<Group>, Fault> {
        let group = self.group(path)?;
        if self.owns(&group) { Ok(group) } else { Err(self.owners_only(&group)) }
    }

    /// Returns true if the user may change this group and what it has cached.
    pub(super) fn owns(&self, group: &Group) -> bool {
        self.authority().level(group.id) >= Some(AccessLevel::Owner)
    }

    /// Fails if the query of an address is not valid, for the reason in this sentence.
    pub(super) fn valid(&self, checked: Result<(), String>) -> Result<(), Fault> {
        checked.map_err(|sentence| self.fault(Kind::InvalidAddress(sentence)))
    }

    /// Returns the fault of a page for which there is no address.
    pub(super) fn no_such_page(&self) -> Fault {
        self.fault(Kind::NoPage)
    }

    /// Returns a fault with the frame of this visitor.
    pub(super) fn fault(&self, kind: Kind) -> Fault {
        Fault::new(kind, self.frame())
    }

    /// Returns the fault of a request that the API would refuse in this way.
    pub(super) fn refused(&self, error: &ApiError) -> Fault {
        self.fault(Kind::of(error))
    }

    fn owners_only(&self, group: &Group) -> Fault {
        let (directory, now) = (&self.caller.directory, self.caller.now);
        let is_owner = |user| policy::access_level(directory, user, group.id, now) >= Some(AccessLevel::Owner);
        let people = directory.users().filter(|user| user.bot_of.is_none() && !user.blocked && is_owner(user.id));
        let mut owners: Vec<String> = people.map(|user| user.username.to_string()).collect();
        owners.sort();
        self.fault(Kind::OwnersOnly { path: group.path.to_string(), owners, username: self.username().to_owned() })
    }
}

impl FromRequest for Visitor {
    type Error = Fault;
    type Future = LocalBoxFuture<'static, Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move { Self::of(&request).await }.boxed_local()
    }
}

/// Returns the session of this request, with its secret.
async fn session_of(request: &HttpRequest, state: &ApiState) -> Result<Option<(String, Session)>, Fault> {
    let by = match request.method().is_safe() {
        true if address::reloads_itself(request) => SessionUse::Unattended,
        true => SessionUse::Page,
        false => SessionUse::Form,
    };
    // A page of another host of the same domain may have set a cookie of this name, too.
    for secret in secrets_of(request, state) {
        let found = state.sessions.find(&secret, by).await;
        let found =
            found.map_err(|error| Fault::new(error.into(), Frame::of_nobody(state.public_url.host(request))))?;
        if let Some(session) = found {
            return Ok(Some((secret, session)));
        }
    }
    Ok(None)
}

/// Returns the secrets of sessions in the cookies of this request: usually one.
pub(super) fn secrets_of(request: &HttpRequest, state: &ApiState) -> Vec<String> {
    let name = cookie_name(is_secure(request, state));
    let cookies = request.cookies();
    let of_session = cookies.iter().flat_map(|cookies| cookies.iter()).filter(|cookie| cookie.name() == name);
    of_session.map(|cookie| cookie.value().to_owned()).take(MAX_COOKIES).collect()
}

/// Returns the cookie with this secret; the one that removes it, if there is none.
pub(super) fn cookie(request: &HttpRequest, state: &ApiState, secret: Option<String>) -> Cookie<'static> {
    let secure = is_secure(request, state);
    let cookie = Cookie::build(cookie_name(secure), secret.clone().unwrap_or_default());
    let mut cookie = cookie.path("/").http_only(true).same_site(SameSite::Lax).secure(secure).finish();
    if secret.is_none() {
        cookie.make_removal();
    }
    cookie
}

fn is_secure(request: &HttpRequest, state: &ApiState) -> bool {
    state.public_url.base(request).starts_with("https://")
}

fn cookie_name(secure: bool) -> &'static str {
    if secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}
