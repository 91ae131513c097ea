//! The web console: pages that the server renders, for people who are signed in with their password. It shows and
//! changes what the API does, by the same rules ([`api::Authority`](super::api::Authority)).
//!
//! A page of a group is a module with a row below, a variant of [`group_pages`]`::Page`, and perhaps a tab in
//! [`parts`]. Of the functions of [`visitor`] that find the group, `group` is for members, `visible_group` for visitors
//! of a public group as well, and `own_group` for owners.
//!
//! | address | page | module |
//! |---|---|---|
//! | `/` | the groups of the user | [`home`] |
//! | `/-/sign-in`, `/-/sign-out` | start and end of a session | [`sign_in`] |
//! | `/-/assets/...` | style sheet, script and icon, embedded in the binary | [`assets`] |
//! | `/groups/<group>` | leads to the next | [`group`] |
//! | `/groups/<group>/-/dependency_proxy` | what a group has cached, and how to pull it | [`group`] |
//! | `.../images/<image>` | one image; its owner pins and refreshes it here | [`image`] |
//! | `.../delete?image=<image>` | confirmation before images are deleted | [`deletion`] |
//! | `.../clear` | confirmation before a cache is cleared | [`clearing`] |
//! | `.../tokens...` | tokens of a group: list, new one, rotation, end, revocation | [`tokens`] |
//! | `.../members...` | members of a group | [`members`] |
//! | `.../settings` | name, path, place, switch, accounts at registries, freshness, quota and age of a group | [`settings`] |
//! | `.../settings/delete` | confirmation before a group is deleted | [`group_deletion`] |
//! | `.../explain` | whether somebody may pull, and why | [`explanation`] |
//! | `/-/users/<name>` | leads to the account of the user, or to the list of users | [`user`] |
//! | `/-/account...` | the password, the personal access tokens and the sessions of the user | [`account`] |
//! | `.../audit` | who changed what in a group, and what was refused | [`audit`] |
//! | `/-/groups/new` | the form for a new group | [`new_group`] |
//! | `/-/api` | the calls of the REST API, for everyone | [`api_reference`] |
//! | `/-/admin...` | for administrators: overview, groups by size, users, audit log | [`admin`] |
//!
//! The threads that serve pulls pass the requests on to a thread of low priority ([`thread`], [`passed`]), so that
//! pages cannot slow pulls; how many of them at a time, of all people and of one, is in [`limits`]. There a request
//! passes [`visitor`], which finds the session of its cookie ([`sessions`](crate::actors::sessions)) and decides
//! on the present identities whether its password is still valid; a form also passes [`form`], which wants the
//! session's token against forged requests. Without a session, what was typed into it is kept ([`kept_form`]) while
//! its sender signs in again ([`sign_in_form`]). What fails becomes a page in [`fault`], which maps failures to status
//! codes. A page that shows its form again with a problem chooses the status code itself.
//!
//! Pages are written with maud: templates are Rust, checked by the compiler, escape every value, and share parts as
//! functions ([`mod@page`], [`pages`], [`parts`], [`icons`], [`address`], [`fields`], [`problem`], [`losses`],
//! [`seen`], [`chart`], [`roles`], [`formatting`]). Nothing is loaded from elsewhere, no page has a script or style in
//! it, and only copying needs a script.
//!
//! | parts of pages | modules |
//! |---|---|
//! | of a group's page | [`counts`], [`image_row`], [`snippets`], [`refetch`] |
//! | of an image's page | [`image_parts`], [`image_pulls`] |
//! | of an audit trail | [`audit_filter`], [`audit_values`] |
//! | of the place of a group | [`group_choice`] |
//! | of several | [`table`], [`expiring`] (tokens that end soon), [`principal`] (names of others than users), [`session_list`], [`user_agent`] |

mod account;
mod address;
mod admin;
mod api_reference;
mod assets;
mod audit;
mod audit_filter;
mod audit_values;
mod chart;
mod clearing;
mod counts;
mod deletion;
mod expiring;
mod explanation;
mod fault;
mod fields;
mod form;
mod formatting;
mod group;
mod group_choice;
mod group_deletion;
mod group_pages;
mod home;
mod icons;
mod image;
mod image_parts;
mod image_pulls;
mod image_row;
mod kept_form;
mod limits;
mod losses;
mod members;
mod new_group;
mod page;
mod pages;
mod parts;
mod passed;
mod principal;
mod problem;
mod refetch;
mod roles;
mod seen;
mod session_list;
mod settings;
mod sign_in;
mod sign_in_form;
mod snippets;
mod table;
mod thread;
mod tokens;
mod user;
mod user_agent;
mod visitor;

