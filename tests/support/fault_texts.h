#pragma once

#include <string>
#include <vector>

#include "store/model/problem.h"

namespace ollamafs::test {

// What people read of faults.
inline std::vector<std::string> texts(const Faults& faults) {
  std::vector<std::string> texts;
  for (const Fault& fault : faults) texts.push_back(fault.text);
  return texts;
}

}  // namespace ollamafs::test
