//! Rows of Parquet files, a few at a time: two columns are read side by side, page by page.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes as Buffer;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use secateur_core::dataset::source::{Region, Table, Tables};
use std::io::{BufReader, Read};

use super::super::crew::{Demand, Outbox};
use super::{Bytes, MOST_BYTES, Piece, unreadable};
use crate::error::Error;

/// Rows that are read at a time.
const ROWS: usize = 16;

/// A table's bytes for the crate that reads them.
struct Chunk(Region);

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.0.length()
    }
}

impl ChunkReader for Chunk {
    type T = BufReader<Region>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::with_capacity(64 << 10, self.0.part(start, u64::MAX)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Buffer> {
        let mut bytes = Vec::new();
        self.0.part(start, length as u64).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} do not lie in the file")));
        }
        Ok(bytes.into())
    }
}

/// One value of each of some rows; `None` where there is none.
enum Values {
    Encoded(Vec<Option<ByteArray>>),
    Tokens(Vec<Option<Vec<i64>>>),
}

/// Hands out the rows of a split.
pub(in super::super) fn read(
    tables: &Tables,
    split: usize,
    order: &[u32],
    outbox: &mut Outbox<Piece>,
) -> Result<(), Error> {
    let mut slots = order.iter().copied();
    for table in &tables.tables[split] {
        // The crate panics on some damaged files; what it held goes with the call.
        let read = catch_unwind(AssertUnwindSafe(|| read_table(tables, table, &mut slots, outbox)));
        match read {
            Ok(Ok(Demand::More)) => {}
            Ok(Ok(Demand::Enough)) => return Ok(()),
            Ok(Err(error)) => return Err(unreadable(&table.name, error)),
            Err(_) => return Err(unreadable(&table.name, "it is damaged")),
        }
    }
    Ok(())
}

fn read_table(
    tables: &Tables,
    table: &Table,
    slots: &mut impl Iterator<Item = u32>,
    outbox: &mut Outbox<Piece>,
) -> ParquetResult<Demand> {
    let file = SerializedFileReader::new(Chunk(table.region.clone()))?;
    let column = |path: &str| {
        let columns = file.metadata().file_metadata().schema_descr().columns();
        columns
            .iter()
            .position(|column| column.path().string() == path)
            .ok_or_else(|| ParquetError::General(format!("it has no column {path}")))
    };
    let samples = column(&tables.columns.samples)?;
    let labels = tables.columns.labels.as_deref().map(column).transpose()?;
    let mut row = 0;
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group)?;
        let mut samples = Column::open(&*group, samples)?;
        let mut labels = labels.map(|labels| Column::open(&*group, labels)).transpose()?;
        let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        while left > 0 {
            let count = ROWS.min(left);
            let values = samples.values(count)?;
            let labels = labels.as_mut().map(|labels| labels.integers(count)).transpose()?;
            let pieces: Vec<Option<Bytes>> = match values {
                Values::Encoded(values) => {
                    values.into_iter().map(|value| value.map(|value| Bytes::Encoded(value.data().to_vec()))).collect()
                }
                Values::Tokens(values) => values.into_iter().map(|value| value.map(Bytes::Tokens)).collect(),
            };
            for (index, bytes) in pieces.into_iter().enumerate() {
                let name = format!("{}, row {row}", table.name);
                row += 1;
                let Some(slot) = slots.next() else {
                    return Err(ParquetError::General("it has more rows than its footer says".to_owned()));
                };
                let label = labels.as_ref().map_or(Some(0), |labels| labels[index]);
                let demand = match (bytes, label) {
                    (Some(Bytes::Encoded(bytes)), _) if bytes.len() as u64 > MOST_BYTES => {
                        outbox.bad(name, format!("it has {} bytes; at most {MOST_BYTES} are read", bytes.len()))
                    }
                    (Some(bytes), Some(label)) => outbox.send(slot as usize, Piece::Row { name, bytes, label }),
                    (None, _) => outbox.bad(name, "it has no value".to_owned()),
                    (_, None) => outbox.bad(name, "it has no label".to_owned()),
                };
                if demand == Demand::Enough {
                    return Ok(Demand::Enough);
                }
            }
            left -= count;
        }
    }
    Ok(Demand::More)
}

