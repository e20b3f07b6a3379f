//! Who the confined process is, as the machine sees it.

use std::fs;

use libtest_mimic::Trial;

use crate::prisoner::{Prison, Prisoner, Starter, account_of_root};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("an ordinary user's engine is confined by every layer that needs no privilege", || {
            let prisoner = Prison::of(Starter::OrdinaryUser).requiring().admit(&[]);
            for layer in ["descriptors", "limits", "memory-ceiling", "oom-score", "capabilities", "landlock", "seccomp"]
            {
                assert!(prisoner.sandbox().has(layer), "{layer}: {:?}", prisoner.sandbox());
            }
            is_confined(&prisoner);
        }),
        trial("with auto a layer that cannot be applied is named with its reason", || {
            let prisoner = Prison::of(Starter::OrdinaryUser).crowded().admit(&[]);
            let sandbox = prisoner.sandbox();
            assert!(!sandbox.has("landlock") && sandbox.has("seccomp"), "{sandbox:?}");
            assert!(sandbox.missing.contains(&"landlock".to_owned()));
            assert_eq!(sandbox.reasons["landlock"], "a library started 1 threads before");
        }),
        trial("with require an engine that cannot be confined says why and does not go on", || {
            let prisoner = Prison::of(Starter::OrdinaryUser).crowded().requiring().admit(&[]);
            let refused = prisoner.account.sandbox.as_ref().unwrap_err();
            assert!(refused.contains("capabilities: a library started 1 threads before"), "{refused}");
        }),
        trial("with off nothing is confined", || {
            let prisoner = Prison::open_doors(Starter::OrdinaryUser).admit(&["read a file of the machine"]);
            assert!(prisoner.sandbox().layers.is_empty() && prisoner.ended("read a file of the machine").is_ok());
            assert_eq!((prisoner.status("Seccomp").as_str(), prisoner.status("NoNewPrivs").as_str()), ("0", "0"));
        }),
    ];
    if let Some(account) = account_of_root() {
        trials.push(trial("root's engine is a user of its own in namespaces of its own", move || {
            let prisoner = Prison::of(Starter::Root).requiring().admit(&[]);
            assert!(["uid", "network-namespace", "ipc-namespace"].iter().all(|layer| prisoner.sandbox().has(layer)));
            is_confined(&prisoner);
            let four_times = vec![account.to_string(); 4].join("\t");
            assert_eq!((prisoner.status("Uid"), prisoner.status("Gid")), (four_times.clone(), four_times));
            assert_eq!(prisoner.status("Groups"), "");
            assert_eq!(prisoner.status("CapBnd"), "0000000000000000");
            for namespace in ["ns/net", "ns/ipc"] {
                let own = fs::read_link(format!("/proc/self/{namespace}")).unwrap();
                assert_ne!(fs::read_link(prisoner.proc(namespace)).unwrap(), own, "{namespace}");
            }
        }));
    }
    trials
}

fn is_confined(prisoner: &Prisoner) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(prisoner.status(set), "0000000000000000", "{set}");
    }
    assert_eq!((prisoner.status("NoNewPrivs").as_str(), prisoner.status("Seccomp").as_str()), ("1", "2"));
    assert_eq!(fs::read_to_string(prisoner.proc("oom_score_adj")).unwrap().trim(), "700");
    let limits = fs::read_to_string(prisoner.proc("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
