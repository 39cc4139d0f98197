//! What the state keeps.
//!
//! ```text
//!   r/TAG          the rule of TAG, JSON
//!   f/PATH         a file and its tags, JSON
//!   t/TAG\0PATH    empty: the file at PATH has TAG
//!   c/TAG          how many files have TAG: 8 bytes, little-endian; absent when none has
//!   m              files in all, and how far retagging is, JSON
//! ```
//!
//! Files, index and counts change together, so they always agree.

use crate::{
    file::{File, Record},
    rule::Rule,
};
use althing_sdk::{Result, context, db, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(crate) const RULES: &str = "r/";
pub(crate) const COUNTS: &str = "c/";
const FILES: &str = "f/";
const TAGGED: &str = "t/";
const META: &str = "m";

const RULES_MAX: usize = 256;
const TAG_BYTES_MAX: usize = 64;
/// A path must fit a key, with the longest tag before it.
const PATH_BYTES_MAX: usize = 4_096 - TAGGED.len() - TAG_BYTES_MAX - 1;

/// Files in all, and how far retagging is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Meta {
    files: u64,
    retag: Option<Retag>,
}

/// Files up to `after` are done, `left` come behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Retag {
    after: String,
    left: u64,
}

/// Reply of a call that may leave files to look at again.
#[derive(Debug, Serialize)]
pub(crate) struct Remaining {
    remaining: u64,
}

/// Reply of `files`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Done {
    added: u64,
    changed: u64,
    unchanged: u64,
    removed: u64,
    skipped: Vec<String>,
}

/// Reply of `status`.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    files: u64,
    remaining: u64,
}

/// One call's work on the state. What changes often within it is written once, by [`save`].
///
/// [`save`]: Self::save
pub(crate) struct Store {
    /// In the order of their tags.
    rules: BTreeMap<String, Rule>,
    meta: Meta,
    saved: Meta,
    /// Changes of counts.
    counts: BTreeMap<String, i64>,
    now_us: u64,
    done: Done,
}

impl Store {
    pub(crate) fn load() -> Result<Self> {
        let rules = db::scan(RULES)
            .map(|pair| {
                let (key, value) = pair?;
                let tag = String::from_utf8_lossy(&key[RULES.len()..]).into_owned();
                Ok((tag, db::decode(&key, &value)?))
            })
            .collect::<Result<_>>()?;
        let meta = meta()?;
        Ok(Self {
            rules,
            saved: meta.clone(),
            meta,
            counts: BTreeMap::new(),
            now_us: context::timestamp_us(),
            done: Done::default(),
        })
    }

    pub(crate) fn save(&self) -> Result<()> {
        for (tag, change) in self.counts.iter().filter(|(_, change)| **change != 0) {
            let key = format!("{COUNTS}{tag}");
            let old = db::get(&key)?.map_or(Ok(0), |bytes| count(&bytes))?;
            match old.checked_add_signed(*change) {
                Some(0) => drop(db::delete(&key)?),
                Some(new) => db::put(&key, new.to_le_bytes())?,
                None => althing_sdk::bail!("tag {tag}: its count does not agree with its files"),
            }
        }
        if self.meta != self.saved {
            db::put_json(META, &self.meta)?;
        }
        Ok(())
    }

    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    pub(crate) fn set_rule(&mut self, tag: &str, rule: Rule) -> Result<()> {
        ensure!(
            !tag.is_empty() && tag.len() <= TAG_BYTES_MAX && !tag.contains(char::is_control),
            "tag: wants 1 to {TAG_BYTES_MAX} bytes without control characters"
        );
        rule.check()?;
        if self.rules.get(tag) == Some(&rule) {
            return Ok(());
        }
        ensure!(
            self.rules.len() < RULES_MAX || self.rules.contains_key(tag),
            "tag {tag}: there are {RULES_MAX} rules, which is the limit; remove one first"
        );
        db::put_json(format!("{RULES}{tag}"), &rule)?;
        self.rules.insert(tag.to_owned(), rule);
        self.restart();
        Ok(())
    }

    pub(crate) fn remove_rule(&mut self, tag: &str) -> Result<()> {
        ensure!(self.rules.remove(tag).is_some(), "tag {tag}: has no rule");
        db::delete(format!("{RULES}{tag}"))?;
        self.restart();
        Ok(())
    }

    /// Makes all files due to be looked at again.
    pub(crate) fn restart(&mut self) {
        let left = self.meta.files;
        self.meta.retag = (left > 0).then(|| Retag { after: String::new(), left });
    }

