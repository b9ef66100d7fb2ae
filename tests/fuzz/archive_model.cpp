#include "tests/fuzz/archive_model.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "store/layout/tar_header.h"
#include "store/model/manifest.h"
#include "tests/fuzz/check.h"

namespace ollamafs::test {
namespace {

// Of the grammar of docs/store-format.md §2: `length` bytes that differ from one choice to the
// next.
std::string name_part(Input& input, std::size_t max, std::string_view more) {
  constexpr std::string_view word =
      "abcdefghijklmnopqrstuvwxyz0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::size_t length = 1 + input.up_to(max - 1, max > 256 ? 2 : 1);
  const std::size_t step = input.byte();
  const std::string letters = std::string{word} + std::string{more};
  std::string part{word[step % word.size()]};
  while (part.size() < length) part += letters[(part.size() * (step | 1)) % letters.size()];
  return part;
}

ModelName model_name(Input& input) {
  const bool is_public = input.byte() % 2 == 0;
  const std::string host =
      is_public ? std::string{ModelName::kPublicHost} : name_part(input, 350, "-.:");
  const std::string name_space = name_part(input, 80, "-");
  const std::string model = name_part(input, 80, "-.");
  const std::string tag = name_part(input, 80, "-.");
  const auto name = ModelName::from_parts(host, name_space, model, tag);
  OLLAMAFS_CHECK_FOR(name.has_value(), host + "/" + name_space + "/" + model + ":" + tag);
  return *name;
}

// Sizes where something changes are likelier than others.
std::uint64_t blob_size(Input& input) {
  constexpr std::uint64_t eight_gib = std::uint64_t{1}
                                      << 33;  // the last that ustar's octal digits hold
  switch (input.byte() % 8) {
    case 0:
      return input.byte();
    case 1:
      return input.number(2);
    case 2:
      return kTarBlock * input.byte() + 1 - input.byte() % 3 + (input.byte() % 2 ? kTarBlock : 0);
    case 3:
      return eight_gib - 2 + input.byte() % 4;
    case 4:
      return input.number(4);
    case 5:
      return input.number(5);
    case 6:
      return input.number(8) >> 2;  // up to 2^62, more than all blobs together may have
    default:
      return 0;
  }
}

Digest digest(Input& input) {
  Digest::Bytes bytes{};
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = input.byte();  // three of them are the mtime
  bytes.back() = input.byte();
  return Digest{bytes};
}

}  // namespace

Model model_from(Input& input) {
  ModelName name = model_name(input);
  const std::size_t blobs = input.up_to(40, 1);
  std::string json = R"({"schemaVersion":2,"config":{},"layers":[)";
  for (std::size_t i = 0; i < blobs; ++i) {
    const std::string spelled = digest(input).to_string();  // before the size: the order of calls
    const std::uint64_t size = blob_size(input) & INT64_MAX;
    json += fmt::format(R"({}{{"digest":"{}","size":{}}})", i == 0 ? "" : ",", spelled, size);
  }
  json += "]}" + std::string(input.up_to(2 * kTarRecord, 2), ' ');
  auto manifest = StoredManifest::from(json, std::get<Manifest>(parse_manifest(json)));
  Model model{.name = std::move(name), .manifest = std::move(manifest)};
  model.faults = model.manifest->faults;
  return model;
}

}  // namespace ollamafs::test
