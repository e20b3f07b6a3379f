//! System calls that the process may not make, by a filter of the kernel's (seccomp).
//!
//! The list says what is refused, not what is allowed: libtorch, OpenMP and the drivers of GPUs make calls that change with their
//! versions, and Landlock stands behind it. A refused call fails with `EPERM`. A call that is newer than this list fails with
//! `ENOSYS`, as on an older kernel, and so does `clone3`: its flags lie in memory where a filter cannot see them, and the C library
//! then makes its threads with `clone`. Calls of the other two instruction sets of the processor (i386, x32), which have numbers of
//! their own, are refused altogether.
//!
//! The filter is a program of the classic BPF machine, written by [`Program`]. No crate that loads filters can express the last
//! two rules, or more than one error.

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::filter;

/// The numbers of system calls differ by processor, and no other has been tried.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn filter(_gpu: bool) -> Result<(), String> {
    Err("the filter is written for x86-64".to_owned())
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::io;

    use libc::{c_long, c_ulong, sock_filter, sock_fprog};

    /// `AUDIT_ARCH_X86_64`.
    const ARCHITECTURE: u32 = 0xc000_003e;
    /// Numbers from here on are of x32.
    const X32: u32 = 0x4000_0000;
    /// `file_setattr`, the last one of Linux 6.17.
    const NEWEST: u32 = 469;

    /// Refused whatever the arguments are.
    const REFUSED: &[c_long] = &[
        // The network, and sockets of this machine.
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_accept,
        libc::SYS_accept4,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_sendmmsg,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_recvmmsg,
        libc::SYS_shutdown,
        libc::SYS_setsockopt,
        libc::SYS_getsockopt,
        libc::SYS_getsockname,
        libc::SYS_getpeername,
        // Other programs and processes. `setpgid` and `setsid` would take the engine out of the group by which it is ended.
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_fork,
        libc::SYS_vfork,
        libc::SYS_setpgid,
        libc::SYS_setsid,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_process_madvise,
        libc::SYS_process_mrelease,
        libc::SYS_kcmp,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_getfd,
        libc::SYS_pidfd_send_signal,
        libc::SYS_tkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
        libc::SYS_setpriority,
        libc::SYS_ioprio_set,
        libc::SYS_migrate_pages,
        libc::SYS_move_pages,
        // Namespaces and mounts.
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_mount_setattr,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        STATMOUNT,
        LISTMOUNT,
        OPEN_TREE_ATTR,
        // Interfaces of the kernel that have been ways into it.
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_io_setup,
        libc::SYS_io_submit,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_memfd_secret,
        libc::SYS_modify_ldt,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_fanotify_init,
        libc::SYS_fanotify_mark,
        libc::SYS_inotify_init,
        libc::SYS_inotify_init1,
        libc::SYS_inotify_add_watch,
        libc::SYS_personality,
        libc::SYS_vmsplice,
        libc::SYS_remap_file_pages,
        // The machine.
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_syslog,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_adjtimex,
        libc::SYS_clock_adjtime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_vhangup,
        libc::SYS_sysfs,
        libc::SYS_uselib,
        libc::SYS_lookup_dcookie,
        // Another identity, and files that are reached without a path.
        libc::SYS_setuid,
        libc::SYS_setgid,
        libc::SYS_setreuid,
        libc::SYS_setregid,
        libc::SYS_setresuid,
        libc::SYS_setresgid,
        libc::SYS_setfsuid,
        libc::SYS_setfsgid,
        libc::SYS_setgroups,
        libc::SYS_capset,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        // What files are called and whose they are, which Landlock leaves open in part.
        libc::SYS_chmod,
        libc::SYS_fchmod,
        libc::SYS_fchmodat,
        FCHMODAT2,
        libc::SYS_chown,
        libc::SYS_fchown,
        libc::SYS_lchown,
        libc::SYS_fchownat,
        libc::SYS_link,
        libc::SYS_linkat,
        libc::SYS_symlink,
        libc::SYS_symlinkat,
        libc::SYS_mknod,
        libc::SYS_mknodat,
        libc::SYS_setxattr,
        libc::SYS_lsetxattr,
        libc::SYS_fsetxattr,
        SETXATTRAT,
        libc::SYS_removexattr,
        libc::SYS_lremovexattr,
        libc::SYS_fremovexattr,
        REMOVEXATTRAT,
        FILE_SETATTR,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
        libc::SYS_utimensat,
        // Memory and queues that other processes could share.
        libc::SYS_shmget,
        libc::SYS_shmat,
        libc::SYS_shmctl,
        libc::SYS_semget,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_semctl,
        libc::SYS_msgget,
        libc::SYS_msgsnd,
        libc::SYS_msgrcv,
        libc::SYS_msgctl,
        libc::SYS_mq_open,
        libc::SYS_mq_unlink,
        libc::SYS_mq_timedsend,
        libc::SYS_mq_timedreceive,
        libc::SYS_mq_notify,
        libc::SYS_mq_getsetattr,
    ];

    // Newer than the C library's own list.
    const FCHMODAT2: c_long = 452;
    const STATMOUNT: c_long = 457;
    const LISTMOUNT: c_long = 458;
    const SETXATTRAT: c_long = 463;
    const REMOVEXATTRAT: c_long = 466;
    const OPEN_TREE_ATTR: c_long = 467;
    const FILE_SETATTR: c_long = 469;

    /// What only the driver of a GPU needs.
    const REFUSED_WITHOUT_GPU: &[c_long] = &[libc::SYS_ioctl, libc::SYS_memfd_create];

    /// The driver of a GPU listens on a socket of this machine without a path, in the engine's own network namespace, and does not
    /// start where it cannot. Nobody is connected to, and nothing accepted.
    const SOCKETS_OF_GPU: &[c_long] = &[libc::SYS_socket, libc::SYS_bind, libc::SYS_listen];

    /// Commands on terminals and sockets that put words into other mouths or signals into other hands.
    const REFUSED_COMMANDS: &[u32] = &[
        libc::TIOCSTI as u32,
        libc::TIOCLINUX as u32,
        0x8901, // FIOSETOWN
        0x8902, // SIOCSPGRP
    ];

    /// Commands on descriptors that would have the kernel send a signal, any signal, to another process.
    const REFUSED_OPERATIONS: &[u32] = &[
        libc::F_SETOWN as u32,
        10, // F_SETSIG
        15, // F_SETOWN_EX
        libc::F_NOTIFY as u32,
        libc::F_SETLEASE as u32,
    ];

    /// What `clone` may not lack, and what it must not have.
    const THREAD: u32 = (libc::CLONE_VM | libc::CLONE_THREAD) as u32;
    const NAMESPACES: u32 = (libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET) as u32;

    /// Loads the filter for every thread of the process. It stays for good.
    pub(in crate::process::sandbox) fn filter(gpu: bool) -> io::Result<()> {
        let mut instructions = program(gpu, std::process::id());
        let length = instructions.len().try_into().expect("the filter has a few hundred instructions");
        let program = sock_fprog { len: length, filter: instructions.as_mut_ptr() };
        let (operation, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        // SAFETY: the kernel copies the program, which outlives the call, and checks it.
        match unsafe { libc::syscall(libc::SYS_seccomp, operation, flags as c_ulong, &raw const program) } {
            0 => Ok(()),
            -1 => Err(io::Error::last_os_error()),
            thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
        }
    }

    fn program(gpu: bool, own: u32) -> Vec<sock_filter> {
        let mut program = Program::default();
        program.load(Field::Architecture);
        program.refuse_unless_equal(ARCHITECTURE);
        program.load(Field::Number);
        program.refuse_from(X32, libc::EPERM);
        program.refuse_from(NEWEST + 1, libc::ENOSYS);
        program.refuse_if_equal(libc::SYS_clone3, libc::ENOSYS);
        for &number in REFUSED.iter().filter(|number| !gpu || !SOCKETS_OF_GPU.contains(number)) {
            program.refuse_if_equal(number, libc::EPERM);
        }
        if gpu {
            program.when(libc::SYS_socket, |family| family.allow_only(Field::Argument(0), &[libc::AF_UNIX as u32]));
        }
        program.when(libc::SYS_clone, |flags| flags.allow_only_masked(Field::Argument(0), THREAD | NAMESPACES, THREAD));
        program.when(libc::SYS_kill, |process| process.allow_only(Field::Argument(0), &[own]));
        program.when(libc::SYS_tgkill, |process| process.allow_only(Field::Argument(0), &[own]));
        program.when(libc::SYS_fcntl, |operation| operation.refuse(Field::Argument(1), REFUSED_OPERATIONS));
        for of_others in [
            libc::SYS_prlimit64,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setattr,
        ] {
            program.when(of_others, |process| process.allow_only(Field::Argument(0), &[0, own]));
        }
        if gpu {
            program.when(libc::SYS_ioctl, |command| command.refuse(Field::Argument(1), REFUSED_COMMANDS));
        } else {
            for &number in REFUSED_WITHOUT_GPU {
                program.refuse_if_equal(number, libc::EPERM);
            }
        }
        program.end(ALLOW);
        program.instructions
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    const fn error(number: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | number as u32
    }

    /// What a filter sees of a call.
    #[derive(Clone, Copy)]
    enum Field {
        Number,
        Architecture,
        /// The low half: all arguments that are looked at are `int`s, of which the kernel reads no more.
        Argument(u32),
    }

    impl Field {
        /// In `struct seccomp_data`.
        fn offset(self) -> u32 {
            match self {
                Self::Number => 0,
                Self::Architecture => 4,
                Self::Argument(index) => 16 + 8 * index,
            }
        }
    }

    /// A program that looks at a call, one test after the other. Between tests the accumulator holds the call's number.
    #[derive(Default)]
    struct Program {
        instructions: Vec<sock_filter>,
    }

    impl Program {
        fn push(&mut self, code: u32, operand: u32, if_true: u8, if_false: u8) {
            let code = code.try_into().expect("codes of instructions have 16 bits");
            self.instructions.push(sock_filter { code, jt: if_true, jf: if_false, k: operand });
        }

        fn load(&mut self, field: Field) {
            self.push(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, field.offset(), 0, 0);
        }

        fn end(&mut self, action: u32) {
            self.push(libc::BPF_RET | libc::BPF_K, action, 0, 0);
        }

        fn refuse_unless_equal(&mut self, value: u32) {
            self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 1, 0);
            self.end(error(libc::EPERM));
        }

        fn refuse_from(&mut self, value: u32, with: i32) {
            self.push(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, value, 0, 1);
            self.end(error(with));
        }

        fn refuse_if_equal(&mut self, number: c_long, with: i32) {
            self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number_of(number), 0, 1);
            self.end(error(with));
        }

        /// A test of one call's arguments, which must come to an end.
        fn when(&mut self, number: c_long, test: impl FnOnce(&mut Self)) {
            let mut body = Self::default();
            test(&mut body);
            let length = body.instructions.len().try_into().expect("a test has a dozen instructions");
            self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number_of(number), 0, length);
            self.instructions.append(&mut body.instructions);
        }

        fn allow_only(&mut self, field: Field, values: &[u32]) {
            self.load(field);
            for &value in values {
                self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, 1);
                self.end(ALLOW);
            }
            self.end(error(libc::EPERM));
        }

        fn allow_only_masked(&mut self, field: Field, mask: u32, value: u32) {
            self.load(field);
            self.push(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0);
            self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, 1);
            self.end(ALLOW);
            self.end(error(libc::EPERM));
        }

        fn refuse(&mut self, field: Field, values: &[u32]) {
            self.load(field);
            for &value in values {
                self.push(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, 0, 1);
                self.end(error(libc::EPERM));
            }
            self.end(ALLOW);
        }
    }

    fn number_of(call: c_long) -> u32 {
        call.try_into().expect("numbers of system calls are small")
    }
}
