//! Bearer tokens: signed by the token endpoint, verified at every request of a pull.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use dependency_proxy::auth::jwt::{KeySet, Signer};
use dependency_proxy::auth::random;
use dependency_proxy::domain::id::CredentialId;
use jiff::Timestamp;

const LIFETIME_SECS: i64 = 3600;

pub fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("token");
    let (keys, credential, now) = (KeySet::generate(), random::credential_id(), Timestamp::now());
    let signer = signer(&keys);
    let token = sign(&signer, credential, now);
    group.bench_function("sign", |bencher| bencher.iter(|| sign(&signer, black_box(credential), now)));
    group.bench_function("verify/seen before", |bencher| {
        bencher.iter(|| signer.verify(black_box(&token), now).unwrap());
    });
    group.bench_function("verify/new", |bencher| {
        let new = || self::signer(&keys);
        bencher.iter_batched_ref(new, |signer| signer.verify(black_box(&token), now).unwrap(), BatchSize::SmallInput);
    });
    group.bench_function("verify/forged", |bencher| {
        let forged = format!("{}AAAA", &token[..token.len() - 4]);
        bencher.iter(|| signer.verify(black_box(&forged), now).unwrap_err());
    });
    group.finish();
}

/// Returns a signer that has verified no token yet.
pub fn signer(keys: &KeySet) -> Signer {
    Signer::new(keys, "dependency_proxy", LIFETIME_SECS).unwrap()
}

fn sign(signer: &Signer, credential: CredentialId, now: Timestamp) -> String {
    signer.sign("user:7".to_owned(), Some(credential), now).unwrap()
}
