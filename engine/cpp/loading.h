// While libtorch loads a file it computes whatever hangs on constants alone: forty lines `s1 = s0 + s0` would be a text
// of gigabytes before any of our checks has seen the program. So the operators that make texts ask a budget while a
// file is loaded; what would spend it stays in the program as it is written.
#pragma once

#include "budget.h"

namespace secateur {

class Loading {
 public:
  Loading();
  ~Loading();
  Loading(const Loading&) = delete;
  Loading& operator=(const Loading&) = delete;

 private:
  Budget budget_;
};

}  // namespace secateur
