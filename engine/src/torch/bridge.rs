//! The boundary to the C++ in `cpp/`, declared once for both sides.
//!
//! cxx checks the declarations against the C++ headers and turns exceptions into [`cxx::Exception`], which carries a failure's
//! fields as JSON (`cpp/bridged.h`). The objects hold no thread's state. What libtorch itself does with a hostile model is the
//! sandbox's concern.

#![expect(unreachable_pub, reason = "cxx makes every item that it generates `pub`")]

#[cxx::bridge(namespace = "secateur")]
pub(super) mod ffi {
    /// A tensor that stays the caller's.
    struct Borrowed<'a> {
        tensor: &'a Tensor,
    }

    /// A tensor that becomes the caller's.
    struct Owned {
        tensor: UniquePtr<Tensor>,
    }

    /// What `forward` did.
    struct Recorded {
        /// What [`super::super::recording`] reads.
        json: String,
        /// One tensor for each of the recording's `parameters`.
        weights: Vec<Owned>,
    }

    /// How a tensor is registered in a module.
    #[repr(u8)]
    enum TensorKind {
        Parameter,
        Buffer,
        /// Neither: it is no part of the state dict.
        Attribute,
    }

    /// What an input is given that takes a number and no tensor.
    struct GivenNumber {
        /// Which of the declared inputs.
        input: usize,
        value: f64,
    }

    /// A text that goes into an archive.
    struct ExtraFile<'a> {
        name: &'a str,
        text: &'a str,
    }

    /// What the program has to give an argument, when that is not what it gives.
    struct Wanted {
        differs: bool,
        kind: WantedKind,
        ints: Vec<i64>,
        floats: Vec<f64>,
        /// The elements of a list that differ; none where the whole argument does.
        elements: Vec<usize>,
    }

    /// What sort of argument is wanted.
    #[repr(u8)]
    enum WantedKind {
        None,
        Int,
        Ints,
        Float,
        Floats,
        /// Nothing that could be put in its place.
        Other,
    }

    /// Where the program says what it gives an argument.
    struct ProgramPlace {
        kind: PlaceKind,
        /// The source file and the bytes in it.
        record: String,
        start: usize,
        end: usize,
        /// The path of the object whose method it is, or whose attribute.
        instance: String,
        /// The method, and the functions that it called until the one that this place is in.
        calls: Vec<String>,
        /// The attribute, or the name of the argument that is to be inserted.
        name: String,
    }

    /// How the program says what it gives an argument.
    #[repr(u8)]
    enum PlaceKind {
        /// By a number or a list of numbers that is written there.
        Literal,
        /// By an attribute of an object.
        Attribute,
        /// By an expression, whose value it computes.
        Expression,
        /// By leaving it out: it is to be inserted there.
        Omission,
        /// In a way that is not known.
        Unknown,
    }

    extern "Rust" {
        type Guide<'a>;
        fn review(self: &mut Guide<'_>, call: usize, op: &str, argument: usize, literal: &str) -> Wanted;
        fn split(self: &mut Guide<'_>, call: usize, op: &str, number: i64) -> Vec<i64>;
        fn found_split(self: &mut Guide<'_>, call: usize, operator_name: ProgramPlace, sizes: ProgramPlace);
        fn found_check(self: &mut Guide<'_>, size: i64, place: ProgramPlace);
        fn found_condition(self: &mut Guide<'_>, value: bool, place: ProgramPlace);
        fn found_grad_mode(self: &mut Guide<'_>, place: ProgramPlace);
        fn found(self: &mut Guide<'_>, call: usize, argument: usize, element: i64, place: ProgramPlace);
    }

    unsafe extern "C++" {
        include!("secateur-engine/cpp/import.h");
        include!("secateur-engine/cpp/memory.h");
        include!("secateur-engine/cpp/module.h");
        include!("secateur-engine/cpp/program.h");
        include!("secateur-engine/cpp/runtime.h");

        #[namespace = "at"]
        type Tensor;

        fn initialise(threads: i32, deterministic: bool) -> Result<()>;
        fn libtorch_version() -> &'static str;
        fn channels_last(tensor: &Tensor) -> Result<UniquePtr<Tensor>>;

        fn limit_tensor_memory(bytes: u64);
        fn check_tensor_memory() -> Result<()>;

        type Archive;
        fn load_archive(path: &[u8], only_allowed_operators: bool) -> Result<UniquePtr<Archive>>;
        fn inputs(self: &Archive) -> String;
        fn give(self: Pin<&mut Archive>, numbers: &[GivenNumber]);
        fn interface(self: &Archive) -> Result<String>;
        fn methods(self: &Archive) -> Result<String>;
        fn record(self: &Archive, method: &str, inputs: &[Borrowed], skip_work: bool) -> Result<Recorded>;
        fn record_guided(self: &Archive, inputs: &[Borrowed], guide: &mut Guide<'_>) -> Result<()>;
        fn forward(self: Pin<&mut Archive>, inputs: &[Borrowed]) -> Result<Vec<Owned>>;

        type Program;
        fn new_program(values: usize) -> UniquePtr<Program>;
        fn input(self: Pin<&mut Program>, value: u32);
        fn weight(self: Pin<&mut Program>, value: u32);
        fn node(self: Pin<&mut Program>, name: &str, op: &str, overload: &str) -> Result<()>;
        fn tensor(self: Pin<&mut Program>, value: i64) -> Result<()>;
        fn tensors(self: Pin<&mut Program>, values: &[i64]) -> Result<()>;
        fn none(self: Pin<&mut Program>) -> Result<()>;
        fn boolean(self: Pin<&mut Program>, value: bool) -> Result<()>;
        fn size(self: Pin<&mut Program>, per_sample: i64, fixed: i64) -> Result<()>;
        fn number(self: Pin<&mut Program>, value: f64) -> Result<()>;
        fn string(self: Pin<&mut Program>, text: &str) -> Result<()>;
        fn sizes(self: Pin<&mut Program>, pairs: &[i64]) -> Result<()>;
        fn floats(self: Pin<&mut Program>, values: &[f64]) -> Result<()>;
        fn bools(self: Pin<&mut Program>, values: &[bool]) -> Result<()>;
        fn device(self: Pin<&mut Program>) -> Result<()>;
        fn outputs(self: Pin<&mut Program>, values: &[u32], list: bool) -> Result<()>;
        fn finish(self: Pin<&mut Program>, outputs: &[u32]) -> Result<()>;
        fn run(
            self: &Program,
            weights: &[Borrowed],
            inputs: &[Borrowed],
            train: bool,
            batch_statistics: bool,
            bfloat16: bool,
        ) -> Result<Vec<Owned>>;
        fn time(self: &Program, weights: &[Borrowed], inputs: &[Borrowed]) -> Result<Vec<f64>>;

        type ModuleBuilder;
        fn new_module_builder(class_name: &str) -> Result<UniquePtr<ModuleBuilder>>;
        fn tensor(
            self: Pin<&mut ModuleBuilder>,
            name: &str,
            kind: TensorKind,
            tensor: &Tensor,
            requires_grad: bool,
        ) -> Result<()>;
        fn define(self: Pin<&mut ModuleBuilder>, path: &str, source: &str) -> Result<()>;
        fn save(self: Pin<&mut ModuleBuilder>, file: &[u8], extra: &[ExtraFile]) -> Result<()>;

        type Reloaded;
        fn open_reloaded(file: &[u8], device: &str) -> Result<UniquePtr<Reloaded>>;
        fn give(self: Pin<&mut Reloaded>, numbers: &[GivenNumber]);
        fn forward(self: &Reloaded, inputs: &[Borrowed]) -> Result<Vec<Owned>>;
        fn call(self: &Reloaded, method: &str, inputs: &[Borrowed]) -> Result<Vec<Owned>>;
    }
}

use secateur_core::rejection::{Code, Rejection};
use tch::Tensor;

use super::{TorchError, brief};

impl From<cxx::Exception> for TorchError {
    fn from(exception: cxx::Exception) -> Self {
        let Ok([code, detail, node, hint]) = serde_json::from_str::<[String; 4]>(exception.what()) else {
            return Self::Libtorch(exception.what().to_owned());
        };
        // A failure without a code is no refusal, but our bug or an accident.
        let Ok(code) = serde_json::from_value::<Code>(code.into()) else {
            return Self::Libtorch(detail);
        };
        let mut rejection = Rejection::new(code, brief(&detail));
        rejection.node = Some(node).filter(|node| !node.is_empty());
        rejection.hint = Some(hint).filter(|hint| !hint.is_empty());
        Self::Rejected(rejection)
    }
}

/// What a guided recording asks and tells.
pub(super) trait Reviewer {
    /// What an argument of a call has to be, before the call is made. `call` counts what is recorded, `literal` is what the
    /// program gives, as JSON.
    fn review(&mut self, call: usize, op: &str, argument: usize, literal: &str) -> ffi::Wanted;

    /// Where the program says an argument that differs, or one element of it; -1 for all of it.
    fn found(&mut self, call: usize, argument: usize, element: i64, place: ffi::ProgramPlace);

    /// The sizes that a call which splits by a number has to split into; none when it does as it is.
    fn split(&mut self, call: usize, op: &str, number: i64) -> Vec<i64>;

    /// Where the program names the operator of such a call, and says the number.
    fn found_split(&mut self, call: usize, operator_name: ffi::ProgramPlace, sizes: ffi::ProgramPlace);

    /// Where the program says the number that it compares a size with, which is `size` now.
    fn found_check(&mut self, size: i64, place: ffi::ProgramPlace);

    /// Where the program compares two sizes that are equal no more, and would raise an error unless the outcome is this.
    fn found_condition(&mut self, value: bool, place: ffi::ProgramPlace);

    /// Where a module asks whether gradients are on, to compute in a fused way where they are off.
    fn found_grad_mode(&mut self, place: ffi::ProgramPlace);
}

/// A [`Reviewer`] as C++ sees it.
pub(super) struct Guide<'a>(pub &'a mut dyn Reviewer);

impl Guide<'_> {
    fn review(&mut self, call: usize, op: &str, argument: usize, literal: &str) -> ffi::Wanted {
        self.0.review(call, op, argument, literal)
    }

    fn found(&mut self, call: usize, argument: usize, element: i64, place: ffi::ProgramPlace) {
        self.0.found(call, argument, element, place);
    }

    fn split(&mut self, call: usize, op: &str, number: i64) -> Vec<i64> {
        self.0.split(call, op, number)
    }

    fn found_split(&mut self, call: usize, operator_name: ffi::ProgramPlace, sizes: ffi::ProgramPlace) {
        self.0.found_split(call, operator_name, sizes);
    }

    fn found_check(&mut self, size: i64, place: ffi::ProgramPlace) {
        self.0.found_check(size, place);
    }

    fn found_condition(&mut self, value: bool, place: ffi::ProgramPlace) {
        self.0.found_condition(value, place);
    }

    fn found_grad_mode(&mut self, place: ffi::ProgramPlace) {
        self.0.found_grad_mode(place);
    }
}

/// A tensor of tch as C++ sees it.
pub(super) fn borrowed(tensor: &Tensor) -> &ffi::Tensor {
    // SAFETY: tch's C tensor is an `at::Tensor`, and lives as long as tch's tensor.
    unsafe { &*tensor.as_ptr().cast::<ffi::Tensor>() }
}

/// Tensors of tch as C++ sees them.
pub(super) fn all_borrowed(tensors: &[Tensor]) -> Vec<ffi::Borrowed<'_>> {
    tensors.iter().map(|tensor| ffi::Borrowed { tensor: borrowed(tensor) }).collect()
}

/// Takes over a tensor that C++ made.
pub(super) fn owned(tensor: cxx::UniquePtr<ffi::Tensor>) -> Tensor {
    // SAFETY: an `at::Tensor` on the heap that nothing else owns is what tch takes over.
    unsafe { Tensor::from_ptr(tensor.into_raw().cast()) }
}

/// Takes over the tensors that a call returned.
pub(super) fn all_owned(list: Vec<ffi::Owned>) -> Vec<Tensor> {
    list.into_iter().map(|entry| owned(entry.tensor)).collect()
}
