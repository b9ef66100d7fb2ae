#include "store/model/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

using nlohmann::json;

// Hands the text to the JSON lexer and tells how far it has read: right behind '{' when an object
// has been opened and right behind '}' when it has been closed, because neither needs a look ahead.
class TrackedIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TrackedIterator(const char* at, const char** read_to) noexcept : at_{at}, read_to_{read_to} {}
  reference operator*() const noexcept { return *at_; }
  TrackedIterator& operator++() noexcept {
    *read_to_ = ++at_;
    return *this;
  }
  bool operator==(const TrackedIterator& other) const noexcept { return at_ == other.at_; }
  bool operator!=(const TrackedIterator& other) const noexcept { return at_ != other.at_; }

 private:
  const char* at_;
  const char** read_to_;
};

// Where in the document the parser is. A value that nobody asks for is `ignored`, with all below
// it.
enum class Place { root, config, layers, layer, entries, entry, ignored };

bool same_key(std::string_view key, std::string_view wanted) noexcept {
  return std::ranges::equal(key, wanted, {}, [](char c) { return lower_case(c); });
}

// Receives the document's events and fills a Manifest and a ManifestList; which of the two it was
// is known at the end. Keeps one Place per open object or array, so depth costs no stack.
class ManifestReader final : public nlohmann::json_sax<json> {
 public:
  // `text` is the document; `safe` is what the parser is given, byte for byte as long, and
  // `read_to` points into it.
  ManifestReader(std::string_view text, const char* safe, const char* const* read_to) noexcept
      : text_{text}, safe_{safe}, read_to_{read_to} {}

  [[nodiscard]] AnyManifest result() && {
    if (!seen_.config && !seen_.layers && !seen_.entries) {
      throw ManifestError{"names neither a config nor layers nor manifests"};
    }
    if (list_.media_type == kManifestListType ||
        (seen_.entries && !seen_.config && !seen_.layers)) {
      return std::move(list_);
    }
    manifest_.media_type = std::move(list_.media_type);
    return std::move(manifest_);
  }

  bool null() override {
    require_object();
    // As in Go: an element is a zero one, a list has no elements, anything else stays as it is.
    if (place() == Place::layers) manifest_.layers.emplace_back();
    if (place() == Place::entries) list_.entries.emplace_back();
    if (place() != Place::root) return true;
    if (is("config")) seen_.config = true;
    if (is("layers")) begin_layers();
    if (is("manifests")) begin_entries();
    return true;
  }
  bool boolean(bool) override {
    expect_nothing_known();
    return true;
  }
  bool number_integer(number_integer_t value) override { return integer(value); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      expect_nothing_known();
      return true;
    }
    return integer(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t, const string_t&) override {
    expect_nothing_known();
    return true;
  }
  bool string(string_t& value) override {
    require_object();
    if (std::string* field = string_field()) {
      *field = std::move(value);
    } else {
      expect_nothing_known();
    }
    return true;
  }
  bool binary(binary_t&) override { return false; }  // not in JSON text

  bool start_object(std::size_t) override {
    push(place_of_object());
    return true;
  }
  bool end_object() override {
    if (places_.back() == Place::entry) finish_entry();
    places_.pop_back();
    is_closed_ = places_.empty();
    return true;
  }
  bool start_array(std::size_t) override {
    push(place_of_array());
    return true;
  }
  bool end_array() override {
    places_.pop_back();
    return true;
  }
  bool key(string_t& name) override {
    key_ = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    if (position > text_.size()) throw ManifestError{"is cut short: its JSON has no end"};
    if (places_.empty() && is_closed_)
      throw ManifestError{fmt::format("has more behind its JSON, at byte {}", position)};
    throw ManifestError{fmt::format("is not JSON: it goes wrong at byte {}", position)};
  }

 private:
  [[nodiscard]] std::size_t read_bytes() const noexcept {
    return static_cast<std::size_t>(*read_to_ - safe_);
  }
  [[nodiscard]] Place place() const noexcept { return places_.back(); }
  [[nodiscard]] bool is(std::string_view lower_case_key) const noexcept {
    return same_key(key_, lower_case_key);
  }

  void push(Place place) {
    if (places_.size() >= kMaxManifestDepth) {
      throw ManifestError{fmt::format("is nested deeper than {} levels", kMaxManifestDepth)};
    }
    places_.push_back(place);
  }

  void require_object() const {
    if (places_.empty()) throw ManifestError{"is not a JSON object"};
  }

  // `field` is a known one, so it is safe to print.
  [[noreturn]] static void wrong_type(std::string_view field, std::string_view wanted) {
    throw ManifestError{fmt::format("has a field \"{}\" that is not {}", field, wanted)};
  }

  // Of a repeated key the last one counts.
  void begin_layers() {
    manifest_.layers.clear();
    seen_.layers = true;
  }
  void begin_entries() {
    list_.entries.clear();
    seen_.entries = true;
  }

  // The blob whose fields come next, if any.
  [[nodiscard]] Layer* layer_here() noexcept {
    if (place() == Place::config) return &manifest_.config;
    return place() == Place::layer ? &manifest_.layers.back() : nullptr;
  }

