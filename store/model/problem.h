#pragma once

#include <string>

namespace ollamafs {

// Something in the store that is no part of a model, and why. Models that are broken are not
// problems of the store: they say themselves what they lack (Model::faults).
struct Problem {
  std::string path;    // relative to the store; any bytes, see printable()
  std::string reason;  // one printable line that goes on from the path: "is not a model name: …"

  bool operator==(const Problem&) const = default;
};

}  // namespace ollamafs
