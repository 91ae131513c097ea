//! A private pull-through cache for container images.
