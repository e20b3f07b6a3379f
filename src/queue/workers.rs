//! The processes that claim: enrolled when they start, so that a process of the same machine can tell that one is gone and need not wait
//! for its leases to run out.

use super::reap::{Cause, take_back};
use super::{NewWorker, Process, Queue, Written};
use crate::database::DatabaseError;
use crate::table::task::lease;
use crate::table::worker;

impl Queue {
    /// Writes down a process that claims, or that it is still there.
    pub async fn enrol(&self, worker: &NewWorker) -> Result<(), DatabaseError> {
        worker::insert(self.database.pool(), worker).await
    }

    /// A process that ends in good order.
    pub async fn sign_off(&self, name: &str) -> Result<(), DatabaseError> {
        worker::delete(self.database.pool(), name).await
    }

    /// Takes the tasks back of all workers of a machine whose process is gone; says how many.
    pub async fn take_back_of(
        &self,
        machine: &str,
        is_there: impl Fn(&Process) -> bool,
    ) -> Result<usize, DatabaseError> {
        let mut taken = 0;
        for (name, process) in worker::of_machine(self.database.pool(), machine).await? {
            if is_there(&process) {
                continue;
            }
            for lease in lease::held_by(self.database.pool(), &name).await? {
                let end = take_back(self, &lease, Cause::Gone { worker: &name }).await?;
                taken += usize::from(end != Written::LeaseLost);
            }
            worker::delete(self.database.pool(), &name).await?;
        }
        worker::delete_forgotten(self.database.pool()).await?;
        Ok(taken)
    }
}
