//! Settings of the process, made once before the first tensor.

use std::path::{Path, PathBuf};

use secateur_core::wire;
use tch::{Device, Tensor};

use super::TorchError;
use super::bridge::{borrowed, ffi, owned};

/// Starts libtorch: one pool of `threads`, denormals flushed to zero, seed 0, deterministic kernels where there are any.
///
/// # Errors
/// When CUDA is asked for and libtorch has none or finds no GPU.
pub fn initialise(threads: usize, device: wire::Device) -> Result<Device, TorchError> {
    if device != wire::Device::Cpu {
        open_cuda_library();
    }
    let threads = i32::try_from(threads.max(1)).unwrap_or(i32::MAX);
    ffi::initialise(threads, true)?;
    tch::manual_seed(0);
    match device {
        wire::Device::Cpu => Ok(Device::Cpu),
        wire::Device::Auto => Ok(Device::cuda_if_available()),
        wire::Device::Cuda if tch::Cuda::is_available() => Ok(Device::Cuda(0)),
        wire::Device::Cuda => Err(TorchError::Libtorch("CUDA was asked for, but libtorch finds no usable GPU".into())),
    }
}

/// Whether a task on this device may compute on a GPU: libtorch has what that takes, and there is a driver.
pub fn may_use_gpu(device: wire::Device) -> bool {
    device != wire::Device::Cpu && cuda_library().is_some() && Path::new("/dev/nvidiactl").exists()
}

/// The version of libtorch that this engine was built with.
pub fn version() -> String {
    ffi::libtorch_version().to_owned()
}

/// The tensor with channels innermost in memory; a tensor without the usual 4 or 5 dimensions as it is.
pub fn channels_last(tensor: &Tensor) -> Result<Tensor, TorchError> {
    Ok(owned(ffi::channels_last(borrowed(tensor))?))
}

/// Loading `libtorch_cuda.so` registers its kernels. Nothing links to it, so that one binary serves machines without.
fn open_cuda_library() {
    let Some(library) = cuda_library() else { return };
    let Ok(name) = std::ffi::CString::new(library.as_os_str().as_encoded_bytes()) else { return };
    // SAFETY: the library lies beside the libtorch that is loaded already and belongs to it; it is never closed.
    unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
}

fn cuda_library() -> Option<PathBuf> {
    libtorch_folder().map(|folder| folder.join("libtorch_cuda.so")).filter(|path| path.exists())
}

/// Where the libtorch that this process runs with was loaded from.
fn libtorch_folder() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with("/libtorch_cpu.so"))?;
    let path = &line[line.find('/')?..];
    Path::new(path).parent().map(Path::to_owned)
}
