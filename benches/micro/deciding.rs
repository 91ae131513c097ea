//! Access decisions: identification of the caller and the check of the right to pull, over a directory of 10,000
//! users and 1,000 groups. The results are checked before they are timed.

use std::hint::black_box;

use criterion::Criterion;
use dependency_proxy::auth::jwt::{KeySet, Signer};
use dependency_proxy::auth::login::{self, Login};
use dependency_proxy::domain::directory::Directory;
use dependency_proxy::domain::group::GroupPath;
use dependency_proxy::domain::id::TokenId;
use dependency_proxy::domain::policy::{self, Identity, PublicGroups};
use jiff::Timestamp;

use super::people::{self, USERS};
use super::tokens;

const USER: u64 = 7_777;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    let (directory, now) = (people::directory(), Timestamp::now());
    for (name, token, path, allowed) in cases() {
        let (identity, path): (_, GroupPath) = (identity(&directory, token, now), path.parse().unwrap());
        let may = || policy::pull_grant(&directory, &identity, black_box(&path), PublicGroups::Members, now).is_ok();
        assert_eq!(may(), allowed, "{name}");
        group.bench_function(name, |bencher| bencher.iter(may));
    }
    let (username, secret) = (people::deploy_username(500), people::secret_of(USERS + 500));
    group.bench_function("login by a token's secret", |bencher| {
        bencher.iter(|| match login::by_token(&directory, &username, black_box(&secret), now).unwrap() {
            Login::Token(identity) => identity,
            Login::PerhapsPassword => Identity::Nobody,
        });
    });
    let signer = tokens::signer(&KeySet::generate());
    let bearer = signer.sign("user:7777".to_owned(), Some(people::credential(USER)), now).unwrap();
    let path = people::path(people::below(people::group_of(USER)));
    group.bench_function("all checks of a request", |bencher| {
        bencher.iter(|| assert!(checked(&directory, &signer, black_box(&bearer), black_box(&path), now)));
    });
    group.finish();
}

/// Returns the cases: name, token, group path, and the expected decision.
fn cases() -> [(&'static str, u64, String, bool); 4] {
    let top = people::group_of(USER);
    [
        ("a member", USER, people::path(top), true),
        ("a member of a group three levels above", USER, people::path(people::below(top)), true),
        ("a deploy token of the group", USERS + top, people::path(top), true),
        ("somebody else", USER, people::path(people::below(top + 1)), false),
    ]
}

fn identity(directory: &Directory, token: u64, now: Timestamp) -> Identity {
    let credential = directory.token(TokenId(token)).unwrap().credential;
    policy::identify(directory, directory.credential(credential).unwrap(), now).unwrap()
}

/// Runs the checks of each request of a pull: the bearer token, verified before; the path of the group; and the policy.
fn checked(directory: &Directory, signer: &Signer, bearer: &str, path: &str, now: Timestamp) -> bool {
    let identity = login::by_bearer(directory, signer, bearer, now).unwrap();
    let path: GroupPath = path.parse().unwrap();
    policy::pull_grant(directory, &identity, &path, PublicGroups::Members, now).is_ok()
}