use std::future::{Ready, ready};

use actix_web::http::header::LOCATION;
use actix_web::web::{self, post};
use actix_web::{HttpRequest, HttpResponse, Resource};

use self::fault::{Fault, Kind};
use self::page::Frame;
pub(crate) use self::thread::Console;
use self::visitor::Visitor;
use super::get;

/// Registers the routes of the console, which pass requests on to its thread. They need `web::Data<Console>`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    // Scopes, whose prefixes are compared: patterns are regular expressions, which would be run at every pull.
    config
        .service(web::resource("/").to(thread::pass_on))
        .service(web::scope("/-").default_service(web::to(thread::pass_on)))
        .service(web::scope("/groups").default_service(web::to(thread::pass_on)));
}

/// Registers the pages, for the application of that thread. They need `web::Data<ApiState>`.
fn configure_pages(config: &mut web::ServiceConfig) {
    config
        .service(page("/", FORMLESS).route(get().to(home::show)))
        .service(page("/-/sign-in", WITH_FORM).route(get().to(sign_in::show)).route(post().to(sign_in::sign_in)))
        .service(
            page(address::SIGN_OUT, WITH_FORM)
                .route(get().to(sign_in::confirm_sign_out))
                .route(post().to(sign_in::sign_out)),
        )
        .service(
            page("/-/account", WITH_FORM).route(get().to(account::show)).route(post().to(account::change_password)),
        )
        .service(
            page(account::SESSIONS, WITH_FORM)
                .route(get().to(account::show_sessions))
                .route(post().to(account::end_sessions)),
        )
        .service(
            page("/-/account/tokens{page:.*}", WITH_FORM)
                .route(get().to(account::show_tokens))
                .route(post().to(account::change_tokens)),
        )
        .service(
            page("/-/admin{page:(?:/.*)?}", WITH_FORM).route(get().to(admin::show)).route(post().to(admin::change)),
        )
        .service(
            page(new_group::ADDRESS, WITH_FORM).route(get().to(new_group::show)).route(post().to(new_group::create)),
        )
        .service(page(api_reference::ADDRESS, FORMLESS).route(get().to(api_reference::show)))
        .service(page("/-/users/{name}", FORMLESS).route(get().to(user::show)))
        .service(page("/-/assets/{name}", FORMLESS).route(get().to(assets::show)))
        .service(
            page("/groups/{address:.+}", WITH_FORM)
                .route(get().to(group_pages::show))
                .route(post().to(group_pages::change)),
        )
        .service(page("/groups", FORMLESS).route(get().to(all_groups)))
        .service(page("/groups/", FORMLESS).route(get().to(all_groups)))
        .service(web::resource(["/-", "/-/{page:.*}"]).to(no_such_page));
}

/// Methods of pages.
const FORMLESS: &str = "GET, HEAD";
const WITH_FORM: &str = "GET, HEAD, POST";

/// Returns a resource that has a page for other methods than these, too.
fn page(path: &str, methods: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |request: HttpRequest| wrong_method(request, methods)))
}

async fn wrong_method(request: HttpRequest, methods: &'static str) -> Result<HttpResponse, Fault> {
    let visitor = Visitor::of(&request).await;
    let frame = visitor.map_or_else(|_| Frame::of_nobody(String::new()), |visitor| visitor.frame());
    Err(Fault::new(Kind::WrongMethod(methods), frame))
}

/// Returns the same address without the slash at its end; `None` if it has none.
fn without_slash(request: &HttpRequest) -> Option<String> {
    let path = request.path().strip_suffix('/')?.trim_end_matches('/');
    let query = request.query_string();
    Some(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

fn all_groups() -> Ready<HttpResponse> {
    ready(see("/"))
}

/// Leads to an address, after a form was carried out.
fn see(address: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, address)).finish()
}

fn no_such_page(request: HttpRequest, visitor: Visitor) -> Ready<Result<HttpResponse, Fault>> {
    let address = without_slash(&request).filter(|_| request.method().is_safe());
    ready(address.map(|address| see(&address)).ok_or_else(|| visitor.no_such_page()))
}
