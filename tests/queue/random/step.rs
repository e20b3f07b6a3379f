//! What may be done to the queue, and lists of it.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;

/// Workers by number; the last has a GPU.
pub(super) const WORKERS: usize = 3;
pub(super) const TENANTS: usize = 3;

/// One thing that somebody does. A lease is counted back from the latest that was given, a job from the latest that was submitted.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit(Submission),
    Claim {
        worker: usize,
    },
    /// Claims a task and finishes it.
    Work {
        worker: usize,
    },
    Heartbeat {
        lease: usize,
        has_progress: bool,
    },
    Checkpoint {
        lease: usize,
    },
    Finish {
        lease: usize,
    },
    Fail {
        lease: usize,
        kind: FailureKind,
    },
    GiveBack {
        lease: usize,
    },
    /// The lease runs out; nobody has noticed yet.
    Silence {
        lease: usize,
    },
    Reap,
    /// The worker's process is gone, and another of its machine notices.
    Death {
        worker: usize,
    },
    Pause {
        job: usize,
    },
    Resume {
        job: usize,
    },
    Cancel {
        job: usize,
    },
    Delete {
        job: usize,
    },
    Judge {
        job: usize,
        candidate: usize,
        score: f64,
    },
    /// The judge's time is over; nobody has noticed yet.
    Overdue {
        job: usize,
    },
    Reconcile,
}

#[derive(Debug, Clone)]
pub(super) struct Submission {
    pub(super) tenant: usize,
    pub(super) priority: i32,
    pub(super) needs_gpu: bool,
    pub(super) is_judged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureKind {
    Permanent,
    Suspected,
    Retryable,
    Lost,
}

/// Steps that are made one after the other, or two at once.
#[derive(Debug, Clone)]
pub(super) enum Move {
    One(Step),
    AtOnce(Step, Step),
}

/// A case: some jobs, which come some way, maybe to their judges or their ends, then anything.
pub(super) fn moves() -> impl Strategy<Value = Vec<Move>> {
    let first = vec(submission().prop_map(|submission| Move::One(Step::Submit(submission))), 1..4);
    let worked = vec(Just(Move::One(Step::Work { worker: WORKERS - 1 })), 0..24);
    let then = prop_oneof![
        3 => step().prop_map(Move::One),
        1 => (step(), step()).prop_map(|(one, other)| Move::AtOnce(one, other)),
    ];
    (first, worked, vec(then, 30..90))
        .prop_map(|(first, worked, then)| first.into_iter().chain(worked).chain(then).collect())
}

fn step() -> impl Strategy<Value = Step> {
    let worker = || 0..WORKERS;
    prop_oneof![
        2 => submission().prop_map(Step::Submit),
        8 => worker().prop_map(|worker| Step::Claim { worker }),
        14 => worker().prop_map(|worker| Step::Work { worker }),
        4 => (lease(), any::<bool>()).prop_map(|(lease, has_progress)| Step::Heartbeat { lease, has_progress }),
        1 => lease().prop_map(|lease| Step::Checkpoint { lease }),
        8 => lease().prop_map(|lease| Step::Finish { lease }),
        2 => (lease(), failure()).prop_map(|(lease, kind)| Step::Fail { lease, kind }),
        2 => lease().prop_map(|lease| Step::GiveBack { lease }),
        3 => lease().prop_map(|lease| Step::Silence { lease }),
        2 => Just(Step::Reap),
        1 => worker().prop_map(|worker| Step::Death { worker }),
        2 => job().prop_map(|job| Step::Pause { job }),
        3 => job().prop_map(|job| Step::Resume { job }),
        1 => job().prop_map(|job| Step::Cancel { job }),
        2 => job().prop_map(|job| Step::Delete { job }),
        4 => (job(), 0..3_usize, 0..4_u8)
            .prop_map(|(job, candidate, score)| Step::Judge { job, candidate, score: f64::from(score) }),
        1 => job().prop_map(|job| Step::Overdue { job }),
        1 => Just(Step::Reconcile),
    ]
}

fn submission() -> impl Strategy<Value = Submission> {
    (0..TENANTS, -1..2_i32, prop_oneof![3 => Just(false), 1 => Just(true)], any::<bool>())
        .prop_map(|(tenant, priority, needs_gpu, is_judged)| Submission { tenant, priority, needs_gpu, is_judged })
}

/// Mostly one of the latest, which may still count.
fn lease() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..4_usize, 1 => 0..100_usize]
}

fn job() -> impl Strategy<Value = usize> {
    0..6_usize
}

fn failure() -> impl Strategy<Value = FailureKind> {
    prop_oneof![
        1 => Just(FailureKind::Permanent),
        1 => Just(FailureKind::Suspected),
        4 => Just(FailureKind::Retryable),
        4 => Just(FailureKind::Lost),
    ]
}
