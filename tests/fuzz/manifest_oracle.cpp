#include "tests/fuzz/manifest_oracle.h"

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ollamafs::test {
namespace {

using nlohmann::json;

std::string folded(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// The document; nothing if it is not one. `repeats` tells whether an object has a key twice.
std::optional<json> document(std::string_view text, bool& repeats) {
  std::vector<std::set<std::string>> open;  // the keys so far of each object that is open
  repeats = false;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key) {
      repeats |= !open.back().insert(folded(parsed.get<std::string>())).second;
    }
    return true;
  };
  json parsed = json::parse(text, watch, false);
  return parsed.is_discarded() ? std::nullopt : std::optional{std::move(parsed)};
}

// Null if it is missing.
const json* member(const json& object, std::string_view lower_case_key) {
  for (const auto& [key, value] : object.items()) {
    if (folded(key) == lower_case_key) return &value;
  }
  return nullptr;
}

struct WrongType {};

bool is_given(const json* value) {
  return value && !value->is_null();
}

std::string text_at(const json& object, std::string_view key) {
  const json* value = member(object, key);
  if (!is_given(value)) return {};
  if (!value->is_string()) throw WrongType{};
  return value->get<std::string>();
}

std::int64_t number_at(const json& object, std::string_view key) {
  const json* value = member(object, key);
  if (!is_given(value)) return 0;
  if (!value->is_number_integer()) throw WrongType{};
  if (value->is_number_unsigned() && value->get<std::uint64_t>() > INT64_MAX) throw WrongType{};
  return value->get<std::int64_t>();
}

Layer layer(const json& object) {
  if (object.is_null()) return {};
  if (!object.is_object()) throw WrongType{};
  (void)text_at(object, "from");
  return {text_at(object, "mediatype"), text_at(object, "digest"), number_at(object, "size"),
          text_at(object, "name")};
}

ListEntry entry(const json& object) {
  if (object.is_null()) return {};
  if (!object.is_object()) throw WrongType{};
  (void)text_at(object, "format");
  ListEntry out{text_at(object, "mediatype"), text_at(object, "digest"), text_at(object, "runner"),
                ""};
  const json* config = member(object, "config");
  const json* layers = member(object, "layers");
  if ((config && config->is_object()) || (layers && layers->is_array())) {
    out.digest.clear();
    out.inline_json = object.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return out;
}

template <class Element>
std::vector<Element> elements(const json* array, Element (*read)(const json&)) {
  std::vector<Element> out;
  if (!is_given(array)) return out;
  if (!array->is_array()) throw WrongType{};
  for (const json& element : *array) out.push_back(read(element));
  return out;
}

}  // namespace

std::optional<Expected> expected_manifest(std::string_view text) {
  bool repeats = false;
  const std::optional<json> root = document(text, repeats);
  if (!root || !root->is_object()) return NotAManifest{};
  if (repeats) return std::nullopt;
  try {
    const json* config = member(*root, "config");
    const json* layers = member(*root, "layers");
    const json* manifests = member(*root, "manifests");
    (void)number_at(*root, "schemaversion");
    (void)text_at(*root, "format");
    Manifest manifest{text_at(*root, "mediatype"), text_at(*root, "runner"),
                      config ? layer(*config) : Layer{}, elements(layers, layer)};
    ManifestList list{manifest.media_type, elements(manifests, entry)};
    if (!config && !layers && !manifests) return NotAManifest{};
    if (list.media_type == kManifestListType || (manifests && !config && !layers)) return list;
    return manifest;
  } catch (const WrongType&) {
    return NotAManifest{};
  }
}

}  // namespace ollamafs::test
