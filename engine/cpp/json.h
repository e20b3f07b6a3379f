// Writing JSON, as far as the importer needs it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace secateur::json {

inline std::string quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      quoted += '\\';
      quoted += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(letter));
      quoted += escaped;
    } else {
      quoted += letter;
    }
  }
  return quoted + '"';
}

// JSON has no infinities; they travel as strings.
inline std::string number(double value) {
  if (std::isnan(value)) return "\"nan\"";
  if (std::isinf(value)) return value > 0 ? "\"inf\"" : "\"-inf\"";
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", value);
  return text;
}

inline std::string number(int64_t value) { return std::to_string(value); }

inline std::string boolean(bool value) { return value ? "true" : "false"; }

inline std::string array(const std::vector<std::string>& items) {
  std::string text = "[";
  for (size_t index = 0; index < items.size(); ++index) {
    if (index != 0) text += ',';
    text += items[index];
  }
  return text + "]";
}

template <typename Items, typename Write>
std::string array_of(const Items& items, Write write) {
  std::vector<std::string> written;
  for (const auto& item : items) written.push_back(write(item));
  return array(written);
}

}  // namespace secateur::json
