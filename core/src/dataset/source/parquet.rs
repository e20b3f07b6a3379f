//! Parquet as Hugging Face's `datasets` writes it: a column of pictures or of tokens, and one of labels.

use std::io::Read;

use serde_json::Value;

use super::super::{Split, invalid};
use super::archive::Archive;
use super::path::{base, is_junk, split_of_file, split_of_folder};
use super::region::Region;
use crate::plain_text::{escaped, quoted};
use crate::rejection::Rejection;
use crate::untrusted::parquet::{self, Column, Footer, Kind};

const LONGEST_FOOTER: u64 = 64 << 20;
const LABELS: [&str; 4] = ["label", "labels", "fine_label", "class"];

/// The tables of a data set.
#[derive(Debug)]
pub struct Tables {
    /// Of train, val and test, in the order of their names.
    pub tables: [Vec<Table>; 3],
    /// The columns that are read.
    pub columns: Columns,
    /// In the order of their numbers; empty where the file does not name them.
    pub(super) classes: Vec<String>,
}

/// One Parquet file.
#[derive(Debug, Clone)]
pub struct Table {
    /// Its name in the archive, or `the file`.
    pub name: String,
    /// Its bytes.
    pub region: Region,
    /// How many rows it has.
    pub rows: usize,
}

/// The columns that are read, by their paths with dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// `image.bytes`, or `input_ids.list.element`.
    pub samples: String,
    /// Whether a sample is a list of tokens and not an encoded picture.
    pub tokens: bool,
    /// `label`.
    pub labels: Option<String>,
}

/// Whether a file is one Parquet file.
pub(super) fn is_parquet(region: &Region) -> bool {
    let mut head = Vec::new();
    let is_read = region.part(0, 4).read_to_end(&mut head).is_ok();
    is_read && head == parquet::MAGIC
}

/// A file that is a table by itself.
pub(super) fn read_file(region: Region) -> Result<Tables, Rejection> {
    read_tables(vec![(Split::Train, "the file".to_owned(), region)])
}

/// The tables of an archive; `None` when there is no file of this kind in it.
pub(super) fn read(archive: &Archive) -> Result<Option<Tables>, Rejection> {
    let is_table = |name: &str| !is_junk(name) && name.ends_with(".parquet");
    let mut members: Vec<u32> = (0..archive.len()).filter(|&member| is_table(archive.name(member))).collect();
    members.sort_by_key(|&member| archive.name(member));
    let mut files = Vec::new();
    for member in members {
        let name = archive.name(member);
        let Some(region) = archive.region(member) else {
            return Err(invalid(format!("`{name}` is packed; Parquet files are read as they are."))
                .at(name)
                .hint("Put them into a `.tar`, or into a `.zip` without compression (`zip -0`)."));
        };
        let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
        let split = split_of_file(base(name)).or_else(|| folders.split('/').find_map(split_of_folder));
        files.push((split.unwrap_or(Split::Train), name.to_owned(), region));
    }
    if files.is_empty() { Ok(None) } else { read_tables(files).map(Some) }
}

fn read_tables(files: Vec<(Split, String, Region)>) -> Result<Tables, Rejection> {
    let mut tables: [Vec<Table>; 3] = Default::default();
    let mut first: Option<(Columns, Vec<String>)> = None;
    for (split, name, region) in files {
        let footer = read_footer(&name, &region)?;
        let columns = choose_columns(&name, &footer)?;
        match &first {
            None => {
                let classes = columns.labels.as_deref().map(|label| class_names(&footer, label)).unwrap_or_default();
                first = Some((columns, classes));
            }
            Some((of_first, _)) if *of_first != columns => {
                return Err(invalid(format!(
                    "`{name}` has other columns than the tables before it: {}, not {}.",
                    sentence(&columns),
                    sentence(of_first)
                ))
                .at(name));
            }
            Some(_) => {}
        }
        let rows = usize::try_from(footer.rows).unwrap_or(usize::MAX);
        tables[split as usize].push(Table { name, region, rows });
    }
    let (columns, classes) = first.expect("there is a table at least");
    Ok(Tables { tables, columns, classes })
}