    /// Looks at the next `limit` files that are due.
    pub(crate) fn retag(&mut self, limit: u32) -> Result<Remaining> {
        let Some(Retag { mut after, mut left }) = self.meta.retag.take() else {
            return Ok(Remaining { remaining: 0 });
        };
        let step = limit.min(u32::try_from(left).unwrap_or(u32::MAX));
        let scan = db::scan(FILES).after(format!("{FILES}{after}")).page(step);
        for pair in scan.take(step as usize) {
            let (key, value) = pair?;
            let path = String::from_utf8_lossy(&key[FILES.len()..]).into_owned();
            let old: Record = db::decode(&key, &value)?;
            let tags = self.tags(&path, &old);
            if tags != old.tags {
                let new = Record { tags, ..old.clone() };
                self.write(&path, Some(&old), &new)?;
            }
            after = path;
            left -= 1;
        }
        if left > 0 {
            self.meta.retag = Some(Retag { after, left });
        }
        Ok(Remaining { remaining: left })
    }

    pub(crate) fn upsert(&mut self, file: File) -> Result<()> {
        let File { path, size, modified_us, kind } = file;
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            self.done.skipped.push(path);
            return Ok(());
        }
        let old = self::file(&path)?;
        let mut new = Record { size, modified_us, kind, tags: Vec::new() };
        new.tags = self.tags(&path, &new);
        if old.as_ref() == Some(&new) {
            self.done.unchanged += 1;
            return Ok(());
        }
        self.write(&path, old.as_ref(), &new)?;
        if old.is_some() {
            self.done.changed += 1;
        } else {
            self.done.added += 1;
            self.meta.files += 1;
            if let Some(retag) = self.meta.retag.as_mut().filter(|retag| path > retag.after) {
                retag.left += 1;
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &str) -> Result<()> {
        if path.is_empty() || path.len() > PATH_BYTES_MAX {
            return Ok(());
        }
        let Some(old) = self::file(path)? else { return Ok(()) };
        for tag in &old.tags {
            self.untag(tag, path)?;
        }
        db::delete(file_key(path))?;
        self.done.removed += 1;
        self.meta.files -= 1;
        if let Some(retag) = self.meta.retag.as_mut().filter(|retag| *path > *retag.after) {
            retag.left -= 1;
        }
        self.meta.retag = self.meta.retag.take().filter(|retag| retag.left > 0);
        Ok(())
    }

    /// The tags that the rules give, in order.
    fn tags(&self, path: &str, file: &Record) -> Vec<String> {
        let Record { size, modified_us, kind, .. } = *file;
        self.rules
            .iter()
            .filter(|(_, rule)| rule.matches(path, kind, size, modified_us, self.now_us))
            .map(|(tag, _)| tag.clone())
            .collect()
    }

    /// Writes a file, and its tags where they differ from those of `old`.
    fn write(&mut self, path: &str, old: Option<&Record>, new: &Record) -> Result<()> {
        db::put_json(file_key(path), new)?;
        let had = old.map_or(&[][..], |old| &old.tags);
        for tag in had.iter().filter(|tag| !new.tags.contains(tag)) {
            self.untag(tag, path)?;
        }
        for tag in new.tags.iter().filter(|tag| !had.contains(tag)) {
            db::put(tagged_key(tag, path), [])?;
            *self.counts.entry(tag.clone()).or_default() += 1;
        }
        Ok(())
    }

    fn untag(&mut self, tag: &str, path: &str) -> Result<()> {
        db::delete(tagged_key(tag, path))?;
        *self.counts.entry(tag.to_owned()).or_default() -= 1;
        Ok(())
    }
}

/// What is known of the file at `path`.
pub(crate) fn file(path: &str) -> Result<Option<Record>> {
    db::get_json(file_key(path))
}

/// How many files there are, and how many are to be looked at again.
pub(crate) fn status() -> Result<Status> {
    let Meta { files, retag } = meta()?;
    Ok(Status { files, remaining: retag.map_or(0, |retag| retag.left) })
}

/// Where the index says that the file at `path` has `tag`.
pub(crate) fn tagged_key(tag: &str, path: &str) -> Vec<u8> {
    [TAGGED.as_bytes(), tag.as_bytes(), b"\0", path.as_bytes()].concat()
}

/// A count of files.
pub(crate) fn count(bytes: &[u8]) -> Result<u64> {
    let bytes = bytes.try_into().map_err(|_| "a count in the state has not eight bytes")?;
    Ok(u64::from_le_bytes(bytes))
}

fn file_key(path: &str) -> String {
    format!("{FILES}{path}")
}

fn meta() -> Result<Meta> {
    match db::get(META)? {
        Some(value) => db::decode(META.as_bytes(), &value),
        None => Ok(Meta::default()),
    }
}
