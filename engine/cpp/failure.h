// Exceptions, and what crosses the boundary to Rust instead.
#pragma once

#include <exception>
#include <string>
#include <utility>

namespace secateur {

// A permanent refusal of the user's model, with the fields of core's `Rejection`; `code` is the wire form of its code.
struct Rejected : std::exception {
  std::string code;
  std::string detail;
  std::string node;
  std::string hint;

  Rejected(std::string code, std::string detail, std::string node = "", std::string hint = "")
      : code(std::move(code)), detail(std::move(detail)), node(std::move(node)), hint(std::move(hint)) {}

  const char* what() const noexcept override { return detail.c_str(); }
};

// What Rust is told of an exception. An empty `code` means: no rejection, but our bug or an accident.
struct Failure {
  std::string code;
  std::string detail;
  std::string node;
  std::string hint;
};

// To be called in a catch block.
Failure describe_current_exception() noexcept;

// The message of the current exception without libtorch's backtrace; to be called in a catch block.
std::string current_message() noexcept;

// The same, and what a user is not told of it goes to standard error, which is the task's log.
std::string logged_message() noexcept;

std::string first_line(const std::string& text);

// At most so many bytes of a text that a file has.
std::string shortened(const std::string& text, size_t bytes = 300);

}  // namespace secateur
