//! The web console: pages that the server renders, for people who are signed in with their password. It shows and
//! changes what the API does, by the same rules ([`api::Authority`](super::api::Authority)).
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
//! | `.../settings` | switch, quota and age of a group | [`settings`] |
//! | `.../explain` | whether somebody may pull, and why | [`explanation`] |
//! | `/-/account...` | the password and the personal access tokens of the user | [`account`] |
//! | `.../audit` | who changed what in a group, and what was refused | [`audit`] |
//! | `/-/groups/new` | the form for a new group | [`new_group`] |
//! | `/-/admin...` | for administrators: overview, groups by size, users, audit log | [`admin`] |
//!
//! The threads that serve pulls pass the requests on to a thread of low priority ([`thread`], [`passed`]), so that pages
//! cannot slow pulls; how many of them at a time, of all people and of one, is in [`limits`]. There a request passes [`visitor`], which finds the session of its cookie ([`sessions`]) and
//! decides on the present identities whether its password is still valid; a form also passes [`form`], which wants the
//! session's token against forged requests. What fails becomes a page in [`fault`], the only place of the console that
//! knows status codes.
//!
//! Pages are written with maud: templates are Rust, checked by the compiler, escape every value, and share parts as
//! functions ([`page`], [`pages`], [`parts`], [`fields`], [`problem`], [`losses`], [`chart`], [`roles`],
//! [`words`]). Nothing is
//! loaded from elsewhere, no page has a script or style in it, and all works without a script but copying.

mod account;
mod address;
mod admin;
mod assets;
mod audit;
mod chart;
mod clearing;
mod deletion;
mod explanation;
mod fault;
mod fields;
mod form;
mod group;
mod home;
mod image;
mod image_parts;
mod image_row;
mod limits;
mod losses;
mod members;
mod new_group;
mod page;
mod pages;
mod parts;
mod passed;
mod problem;
mod roles;
mod sessions;
mod settings;
mod sign_in;
mod snippets;
mod thread;
mod tokens;
mod visitor;
mod words;

use std::future::{Ready, ready};

use actix_web::HttpResponse;
use actix_web::http::header::LOCATION;
use actix_web::web::{self, post};

use self::fault::Fault;
pub(crate) use self::sessions::{SessionTimes, Sessions};
pub(crate) use self::thread::Console;
use self::visitor::Visitor;
use super::get;

/// Registers the routes of the console, which pass requests on to its thread. They need `web::Data<Console>`.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config.service(web::resource(["/", "/-/{page:.*}", "/groups", "/groups/{page:.*}"]).to(thread::pass_on));
}

/// Registers the pages, for the application of that thread. They need `web::Data<ApiState>`.
fn configure_pages(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/").route(get().to(home::show)))
        .service(web::resource("/-/sign-in").route(get().to(sign_in::show)).route(post().to(sign_in::sign_in)))
        .service(web::resource("/-/sign-out").route(post().to(sign_in::sign_out)))
        .service(web::resource("/-/account").route(get().to(account::show)).route(post().to(account::change_password)))
        .service(
            web::resource("/-/account/tokens{page:.*}")
                .route(get().to(account::show_tokens))
                .route(post().to(account::change_tokens)),
        )
        .service(web::resource("/-/admin{page:(?:/.*)?}").route(get().to(admin::show)).route(post().to(admin::change)))
        .service(web::resource(new_group::ADDRESS).route(get().to(new_group::show)).route(post().to(new_group::create)))
        .service(web::resource("/-/assets/{name}").route(get().to(assets::show)))
        .service(web::resource("/groups/{address:.+}").route(get().to(address::show)).route(post().to(address::change)))
        .service(web::resource(["/groups", "/groups/", "/-/{page:.*}"]).route(get().to(no_such_page)));
}

/// Leads to an address, after a form was carried out.
fn see(address: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, address)).finish()
}

fn no_such_page(visitor: Visitor) -> Ready<Result<HttpResponse, Fault>> {
    ready(Err(visitor.no_such_page()))
}
