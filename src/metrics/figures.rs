//! Figures of the whole queue, read from the database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::database::{Database, DatabaseError};
use crate::table;

pub use crate::table::figures::Figures;

/// The statement may take so long.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// So long they are given to others who ask.
const FRESH: Duration = Duration::from_secs(1);

/// The figures that were read last; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct LatestFigures(Arc<Mutex<Option<Latest>>>);

#[derive(Debug)]
struct Latest {
    read_at: Instant,
    figures: Arc<Figures>,
}

impl LatestFigures {
    /// The figures as of a second ago at most. Whoever asks while they are read waits for them instead of reading them too.
    pub(super) async fn read(&self, database: &Database) -> Result<Arc<Figures>, DatabaseError> {
        let mut latest = self.0.lock().await;
        if let Some(latest) = latest.as_ref().filter(|latest| latest.read_at.elapsed() < FRESH) {
            return Ok(latest.figures.clone());
        }
        let mut transaction = database.begin().await?;
        table::figures::bound(&mut *transaction, LONGEST).await?;
        let figures = Arc::new(table::figures::read(&mut *transaction).await?);
        transaction.commit().await?;
        *latest = Some(Latest { read_at: Instant::now(), figures: figures.clone() });
        Ok(figures)
    }
}
