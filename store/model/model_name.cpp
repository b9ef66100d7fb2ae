#include "store/model/model_name.h"

#include <algorithm>
#include <utility>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr std::size_t kMaxHost = 350;
constexpr std::size_t kMaxPart = 80;

constexpr bool is_word(char c) noexcept {
  return (c >= '0' && c <= '9') || (lower_case(c) >= 'a' && lower_case(c) <= 'z') || c == '_';
}

// Every part begins with a word character; `more` are the others it may hold after that.
bool valid_part(std::string_view part, std::size_t max, std::string_view more) noexcept {
  if (part.empty() || part.size() > max || !is_word(part.front())) return false;
  return std::ranges::all_of(
      part, [more](char c) { return is_word(c) || more.find(c) != std::string_view::npos; });
}

bool is_public_host(std::string_view host) noexcept {
  return equal_fold(host, ModelName::kPublicHost) || equal_fold(host, ModelName::kPublicHostV2);
}

// Cuts `text` at its last `separator`; returns what stood behind it, or nothing if there is none.
std::optional<std::string_view> cut_last(std::string_view& text, char separator) noexcept {
  const std::size_t at = text.rfind(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view behind = text.substr(at + 1);
  text = text.substr(0, at);
  return behind;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

std::optional<ModelName> ModelName::from_parts(std::string_view host, std::string_view name_space,
                                               std::string_view model, std::string_view tag) {
  if (!valid_part(host, kMaxHost, "-.:") || !valid_part(name_space, kMaxPart, "-") ||
      !valid_part(model, kMaxPart, "-.") || !valid_part(tag, kMaxPart, "-.")) {
    return std::nullopt;
  }
  ModelName name;
  name.host_ = host;
  name.namespace_ = name_space;
  name.model_ = model;
  name.tag_ = tag;
  return name;
}

std::optional<ModelName> ModelName::from_v2_parts(std::string_view host,
                                                  std::string_view name_space,
                                                  std::string_view model, std::string_view tag) {
  if (is_public_host(host)) return from_parts(kPublicHost, name_space, model, tag);
  std::string decoded{host};
  replace_all(decoded, "%3A", ":");
  replace_all(decoded, "%3a", ":");
  return from_parts(decoded, name_space, model, tag);
}

std::optional<ModelName> ModelName::parse(std::string_view text) {
  std::string_view tag = kDefaultTag;
  // A colon left of the last slash is a port's.
  if (const std::size_t colon = text.rfind(':');
      colon != std::string_view::npos &&
      (text.rfind('/') == std::string_view::npos || colon > text.rfind('/'))) {
    tag = *cut_last(text, ':');
  }
  const auto model = cut_last(text, '/');
  if (!model) return from_parts(kPublicHost, kDefaultNamespace, text, tag);
  const auto name_space = cut_last(text, '/');
  if (!name_space) return from_parts(kPublicHost, text, *model, tag);
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    text.remove_prefix(scheme + 3);
  }
  return from_parts(text, *name_space, *model, tag);
}

bool ModelName::is_public() const noexcept {
  return is_public_host(host_);
}

std::string ModelName::full() const {
  return host_ + "/" + namespace_ + "/" + model_ + ":" + tag_;
}

std::string ModelName::display() const {
  if (!is_public()) return full();
  if (!equal_fold(namespace_, kDefaultNamespace)) return namespace_ + "/" + model_ + ":" + tag_;
  return model_ + ":" + tag_;
}

std::string ModelName::v1_path() const {
  return host_ + "/" + namespace_ + "/" + model_ + "/" + tag_;
}

std::string ModelName::v2_path() const {
  std::string host = is_public() ? std::string{kPublicHostV2} : host_;
  replace_all(host, ":", "%3A");
  return host + "/" + namespace_ + "/" + model_ + "/" + tag_;
}

std::string ModelName::logical_name() const {
  std::string name = is_public() ? std::string{kPublicHost} : host_;
  return name + "/" + namespace_ + "/" + model_ + ":" + tag_;
}

bool ModelName::is_canonical() const noexcept {
  if (!is_public()) return true;
  return host_ == kPublicHost &&
         (namespace_ == kDefaultNamespace || !equal_fold(namespace_, kDefaultNamespace));
}

bool equal_fold(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, [](char x, char y) { return lower_case(x) == lower_case(y); });
}

std::string view_name(std::string_view displayed) {
  std::string name{displayed};
  const std::size_t tag = name.rfind(':');
  if (tag != std::string::npos) name[tag] = '+';
  replace_all(name, ":", "%3A");
  return name;
}

}  // namespace ollamafs
