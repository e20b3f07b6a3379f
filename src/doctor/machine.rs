//! The machine: open files, memory, cores.

use super::{Finding, Installation, human};
use crate::engine;
use crate::http::connection::{ConnectionLimits, open_files};

const GIB: u64 = 1 << 30;
/// libtorch and a small network fit.
const LEAST_MEMORY_OF_A_SLOT: u64 = 2 * GIB;
/// With fewer the server has fewer places for connections than its default.
const COMFORTABLE_FILES: usize = 4096;
const LEAST_FILES: usize = 256;

pub(super) fn examine(installation: &Installation) -> Vec<Finding> {
    vec![files(open_files()), memory(engine::memory_of_this_machine(), installation.slots), cores(installation.slots)]
}

/// The server raises its limit as far as the system lets it, so that is what counts.
fn files(most: usize) -> Finding {
    let says = match most {
        usize::MAX => "any number of files may be open".to_owned(),
        most => format!("{most} files may be open at once"),
    };
    let connections = ConnectionLimits::default().total;
    let hint = format!(
        "Raise it, such as with `LimitNOFILE=65536` in the unit or `ulimit -Hn 65536`; {COMFORTABLE_FILES} are enough for {connections} connections."
    );
    match most {
        0..LEAST_FILES => Finding::problem("open files", says, hint),
        LEAST_FILES..COMFORTABLE_FILES => Finding::warning("open files", says, hint),
        _ => Finding::ok("open files", says),
    }
}

fn memory(of_machine: Option<u64>, slots: usize) -> Finding {
    let Some(bytes) = of_machine else {
        return Finding::warning("memory", "it cannot be read", "Is /proc mounted?");
    };
    let Some(each) = bytes.checked_div(slots as u64) else {
        return Finding::ok("memory", format!("{} for the server and its database", human(bytes)));
    };
    let says = format!("{} for {}", human(bytes), plural(slots));
    match each >= LEAST_MEMORY_OF_A_SLOT {
        true => Finding::ok("memory", says),
        false => Finding::warning(
            "memory",
            says,
            format!("Give each slot {} at least: fewer --slots, or a larger machine.", human(LEAST_MEMORY_OF_A_SLOT)),
        ),
    }
}

fn cores(slots: usize) -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let says = format!("{cores} for {}", plural(slots));
    match slots > cores {
        true => Finding::warning("cores", says, "Start with --slots of at most as many: tasks share the cores."),
        false => Finding::ok("cores", says),
    }
}

fn plural(slots: usize) -> String {
    if slots == 1 { "1 slot".to_owned() } else { format!("{slots} slots") }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn few_files_are_a_warning_and_very_few_a_problem() {
        let verdict = |most| files(most).verdict;
        assert_eq!(
            [usize::MAX, 65_536, 1024, 64].map(verdict),
            [Verdict::Ok, Verdict::Ok, Verdict::Warning, Verdict::Problem]
        );
    }

    #[test]
    fn memory_is_divided_among_the_slots() {
        assert_eq!(memory(Some(16 * GIB), 4).verdict, Verdict::Ok);
        assert_eq!(memory(Some(16 * GIB), 16).verdict, Verdict::Warning);
        assert_eq!(memory(Some(GIB), 0).verdict, Verdict::Ok);
    }
}
