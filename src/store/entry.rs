//! A write of a change as text: the new value of a key, or its removal. The journal of the embedded engine, and the
//! change log of a fleet, consist of entries.

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::error::StoreError;
use crate::domain::directory::{Record, Write};

/// Effect of one write: the new value of a key, or its removal (`None`).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::store) struct Entry {
    pub(in crate::store) key: String,
    pub(in crate::store) value: Option<Box<RawValue>>,
}

impl Entry {
    /// Returns the entry of a write. Fails if the record cannot be serialised.
    pub(in crate::store) fn of(write: &Write) -> Result<Self, StoreError> {
        Ok(match write {
            Write::Put(record) => Self { key: record.key().to_string(), value: Some(to_raw_value(record)?) },
            Write::Remove(key) => Self { key: key.to_string(), value: None },
        })
    }

    /// Returns the write of this entry. Fails if key or value are none of a record.
    pub(in crate::store) fn write(&self) -> Result<Write, StoreError> {
        match &self.value {
            Some(value) => parse(&self.key, value.get().as_bytes()).map(Write::Put),
            None => match self.key.parse() {
                Ok(key) => Ok(Write::Remove(key)),
                Err(error) => Err(StoreError::Damaged(format!("{}: {error}", self.key))),
            },
        }
    }
}

/// Parses the record stored under this key. Fails if the text is no record, or is one with another key.
pub(in crate::store) fn parse(key: &str, value: &[u8]) -> Result<Record, StoreError> {
    let record = serde_json::from_slice::<Record>(value)?;
    if record.key().to_string() == key {
        Ok(record)
    } else {
        Err(StoreError::Damaged(format!("the record at {key} has another key")))
    }
}
