//! Rules of misbehaviour, and how they are applied. A rule changes the correct response just before it is sent; it
//! never changes the content of the registry.

use std::sync::Arc;

use crate::reply::Reply;
use crate::requests::{Kind, Listener, Request};

pub(super) type Change = Arc<dyn Fn(&mut Reply) + Send + Sync>;

/// A rule in the registry.
#[derive(Clone, Default)]
pub(super) struct ActiveRule {
    pub(super) kind: Option<Kind>,
    pub(super) listener: Option<Listener>,
    pub(super) repository: Option<String>,
    pub(super) reference: Option<String>,
    pub(super) before_auth: bool,
    pub(super) skip: usize,
    pub(super) left: Option<usize>,
    pub(super) changes: Vec<Change>,
}

impl ActiveRule {
    fn matches(&self, request: &Request) -> bool {
        fn allows<T: PartialEq>(wanted: Option<&T>, actual: Option<&T>) -> bool {
            wanted.is_none() || wanted == actual
        }
        self.left != Some(0)
            && (self.before_auth || !request.refused)
            && allows(self.kind.as_ref(), Some(&request.kind))
            && allows(self.listener.as_ref(), Some(&request.listener))
            && allows(self.repository.as_ref(), request.repository.as_ref())
            && allows(self.reference.as_ref(), request.reference.as_ref())
    }
}

/// Applies the first matching rule to the reply, and counts it down. Returns true if it changed the reply.
pub(super) fn apply(rules: &mut [ActiveRule], request: &Request, reply: &mut Reply) -> bool {
    let Some(rule) = rules.iter_mut().find(|rule| rule.matches(request)) else {
        return false;
    };
    if rule.skip > 0 {
        rule.skip -= 1;
        return false;
    }
    rule.left = rule.left.map(|left| left - 1);
    rule.changes.iter().for_each(|change| change(reply));
    true
}
