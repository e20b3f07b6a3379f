#include "failure.h"

#include <c10/util/Exception.h>

#include <cstdio>
#include <new>

namespace secateur {

std::string first_line(const std::string& text) {
  const auto start = text.find_first_not_of(" \n\t");
  if (start == std::string::npos) return "";
  const auto end = text.find('\n', start);
  return text.substr(start, end == std::string::npos ? end : end - start);
}

std::string current_message() noexcept {
  try {
    throw;
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

std::string logged_message() noexcept {
  constexpr size_t kLogged = 8000;
  const std::string message = current_message();
  if (message != first_line(message) || message != shortened(message)) {
    std::fprintf(stderr, "libtorch says: %s\n", shortened(message, kLogged).c_str());
  }
  return message;
}

std::string shortened(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  // Not in the middle of a character.
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes) + "…";
}

Failure describe_current_exception() noexcept {
  try {
    throw;
  } catch (const Rejected& rejected) {
    return Failure{rejected.code, rejected.detail, rejected.node, rejected.hint};
  } catch (...) {
    return Failure{"", logged_message(), "", ""};
  }
}

}  // namespace secateur
