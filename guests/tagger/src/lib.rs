//! Tags file metadata by rules, and finds files by tag.
//!
//! A rule says which files get a tag. Rules come first, files in batches; both may change at any
//! time. When a rule changes, the files that are already known are looked at again in bounded steps:
//! `set_rule` and `remove_rule` do the first one, and reply how many files remain; `retag` does the
//! next. Until it is done, queries may give tags of before.
//!
//! A batch of `files` may have 1,000 changes in all. That is what the fuel in the manifest is for.

pub mod file;
mod page;
pub mod rule;
mod store;

use althing_sdk::{Contract, Reply, Result, contract, db, ensure, methods, reply};
use file::File;
use page::{Item, Page};
use rule::Rule;
use store::Store;

/// Files that one call may upsert and remove.
pub const FILES_MAX: usize = 1_000;
/// Files that `set_rule` and `remove_rule` look at again before they reply.
const FIRST_STEP: u32 = 200;

methods! {
    /// Instructions.
    pub enum Call {
        /// Gives `tag` to the files that `rule` matches, from now on. Replaces the tag's rule.
        /// Replies with `{"remaining": files to look at again}`.
        SetRule {
            /// 1 to 64 bytes, without control characters.
            tag: String,
            /// Which files.
            rule: Rule,
        },
        /// Takes the tag's rule away, and the tag from its files. Replies as `set_rule`.
        RemoveRule {
            /// The tag.
            tag: String,
        },
        /// Looks at files again. Replies as `set_rule`.
        Retag {
            /// At most so many files; 1,000 at most.
            #[serde(default = "files_max")]
            limit: u32,
            /// Starts from the first file, as a rule about ages needs now and then.
            #[serde(default)]
            restart: bool,
        },
        /// Files that are there and files that are gone. Replies with what it did:
        /// `{"added", "changed", "unchanged", "removed"}`, and in `skipped` the paths that are too
        /// long to be kept.
        Files {
            /// New files, and files that changed.
            #[serde(default)]
            upserts: Vec<File>,
            /// Paths of files that are gone; unknown ones are ignored.
            #[serde(default)]
            removes: Vec<String>,
        },
    }
}

methods! {
    /// Queries. Those with a `limit` reply with a page, `{"items", "more"}`, in the order of what
    /// `after` names.
    pub enum Query {
        /// Paths of the files that have `tag`.
        ByTag {
            /// The tag.
            tag: String,
            /// Only paths after this one.
            #[serde(default)]
            after: Option<String>,
            /// At most so many; 1,000 at most.
            #[serde(default = "page_default")]
            limit: u32,
        },
        /// Tags in use, `{"tag", "files"}`.
        Tags {
            /// Only tags after this one.
            #[serde(default)]
            after: Option<String>,
            /// At most so many; 1,000 at most.
            #[serde(default = "page_default")]
            limit: u32,
        },
        /// Rules, `{"tag", "rule"}`.
        Rules {
            /// Only rules of tags after this one.
            #[serde(default)]
            after: Option<String>,
            /// At most so many; 1,000 at most.
            #[serde(default = "page_default")]
            limit: u32,
        },
        /// What is known of the file at `path`, with its tags; `null` when nothing is.
        File {
            /// The path.
            path: String,
        },
        /// `{"files", "remaining"}`: how many files there are, and how many of them are to be looked
        /// at again.
        Status {},
    }
}

fn files_max() -> u32 {
    FILES_MAX as u32
}

fn page_default() -> u32 {
    100
}

/// The contract.
pub struct Tagger;

impl Contract for Tagger {
    type Call = Call;
    type Query = Query;

    fn apply(call: Call) -> Result<Reply> {
        let mut store = Store::load()?;
        let reply = match call {
            Call::SetRule { tag, rule } => {
                store.set_rule(&tag, rule)?;
                reply(store.retag(FIRST_STEP)?)
            }
            Call::RemoveRule { tag } => {
                store.remove_rule(&tag)?;
                reply(store.retag(FIRST_STEP)?)
            }
            Call::Retag { limit, restart } => {
                if restart {
                    store.restart();
                }
                reply(store.retag(limit.min(files_max()))?)
            }
            Call::Files { upserts, removes } => {
                let count = upserts.len() + removes.len();
                ensure!(count <= FILES_MAX, "files: {count} changes, a call may have {FILES_MAX}");
                for file in upserts {
                    store.upsert(file)?;
                }
                for path in removes {
                    store.remove(&path)?;
                }
                reply(store.done())
            }
        };
        store.save()?;
        reply
    }

    fn query(query: Query) -> Result<Reply> {
        match query {
            Query::ByTag { tag, after, limit } => {
                let prefix = store::tagged_key(&tag, "");
                Page::of(&prefix, after.as_deref(), limit, |path, _| Ok(Item::plain(path)))
            }
            Query::Tags { after, limit } => {
                Page::of(store::COUNTS.as_bytes(), after.as_deref(), limit, |tag, value| {
                    Ok(Item::Count { tag, files: store::count(value)? })
                })
            }
            Query::Rules { after, limit } => {
                Page::of(store::RULES.as_bytes(), after.as_deref(), limit, |tag, value| {
                    let rule = db::decode(tag.as_bytes(), value)?;
                    Ok(Item::Rule { tag, rule })
                })
            }
            Query::File { path } => reply(store::file(&path)?),
            Query::Status {} => reply(store::status()?),
        }
    }
}

contract!(Tagger);