fn sentence(columns: &Columns) -> String {
    let labels = columns.labels.as_deref().map_or("no labels".to_owned(), |label| format!("labels {}", quoted(label)));
    format!("samples {} and {labels}", quoted(&columns.samples))
}

fn read_footer(name: &str, region: &Region) -> Result<Footer, Rejection> {
    let damaged = |what: &str| invalid(format!("The Parquet file {} is damaged: {what}.", quoted(name))).at(name);
    let mut tail = Vec::new();
    let length = region.length();
    let start = length.saturating_sub(parquet::TAIL);
    region.part(start, parquet::TAIL).read_to_end(&mut tail).map_err(|error| damaged(&error.to_string()))?;
    let size = match tail.split_first_chunk::<4>() {
        Some((size, magic)) if magic == parquet::MAGIC => u64::from(u32::from_le_bytes(*size)),
        _ => return Err(damaged("it does not end with `PAR1`")),
    };
    if size > LONGEST_FOOTER || size + parquet::TAIL + 4 > length {
        return Err(damaged(&format!(
            "its footer has {size} bytes; at most {LONGEST_FOOTER} and no more than the file are read"
        )));
    }
    let mut bytes = Vec::new();
    region.part(start - size, size).read_to_end(&mut bytes).map_err(|error| damaged(&error.to_string()))?;
    parquet::read_footer(&bytes).ok_or_else(|| damaged("its footer cannot be read"))
}

/// A column of pictures is `bytes` of a structure, or bytes by themselves; one of tokens is a list of integers.
fn choose_columns(name: &str, footer: &Footer) -> Result<Columns, Rejection> {
    let dotted = |column: &Column| column.path.join(".");
    let is_picture = |column: &&Column| {
        let path: Vec<&str> = column.path.iter().map(String::as_str).collect();
        column.kind == Kind::Bytes && matches!(path[..], ["image" | "img" | "picture" | "jpg" | "png"] | [_, "bytes"])
    };
    let is_tokens = |column: &&Column| {
        let path: Vec<&str> = column.path.iter().map(String::as_str).collect();
        column.kind == Kind::Integer && matches!(path[..], ["input_ids" | "tokens", _, _])
    };
    let picture = footer.columns.iter().find(is_picture);
    let samples = picture.or_else(|| footer.columns.iter().find(is_tokens)).ok_or_else(|| {
        let found: Vec<String> = footer.columns.iter().take(4).map(|column| quoted(&dotted(column))).collect();
        invalid(format!(
            "The Parquet file {} has neither pictures, a column `image` of `bytes`, nor lists of integers `input_ids`; its columns \
             begin with {}.",
            quoted(name),
            found.join(", ")
        ))
        .at(name)
        .hint("Write it with `datasets`: a column of `Image()` and one of `ClassLabel`, or `input_ids` and `label`.")
    })?;
    let label = LABELS
        .iter()
        .find_map(|wanted| footer.columns.iter().find(|column| column.path.len() == 1 && column.path[0] == *wanted));
    if let Some(label) = label.filter(|label| label.kind != Kind::Integer) {
        return Err(invalid(format!(
            "The column {} of {} has no integers; labels are numbers from 0.",
            quoted(&dotted(label)),
            quoted(name)
        ))
        .at(name)
        .hint("Number the classes, in `datasets` with `class_encode_column`."));
    }
    Ok(Columns { samples: dotted(samples), tokens: picture.is_none(), labels: label.map(dotted) })
}

/// What `datasets` calls the classes of a column of `ClassLabel`.
fn class_names(footer: &Footer, label: &str) -> Vec<String> {
    let described = footer.huggingface.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let names = described.as_ref().and_then(|value| value["info"]["features"][label]["names"].as_array());
    names.into_iter().flatten().map(|name| escaped(name.as_str().unwrap_or_default())).collect()
}
