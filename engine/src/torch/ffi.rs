//! The declarations of `cpp/shim.h`, and the safe ends of what every call has in common: failures, strings, tensors.
//!
//! Safety of all calls: pointers to C++ objects come from the function that made them and are freed once, by the `Drop`
//! of the one Rust type that owns them; arguments outlive the call; no C++ exception comes out, see `cpp/failure.h`.
//! The objects hold no thread's state. What libtorch itself does with a hostile model is the sandbox's concern.

use std::ffi::{CStr, CString, c_char, c_int};

use secateur_core::rejection::{Code, Rejection};
use tch::Tensor;
use torch_sys::C_tensor;

use super::{TorchError, brief};

macro_rules! opaque {
    ($($name:ident)*) => {$(
        #[repr(C)]
        pub(crate) struct $name {
            _private: [u8; 0],
        }
    )*};
}

opaque!(Failure TensorList Archive Recording Program ModuleBuilder Reloaded);

unsafe extern "C" {
    fn secateur_failure_code(failure: *const Failure) -> *const c_char;
    fn secateur_failure_detail(failure: *const Failure) -> *const c_char;
    fn secateur_failure_node(failure: *const Failure) -> *const c_char;
    fn secateur_failure_hint(failure: *const Failure) -> *const c_char;
    fn secateur_failure_free(failure: *mut Failure);

    fn secateur_tensors_count(list: *const TensorList) -> usize;
    fn secateur_tensors_get(list: *const TensorList, index: usize) -> *mut C_tensor;
    fn secateur_tensors_free(list: *mut TensorList);

    pub(super) fn secateur_initialise(threads: c_int, deterministic: bool) -> *mut Failure;
    pub(super) fn secateur_libtorch_version() -> *const c_char;
    pub(super) fn secateur_limit_tensor_memory(bytes: u64);
    pub(super) fn secateur_refused_tensor_memory() -> *mut Failure;
    pub(super) fn secateur_channels_last(tensor: *const C_tensor, result: *mut *mut C_tensor) -> *mut Failure;

    pub(super) fn secateur_archive_load(
        path: *const c_char,
        only_allowed_operators: bool,
        result: *mut *mut Archive,
    ) -> *mut Failure;
    pub(super) fn secateur_archive_free(archive: *mut Archive);
    pub(super) fn secateur_archive_inputs(archive: *const Archive) -> *const c_char;
    pub(super) fn secateur_archive_record(
        archive: *const Archive,
        inputs: *const *const C_tensor,
        count: usize,
        result: *mut *mut Recording,
    ) -> *mut Failure;
    pub(super) fn secateur_archive_forward(
        archive: *mut Archive,
        inputs: *const *const C_tensor,
        count: usize,
        result: *mut *mut TensorList,
    ) -> *mut Failure;
    pub(super) fn secateur_recording_json(recording: *const Recording) -> *const c_char;
    pub(super) fn secateur_recording_weights(recording: *const Recording, result: *mut *mut TensorList)
    -> *mut Failure;
    pub(super) fn secateur_recording_free(recording: *mut Recording);

    pub(super) fn secateur_program_new(values: usize) -> *mut Program;
    pub(super) fn secateur_program_free(program: *mut Program);
    pub(super) fn secateur_program_input(program: *mut Program, value: u32);
    pub(super) fn secateur_program_weight(program: *mut Program, value: u32);
    pub(super) fn secateur_program_node(
        program: *mut Program,
        name: *const c_char,
        op: *const c_char,
        overload: *const c_char,
    ) -> *mut Failure;
    pub(super) fn secateur_program_tensor(program: *mut Program, value: i64) -> *mut Failure;
    pub(super) fn secateur_program_tensors(program: *mut Program, values: *const i64, count: usize) -> *mut Failure;
    pub(super) fn secateur_program_none(program: *mut Program) -> *mut Failure;
    pub(super) fn secateur_program_bool(program: *mut Program, value: bool) -> *mut Failure;
    pub(super) fn secateur_program_int(program: *mut Program, per_sample: i64, fixed: i64) -> *mut Failure;
    pub(super) fn secateur_program_float(program: *mut Program, value: f64) -> *mut Failure;
    pub(super) fn secateur_program_string(program: *mut Program, text: *const c_char) -> *mut Failure;
    pub(super) fn secateur_program_ints(program: *mut Program, pairs: *const i64, count: usize) -> *mut Failure;
    pub(super) fn secateur_program_floats(program: *mut Program, values: *const f64, count: usize) -> *mut Failure;
    pub(super) fn secateur_program_bools(program: *mut Program, values: *const bool, count: usize) -> *mut Failure;
    pub(super) fn secateur_program_device(program: *mut Program) -> *mut Failure;
    pub(super) fn secateur_program_outputs(
        program: *mut Program,
        values: *const u32,
        count: usize,
        list: bool,
    ) -> *mut Failure;
    pub(super) fn secateur_program_finish(program: *mut Program, outputs: *const u32, count: usize) -> *mut Failure;
    pub(super) fn secateur_program_run(
        program: *const Program,
        weights: *const *const C_tensor,
        weight_count: usize,
        inputs: *const *const C_tensor,
        input_count: usize,
        train: bool,
        result: *mut *mut TensorList,
    ) -> *mut Failure;
    pub(super) fn secateur_program_time(
        program: *const Program,
        weights: *const *const C_tensor,
        weight_count: usize,
        inputs: *const *const C_tensor,
        input_count: usize,
        seconds: *mut f64,
        count: usize,
    ) -> *mut Failure;

    pub(super) fn secateur_module_new(class_name: *const c_char, result: *mut *mut ModuleBuilder) -> *mut Failure;
    pub(super) fn secateur_module_free(builder: *mut ModuleBuilder);
    pub(super) fn secateur_module_tensor(
        builder: *mut ModuleBuilder,
        name: *const c_char,
        kind: c_int,
        tensor: *const C_tensor,
        requires_grad: bool,
    ) -> *mut Failure;
    pub(super) fn secateur_module_define(
        builder: *mut ModuleBuilder,
        path: *const c_char,
        source: *const c_char,
    ) -> *mut Failure;
    pub(super) fn secateur_module_save(
        builder: *mut ModuleBuilder,
        file: *const c_char,
        extra_names: *const *const c_char,
        extra_texts: *const *const c_char,
        extra_count: usize,
    ) -> *mut Failure;
    pub(super) fn secateur_reloaded_open(
        file: *const c_char,
        device: *const c_char,
        result: *mut *mut Reloaded,
    ) -> *mut Failure;
    pub(super) fn secateur_reloaded_forward(
        module: *const Reloaded,
        inputs: *const *const C_tensor,
        count: usize,
        result: *mut *mut TensorList,
    ) -> *mut Failure;
    pub(super) fn secateur_reloaded_free(module: *mut Reloaded);
}

