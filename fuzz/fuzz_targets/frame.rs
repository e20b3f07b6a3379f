#![no_main]
//! Frames from an engine to its worker, one after the other, and a task that goes to an engine.

use libfuzzer_sys::fuzz_target;
use secateur_core::wire::{EngineMessage, TaskRequest, read_frame, write_frame};

fuzz_target!(|bytes: &[u8]| {
    let mut reader = bytes;
    while let Ok(Some(message)) = read_frame::<EngineMessage>(&mut reader) {
        let mut written = Vec::new();
        write_frame(&mut written, &message).expect("a message that was read can be written");
        // Not a number is no number in JSON, so that `PartialEq` holds.
        assert_eq!(read_frame::<EngineMessage>(&mut written.as_slice()).unwrap(), Some(message));
    }
    let _ = read_frame::<TaskRequest>(&mut { bytes });
});
