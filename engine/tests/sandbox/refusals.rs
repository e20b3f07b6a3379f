//! What the sandbox refuses, and that it is the sandbox which does.

use libtest_mimic::Trial;

use crate::attempt::{
    Attempt, IDENTITY, KERNEL, KINDS_OF_FILES, NAMESPACES, OTHERS, PROCESSES, READ, SOCKETS, TOO_MUCH, WRITE,
};
use crate::prisoner::{Prison, Starter};
use crate::trial;

/// Attempts that belong together, and the errors by which a sandbox refuses them.
struct Group {
    what: &'static str,
    attempts: Vec<&'static str>,
    errors: &'static [i32],
    /// Whether root can do it without a sandbox, on every machine that tests run on.
    works_without: bool,
}

const DENIED: &[i32] = &[libc::EPERM, libc::EACCES];

fn groups() -> Vec<Group> {
    let group = |what, attempts: &[Attempt], errors, works_without| Group {
        what,
        attempts: attempts.iter().map(|(name, _)| *name).collect(),
        errors,
        works_without,
    };
    vec![
        group("reads nothing outside of its folder", READ, DENIED, true),
        group("writes nothing outside of its folder", WRITE, &[libc::EACCES, libc::EXDEV], true),
        group("makes no links, folders, pipes or modes", KINDS_OF_FILES, DENIED, true),
        group("opens no socket", SOCKETS, DENIED, true),
        group("starts no process", PROCESSES, &[libc::EPERM, libc::ENOSYS], true),
        group("reaches no other process", OTHERS, DENIED, true),
        group("makes no namespace and no mount", NAMESPACES, DENIED, true),
        group("finds no other way into the kernel", KERNEL, &[libc::EPERM, libc::ENOSYS], true),
        group("becomes nobody else", IDENTITY, DENIED, true),
        group("takes no more than its share", TOO_MUCH, &[libc::ENOMEM, libc::EFBIG, libc::EMFILE], true),
        Group {
            what: "sees no descriptor that was left open",
            attempts: vec!["read a descriptor that was left open"],
            errors: &[libc::EBADF],
            works_without: true,
        },
        Group {
            what: "makes no call of another architecture",
            attempts: vec!["call by the numbers of another architecture"],
            errors: DENIED,
            works_without: true,
        },
        Group { what: "opens no terminal", attempts: vec!["open a terminal"], errors: DENIED, works_without: true },
    ]
}

pub(crate) fn trials() -> Vec<Trial> {
    let is_root = rustix::process::geteuid().is_root();
    let mut trials = Vec::new();
    for group in groups() {
        let what = group.what;
        let (by_user, by_root) = (group.attempts.clone(), group.attempts.clone());
        let errors = group.errors;
        trials.push(trial(format!("an ordinary user's engine {what}"), move || {
            is_refused(&Prison::of(Starter::OrdinaryUser), &by_user, errors);
        }));
        if is_root {
            trials.push(trial(format!("root's engine {what}"), move || {
                is_refused(&Prison::of(Starter::Root), &by_root, errors);
            }));
        }
        if is_root && group.works_without {
            trials.push(trial(format!("only in the sandbox an engine {what}"), move || works_without(&group.attempts)));
        }
    }
    trials.push(trial("an engine without a user of its own works in its folder", || {
        let prisoner = Prison::of(Starter::OrdinaryUser).admit(&["work with its files"]);
        assert!(prisoner.ended("work with its files").is_ok(), "{:?}", prisoner.account);
    }));
    if is_root {
        trials.push(trial("root's engine cannot change its inputs", || {
            let prison = Prison::of(Starter::Root);
            is_refused(&prison, &["replace an input", "change an input"], DENIED);
            assert_eq!(std::fs::read(prison.folder.path().join("model.pt")).unwrap(), b"input");
        }));
    }
    trials
}

fn is_refused(prison: &Prison, attempts: &[&str], errors: &[i32]) {
    let prisoner = prison.admit(attempts);
    for name in attempts {
        match prisoner.ended(name) {
            Ok(_) => panic!("it was able to {name}, with {}", prisoner.sandbox()),
            Err((number, text)) => assert!(errors.contains(number), "{name}: {text} ({number})"),
        }
    }
    assert_eq!(prison.secret(), b"canary");
    assert_eq!(std::fs::read_dir(prison.outside.path()).unwrap().count(), 1, "nothing new lies outside");
}

/// One prisoner for each attempt, since some change what the next would find.
fn works_without(attempts: &[&str]) {
    for name in attempts {
        let prisoner = Prison::open_doors(Starter::Root).admit(&[name]);
        let ended = prisoner.ended(name);
        // A kernel that was built without a call refuses it by itself.
        let is_not_built = matches!(ended, Err((libc::ENOSYS, _)));
        assert!(ended.is_ok() || is_not_built, "{name}: {ended:?}");
    }
}