/// Integers of some rows.
struct Integers {
    /// How many rows were read.
    read: usize,
    /// Levels of definition, where the column has them.
    levels: Vec<i16>,
    /// Levels of repetition, where the column has them.
    repeats: Vec<i16>,
    /// Those that are there.
    values: Vec<i64>,
}

/// A column of a row group.
struct Column {
    reader: ColumnReader,
    /// The level at which a value is there.
    defined: i16,
    /// Whether a row is a list.
    lists: i16,
}

impl Column {
    fn open(group: &dyn RowGroupReader, index: usize) -> ParquetResult<Self> {
        let description = group.metadata().column(index).column_descr();
        let (defined, lists) = (description.max_def_level(), description.max_rep_level());
        let is_wanted = match description.physical_type() {
            Type::BYTE_ARRAY => lists == 0,
            Type::INT32 | Type::INT64 => lists <= 1,
            _ => false,
        };
        if !is_wanted {
            return Err(ParquetError::General(format!("the column {} has another type", description.path().string())));
        }
        Ok(Self { reader: group.get_column_reader(index)?, defined, lists })
    }

    fn values(&mut self, rows: usize) -> ParquetResult<Values> {
        if let ColumnReader::ByteArrayColumnReader(reader) = &mut self.reader {
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let (read, ..) = reader.read_records(rows, Some(&mut levels), None, &mut values)?;
            return Ok(Values::Encoded(spread(read, rows, self.defined, &levels, values)?));
        }
        let Integers { read, levels, repeats, values } = self.read_integers(rows)?;
        if read != rows {
            return Err(too_few(read, rows));
        }
        let mut values = values.into_iter();
        let mut lists: Vec<Option<Vec<i64>>> = Vec::with_capacity(rows);
        for (place, &repeat) in repeats.iter().enumerate() {
            if repeat == 0 {
                lists.push(None);
            }
            let is_there = levels.get(place).is_none_or(|&level| level == self.defined);
            if let (true, Some(list)) = (is_there, lists.last_mut()) {
                let value = values.next().ok_or_else(|| too_few(place, rows))?;
                list.get_or_insert_default().push(value);
            }
        }
        if lists.len() == rows { Ok(Values::Tokens(lists)) } else { Err(too_few(lists.len(), rows)) }
    }

    fn integers(&mut self, rows: usize) -> ParquetResult<Vec<Option<i64>>> {
        let Integers { read, levels, values, .. } = self.read_integers(rows)?;
        spread(read, rows, self.defined, &levels, values)
    }

    fn read_integers(&mut self, rows: usize) -> ParquetResult<Integers> {
        let (mut levels, mut repeats) = (Vec::new(), Vec::new());
        let repeated = (self.lists > 0).then_some(&mut repeats);
        let (read, values) = match &mut self.reader {
            ColumnReader::Int64ColumnReader(reader) => {
                let mut values = Vec::new();
                (reader.read_records(rows, Some(&mut levels), repeated, &mut values)?.0, values)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                let mut values = Vec::new();
                let read = reader.read_records(rows, Some(&mut levels), repeated, &mut values)?.0;
                (read, values.into_iter().map(i64::from).collect())
            }
            _ => return Err(ParquetError::General("a column has another type than integers".to_owned())),
        };
        Ok(Integers { read, levels, repeats, values })
    }
}

/// Values at the rows that have one.
fn spread<T>(read: usize, rows: usize, defined: i16, levels: &[i16], values: Vec<T>) -> ParquetResult<Vec<Option<T>>> {
    if read != rows {
        return Err(too_few(read, rows));
    }
    if defined == 0 {
        if values.len() != rows {
            return Err(too_few(values.len(), rows));
        }
        return Ok(values.into_iter().map(Some).collect());
    }
    if levels.len() != rows {
        return Err(too_few(levels.len(), rows));
    }
    let mut values = values.into_iter();
    Ok(levels.iter().map(|&level| if level == defined { values.next() } else { None }).collect())
}

fn too_few(read: usize, rows: usize) -> ParquetError {
    ParquetError::EOF(format!("{read} of {rows} rows are there"))
}
