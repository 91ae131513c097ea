//! The vocabulary of the service as validated types: names, digests, references, identities, policy, manifests and
//! the state machine of a download. Does no I/O, reads no clock, draws no random numbers and names no framework.
//!
//! | module | content |
//! |---|---|
//! | [`access`] | access levels and memberships |
//! | [`audit`] | audit events: who changed what, and what was refused |
//! | [`backoff`] | backoff after failed upstream requests |
//! | [`bootstrap`] | the first records of an empty store |
//! | [`byte_range`] | byte ranges of HTTP requests |
//! | [`challenge`] | authentication challenges of registries |
//! | [`chosen_setting`] | settings that an operator has chosen, for a backup |
//! | [`commands`] | changes of identities: the writes that carry them out, or the reason of a refusal |
//! | [`day`] | days on which something ends, as they are written |
//! | [`deadlines`] | time limits of one response, and of the stop |
//! | [`digest`] | content digests |
//! | [`directory`] | all users, groups, members and tokens as one value, and the writes that change it |
//! | [`download`] | the state machine of a download |
//! | [`explanation`] | what each rule finds about a pull, in sentences |
//! | [`eviction`] | the order in which stored content is evicted |
//! | [`fair_queue`] | a queue in which groups take turns |
//! | [`fleet`] | several replicas: how long one may decide without a look at the store, and when a change is confirmed |
//! | [`freshness`] | how long tags are served without a confirmation by upstream |
//! | [`group`] | groups, their paths, and the limits of what they cache |
//! | [`group_choices`] | what groups have chosen for their pulls: accounts, and the freshness of tags |
//! | [`history`] | the commands that made the layers of an image |
//! | [`id`] | identifiers of users, groups, tokens, credentials, accounts and audit events |
//! | [`image_path`] | the path of a registry request: group, image and resource |
//! | [`json_object`] | JSON objects of others, which no other reader understands in another way |
//! | [`key_files`] | default paths of the key files |
//! | [`last_use`] | when and from where a credential was last used |
//! | [`limits`] | limits on what callers of the REST API create |
//! | [`list_query`] | the query of a list of tags or referrers |
//! | [`manifest`] | manifests and indexes, and what they reference |
//! | [`min_free`] | the share of a file system that must stay free |
//! | [`origin`] | origins: upstream, account and repository |
//! | [`overlap`] | the time for which the old secret of a rotated token stays valid |
//! | [`platform`] | platforms of images |
//! | [`policy`] | the access rules: who may pull through a group |
//! | [`principal`] | who makes a request |
//! | [`pull_budget`] | the pull limit of an account at an upstream, and what gives way as it is reached |
//! | [`pull_record`] | who pulled an image, by credential and day |
//! | [`pull_shares`] | shares of groups in what is left of a pull limit |
//! | [`quota`] | the maximum size of all stored content |
//! | [`redirects`] | which clients are sent to the object store, and for which blobs |
//! | [`mod@reference`] | references: tags and digests |
//! | [`regained`] | credentials that a restore makes valid again |
//! | [`repository`] | names of repositories and upstreams |
//! | [`retries`] | retries of requests to upstreams, and the pauses before them |
//! | [`scope`] | scopes of tokens |
//! | [`session`] | sessions of the console |
//! | [`snippets`] | lines for clients that pull through a group |
//! | [`takeover`] | the choice between the two credentials of an account at an upstream |
//! | [`speed`] | bytes per second of a download |
//! | [`throttle`] | pace of requests to an upstream whose limit is reached |
//! | [`token`] | tokens, and tombstones of deleted ones |
//! | [`traffic`] | pulls and bytes of a group within an hour |
//! | [`upstream`] | the configured upstreams, and the account for each pull |
//! | [`upstream_account`] | accounts of groups at upstreams, as they are stored |
//! | [`user`], [`email`] | users, their passwords, and the bots of group access tokens; their email addresses |
//! | [`visible_text`] | texts that people compare, such as names, without characters that nobody sees |

pub mod access;
pub mod audit;
pub mod backoff;
pub mod bootstrap;
pub mod byte_range;
pub mod challenge;
pub mod chosen_setting;
pub mod commands;
pub mod day;
pub mod deadlines;
pub mod digest;
pub mod directory;
pub mod download;
pub mod email;
pub mod eviction;
pub mod explanation;
pub mod fair_queue;
pub mod fleet;
pub mod freshness;
pub mod group;
pub mod group_choices;
pub mod history;
pub mod id;
pub mod image_path;
pub mod json_object;
pub mod key_files;
pub mod last_use;
pub mod limits;
pub mod list_query;
pub mod manifest;
pub mod min_free;
pub mod origin;
pub mod overlap;
pub mod platform;
pub mod policy;
pub mod principal;
pub mod pull_budget;
pub mod pull_record;
pub mod pull_shares;
pub mod quota;
pub mod redirects;
pub mod reference;
pub mod regained;
pub mod repository;
pub mod retries;
pub mod scope;
pub mod session;
pub mod snippets;
pub mod speed;
pub mod takeover;
pub mod throttle;
pub mod token;
pub mod traffic;
pub mod upstream;
pub mod upstream_account;
pub mod user;
pub mod visible_text;
