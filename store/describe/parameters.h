#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs {

// A value that a model sets for its runner: temperature, a word at which it stops, ...
struct Parameter {
  std::string name;
  std::string shown;  // as `ollama show --parameters` prints it: texts are quoted and escaped
  std::string plain;  // as a Modelfile has it, before it is quoted: whole numbers are written out

  bool operator==(const Parameter&) const = default;
};

// Why a layer holds no parameters. what() goes on from its name: "is not a JSON object".
class ParametersError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Puts those of the `params` layers of a model together: of a key that is in several the last one
// counts.
class ParameterMerger {
 public:
  ParameterMerger();
  ~ParameterMerger();
  ParameterMerger(const ParameterMerger&) = delete;
  ParameterMerger& operator=(const ParameterMerger&) = delete;

  // The next layer, in the manifest's order. Throws ParametersError; then it counts for nothing.
  void add(const std::string& layer);

  // Sorted by name; each element of a list is one of its own, in the list's order.
  [[nodiscard]] std::vector<Parameter> parameters() const;

 private:
  struct Merged;
  std::unique_ptr<Merged> merged_;
};

// Those of these layers. Throws ParametersError.
[[nodiscard]] std::vector<Parameter> parse_parameters(const std::vector<std::string>& layers);

// One line each: the name padded to 30 columns, a blank, the value.
[[nodiscard]] std::string parameter_lines(const std::vector<Parameter>& parameters);

}  // namespace ollamafs
