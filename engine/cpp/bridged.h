// What every declaration of src/torch/bridge.rs needs, and how an exception reaches Rust.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "failure.h"
#include "json.h"
#include "rust/cxx.h"

namespace secateur {

// A tensor that stays the caller's.
struct Borrowed;
// A tensor that becomes the caller's.
struct Owned;

}  // namespace secateur

namespace rust::behavior {

// Catches what a function throws, in the place of cxx's own handler, which brings one text to Rust: the fields of the
// failure travel in it as a JSON array.
template <typename Try, typename Fail>
static void trycatch(Try&& body, Fail&& fail) noexcept {
  try {
    body();
  } catch (...) {
    const secateur::Failure failure = secateur::describe_current_exception();
    fail(
        secateur::json::array_of(
            std::vector{failure.code, failure.detail, failure.node, failure.hint}, secateur::json::quote));
  }
}

}  // namespace rust::behavior