  [[nodiscard]] std::string* string_field() {
    if (Layer* layer = layer_here()) {
      if (is("mediatype")) return &layer->media_type;
      if (is("digest")) return &layer->digest;
      if (is("name")) return &layer->name;
      if (is("from")) return &unused_;
    } else if (place() == Place::root) {
      if (is("mediatype")) return &list_.media_type;
      if (is("runner")) return &manifest_.runner;
      if (is("format")) return &unused_;
    } else if (place() == Place::entry) {
      if (is("mediatype")) return &list_.entries.back().media_type;
      if (is("digest")) return &list_.entries.back().digest;
      if (is("runner")) return &list_.entries.back().runner;
      if (is("format")) return &unused_;
    }
    return nullptr;
  }

  bool integer(std::int64_t value) {
    require_object();
    if (Layer* layer = layer_here(); layer && is("size")) {
      layer->size = value;
    } else if (place() != Place::root || !is("schemaversion")) {
      expect_nothing_known();
    }
    return true;
  }

  // Refuses a value of a kind that no known field takes here.
  void expect_nothing_known() {
    require_object();
    if (place() == Place::layers) wrong_type("layers", "a list of objects");
    if (place() == Place::entries) wrong_type("manifests", "a list of objects");
    if (string_field() != nullptr) wrong_type(key_, "a string");
    if (layer_here() && is("size")) wrong_type(key_, "a whole number");
    if (place() != Place::root) return;
    if (is("schemaversion")) wrong_type(key_, "a whole number");
    if (is("config")) wrong_type(key_, "an object");
    if (is("layers") || is("manifests")) wrong_type(key_, "a list");
  }

  [[nodiscard]] Place place_of_object() {
    if (places_.empty()) return Place::root;
    if (place() == Place::layers) {
      refuse_more_than_most(manifest_.layers.size(), "layers");
      manifest_.layers.emplace_back();
      return Place::layer;
    }
    if (place() == Place::entries) {
      refuse_more_than_most(list_.entries.size(), "manifests");
      list_.entries.emplace_back();
      entry_start_ = read_bytes() - 1;
      entry_is_inline_ = false;
      return Place::entry;
    }
    if (place() == Place::root && is("config")) {
      seen_.config = true;
      return Place::config;
    }
    if (place() == Place::entry && is("config")) entry_is_inline_ = true;
    expect_nothing_known();
    return Place::ignored;
  }

  static void refuse_more_than_most(std::size_t count, const char* what) {
    if (count == kMaxLayers) {
      throw ManifestError{
          fmt::format("names more than {} {}, the most that it may", kMaxLayers, what)};
    }
  }

  [[nodiscard]] Place place_of_array() {
    require_object();
    if (place() == Place::root && is("layers")) {
      begin_layers();
      return Place::layers;
    }
    if (place() == Place::root && is("manifests")) {
      begin_entries();
      return Place::entries;
    }
    if (place() == Place::entry && is("layers")) entry_is_inline_ = true;
    expect_nothing_known();
    return Place::ignored;
  }

  void finish_entry() {
    ListEntry& entry = list_.entries.back();
    if (!entry_is_inline_) return;
    entry.digest.clear();
    entry.inline_json = text_.substr(entry_start_, read_bytes() - entry_start_);
  }

  struct Seen {
    bool config = false, layers = false, entries = false;
  };

  std::string_view text_;
  const char* safe_;
  const char* const* read_to_;
  std::vector<Place> places_;
  bool is_closed_ = false;  // the outermost object
  std::string key_;
  std::string unused_;  // takes the known strings that nobody needs
  std::size_t entry_start_ = 0;
  bool entry_is_inline_ = false;
  Seen seen_;
  Manifest manifest_;
  ManifestList list_;
};

}  // namespace

bool is_manifest_type(std::string_view media_type) noexcept {
  constexpr std::string_view types[] = {
      kManifestListType,
      "application/vnd.docker.distribution.manifest.v2+json",
      "application/vnd.docker.distribution.manifest.list.v2+json",
      "application/vnd.oci.image.manifest.v1+json",
      "application/vnd.oci.image.index.v1+json",
  };
  return std::ranges::find(types, media_type) != std::end(types);
}

AnyManifest parse_manifest(std::string_view text) {
  if (text.empty()) throw ManifestError{"is empty"};
  if (text.size() > kMaxManifestBytes) {
    throw ManifestError{fmt::format("has {} bytes; {} is the most a manifest may have", text.size(),
                                    kMaxManifestBytes)};
  }
  // The JSON library takes a NUL for the end of the text.
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    throw ManifestError{fmt::format("is not JSON: it goes wrong at byte {}", nul + 1)};
  }
  if (text.starts_with("\xEF\xBB\xBF")) throw ManifestError{"begins with a byte order mark"};

  // Ollama's decoder puts up with bytes that are not UTF-8, the JSON library does not.
  std::string valid;
  const std::string_view safe = is_valid_utf8(text) ? text : (valid = with_valid_utf8(text));

  const char* read_to = safe.data();
  ManifestReader reader{text, safe.data(), &read_to};
  json::sax_parse(TrackedIterator{safe.data(), &read_to},
                  TrackedIterator{safe.data() + safe.size(), &read_to}, &reader);
  return std::move(reader).result();
}

}  // namespace ollamafs
