#include "store/describe/parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
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

// Within texts JSON may have DEL and C1 as they are, and printed they must not be.
std::string escaped_json(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    const std::string_view piece = text.substr(0, std::max<std::size_t>(c.bytes, 1));
    if (is_control(c.value)) {
      out += fmt::format("\\u{:04x}", c.value);
    } else {
      out += piece;
    }
    text.remove_prefix(piece.size());
  }
  return out;
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
  return {name, escaped_json(text), text};
}

}  // namespace

struct ParameterMerger::Merged {
  std::map<std::string, json> values;
};

ParameterMerger::ParameterMerger() : merged_{std::make_unique<Merged>()} {}
ParameterMerger::~ParameterMerger() = default;

void ParameterMerger::add(const std::string& layer) {
  json object = parse_object(layer);
  for (auto& [name, value] : object.items()) merged_->values[name] = std::move(value);
}

std::vector<Parameter> ParameterMerger::parameters() const {
  std::vector<Parameter> parameters;
  parameters.reserve(merged_->values.size());
  for (const auto& [name, value] : merged_->values) {
    if (!value.is_array()) {
      parameters.push_back(parameter(name, value));
      continue;
    }
    for (const json& element : value) parameters.push_back(parameter(name, element));
  }
  return parameters;
}

std::vector<Parameter> parse_parameters(const std::vector<std::string>& layers) {
  ParameterMerger merger;
  for (const std::string& layer : layers) merger.add(layer);
  return merger.parameters();
}

std::string parameter_lines(const std::vector<Parameter>& parameters) {
  std::string text;
  for (const Parameter& one : parameters) {
    text += fmt::format("{:<30} {}\n", printable(one.name), one.shown);
  }
  return text;
}

}  // namespace ollamafs