/// Turns what a call returned into a `Result`.
pub(super) fn check(failure: *mut Failure) -> Result<(), TorchError> {
    if failure.is_null() {
        return Ok(());
    }
    // SAFETY: a failure that is not null is ours until it is freed, here and once.
    let (code, detail, node, hint) = unsafe {
        let texts = (
            text(secateur_failure_code(failure)),
            text(secateur_failure_detail(failure)),
            text(secateur_failure_node(failure)),
            text(secateur_failure_hint(failure)),
        );
        secateur_failure_free(failure);
        texts
    };
    let Ok(code) = serde_json::from_value::<Code>(code.into()) else {
        return Err(TorchError::Libtorch(detail));
    };
    let mut rejection = Rejection::new(code, brief(&detail));
    rejection.node = Some(node).filter(|node| !node.is_empty());
    rejection.hint = Some(hint).filter(|hint| !hint.is_empty());
    Err(TorchError::Rejected(rejection))
}

/// Copies a string of the shim.
///
/// # Safety
/// `text` ends with a zero byte and lives as long as the call.
pub(super) unsafe fn text(text: *const c_char) -> String {
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

pub(super) fn c_string(text: &str) -> Result<CString, TorchError> {
    CString::new(text).map_err(|_| TorchError::Libtorch(format!("{text:?} contains a zero byte")))
}

/// The C tensors behind `tensors`, in order; valid as long as these live.
pub(super) fn pointers(tensors: &[Tensor]) -> Vec<*const C_tensor> {
    tensors.iter().map(Tensor::as_ptr).collect()
}

/// Takes the tensors that a call returned.
pub(super) fn tensors(call: impl FnOnce(*mut *mut TensorList) -> *mut Failure) -> Result<Vec<Tensor>, TorchError> {
    let mut list = std::ptr::null_mut();
    check(call(&raw mut list))?;
    // SAFETY: on success the list is ours, and so is each tensor that is taken out of it.
    let tensors = unsafe {
        let count = secateur_tensors_count(list);
        let tensors = (0..count).map(|index| Tensor::from_ptr(secateur_tensors_get(list, index))).collect();
        secateur_tensors_free(list);
        tensors
    };
    Ok(tensors)
}
