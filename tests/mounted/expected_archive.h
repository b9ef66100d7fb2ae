#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tests/support/store_builder.h"

namespace ollamafs::test {

// A model's archive, made without the program under test: by GNU tar, which makes the same bytes of
// the same files if they have the dates that their digests stand for.
struct ExpectedArchive {
  // `name` is of the default host and namespace, "llama3.2:3b", in the v1 tree; no path may be
  // longer than ustar's fields can hold.
  ExpectedArchive(const StoreBuilder& store, std::string_view name, const ManifestSpec& model);

  std::string bytes;
  std::map<std::string, std::uint64_t> starts;  // of the members' bytes, by path
};

}  // namespace ollamafs::test
