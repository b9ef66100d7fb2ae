#include "store/describe/parameters.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "store/base/text.h"
#include "store/describe/go_text.h"

namespace ollamafs {
namespace {

using nlohmann::json;

// What a list of words needs. Nothing deeper means anything to Ollama.
constexpr int kParameterDepth = 8;

json parse_object(const std::string& text) {
  bool is_too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t, json&) {
    is_too_deep |= depth > kParameterDepth;
    return depth <= kParameterDepth;
  };
  json object = json::parse(with_valid_utf8(text), watch, false);
  if (!object.is_object()) throw ParametersError{"is not a JSON object"};
  if (is_too_deep)
    throw ParametersError{fmt::format("is nested deeper than {} levels", kParameterDepth)};
  return object;
}

// Ollama reads every number as a float. A whole one is written out: its Modelfile reader does not
// take 1.048576e+06 for one.
std::string plain_number(double value) {
  constexpr double exact = 9007199254740992;  // 2^53
  if (value == std::trunc(value) && std::fabs(value) <= exact) return fmt::format("{:.0f}", value);
  return go_number(value);
}

Parameter parameter(const std::string& name, const json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return {name, go_quoted(text), text};
  }
  if (value.is_number()) {
    const auto number = value.get<double>();
    return {name, go_number(number), plain_number(number)};
  }
  if (value.is_null()) return {name, "<nil>", "<nil>"};
  const std::string text = value.dump();
  return {name, text, text};
}

}  // namespace

std::vector<Parameter> parse_parameters(const std::vector<std::string>& layers) {
  std::map<std::string, json> merged;
  for (const std::string& layer : layers) {
    json object = parse_object(layer);
    for (auto& [name, value] : object.items()) merged[name] = std::move(value);
  }
  std::vector<Parameter> parameters;
  for (const auto& [name, value] : merged) {
    if (!value.is_array()) {
      parameters.push_back(parameter(name, value));
      continue;
    }
    for (const json& element : value) parameters.push_back(parameter(name, element));
  }
  return parameters;
}

std::string parameter_lines(const std::vector<Parameter>& parameters) {
  std::string text;
  for (const Parameter& one : parameters) {
    text += fmt::format("{:<30} {}\n", printable(one.name), one.shown);
  }
  return text;
}

}  // namespace ollamafs
