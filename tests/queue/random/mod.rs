//! Random steps of everybody who touches the queue, one at a time and two at once, against what must hold after each of them.
//!
//! A case is a list of moves: submit, claim, heartbeat, finish, fail, give back, a silent worker, a dead one, the reaper, pause, resume, cancel,
//! delete, judge, reconcile. Leases are chosen among all that were ever given, so many are stale. After every move the table must agree with
//! [`World`], which knows who holds what, and with [`faults`], which know what no row may ever say. In the end everything is resumed and
//! worked off, and every job has ended as it had to.
//!
//! Steps that run at once may come in either order, so of these only what holds in both is asked. A failure shows the shortest list of moves
//! that still fails, and the seed; `PROPTEST_RNG_SEED` plays it again and `PROPTEST_CASES` plays more.

mod action;
mod faults;
mod step;
mod world;

use std::cell::Cell;
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use secateur::access::Tenant;
use secateur::blob::BlobKey;
use secateur::database::Database;
use secateur::digest::Sha256;
use secateur::id::ModelId;
use secateur::queue::{ClaimedTask, Finished, ForLaterJobs, Queue};
use secateur::table::artifact::Output;
use secateur::table::{NewUpload, model};
use secateur_core::stage::TaskResult;
use secateur_core::wire::Computed;
use tokio::runtime::Handle;

use crate::harness::TestDatabase;
use step::Move;
use world::World;

/// Long enough that none runs out by itself.
const LEASE: Duration = Duration::from_hours(1);
const CASES: u32 = 24;
/// The rest of the cases is left out after this time, so that a slow machine is not kept.
const LONGEST: Duration = Duration::from_secs(15);
const MOST_SHRINKS: u32 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_in_whatever_order_nothing_is_lost() {
    let holder = TestDatabase::create().await;
    let database = Database::new(holder.url().parse().unwrap(), 4, Duration::from_secs(30));
    let model = upload_model(&database).await;

    let defaults = Config::default();
    let seed = match defaults.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => rand_seed(),
    };
    let cases = if defaults.cases == 256 { CASES } else { defaults.cases };
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: MOST_SHRINKS,
        ..defaults
    };
    let (handle, started, has_failed) = (Handle::current(), Instant::now(), Cell::new(false));
    let played = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&step::moves(), |moves| {
            // What is played to shorten a failure is not left out.
            if started.elapsed() > LONGEST && cases == CASES && !has_failed.get() {
                return Ok(());
            }
            has_failed.set(true);
            handle.block_on(play(&database, model, &moves));
            has_failed.set(false);
            Ok(())
        })
    });
    database.close().await;
    match played {
        Ok(()) => {}
        Err(TestError::Fail(reason, moves)) => {
            panic!("{reason}\nPROPTEST_RNG_SEED={seed} plays it again; the shortest list of moves:\n{moves:#?}")
        }
        Err(error) => panic!("{error}"),
    }
}

/// Plays one case on an empty queue.
async fn play(database: &Database, model: ModelId, moves: &[Move]) {
    for statement in ["delete from job", "delete from worker", "delete from tenant_share"] {
        sqlx::query(statement).execute(database.pool()).await.unwrap();
    }
    let queue = Queue::new(database.clone(), LEASE).with_retry_pause(Duration::ZERO);
    let mut world = World::new(queue, model).await;
    for played in moves {
        world.play(played).await;
        world.check(played).await;
    }
    world.work_off().await;
    world.check_the_end().await;
}

async fn upload_model(database: &Database) -> ModelId {
    let (id, tenant) = (ModelId::generate(), Tenant::of_nobody());
    let blob = BlobKey::model(&tenant, id);
    let upload = NewUpload { id, tenant: &tenant, name: None, sha256: Sha256::of(b"model"), bytes: 1, blob: &blob };
    model::insert(database.pool(), &upload).await.unwrap();
    id
}

fn rand_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

/// A made-up result of a task; its outputs are names of bytes that nobody wrote, which the queue does not ask for.
fn made_up(task: &ClaimedTask) -> Finished {
    let (index, lease) = (task.plan.index, &task.lease);
    let mut result = task.plan.work.sample();
    if let TaskResult::Verify(verified) = &mut result {
        verified.report.spec = task.order.spec().expect("a job has a spec").clone();
    }
    let output = |name: String| Output {
        blob: BlobKey::output(lease.job, task.stage, index, lease.attempt, &name),
        sha256: Sha256::of(b"output"),
        bytes: 1,
        name,
    };
    let outputs = result.files(&task.plan.work).into_iter().map(output).collect();
    let computed = Computed { result, device: "cpu".to_owned(), computing_s: Some(0.0) };
    let (for_later_jobs, log) = (ForLaterJobs::default(), "worked\n".to_owned());
    Finished { stage: task.stage, index, computed, outputs, summary: None, for_later_jobs, readings: Vec::new(), log }
}
